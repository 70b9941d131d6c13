/** Faults of Redis servers and Sentinels: killed, stopped for less and for more than the limits, started again with and without what they had. */
import type { ServerProcess } from '../../src/core/testing/redis-servers/server-process.ts';
import { spanMs } from '../faults/fault.ts';
import { pause } from '../producers/producer.ts';
import type { RedisFault, RedisWorld } from './redis-fault.ts';

type Found = ServerProcess | undefined;

export async function killServer({ site }: RedisWorld, server: Found, { pauseMs }: RedisFault): Promise<string> {
  if (server === undefined) return 'nobody';
  await server.kill();
  await pause(pauseMs);
  await site.restart(server);
  return `${site.nameOf(server)} for ${Math.round(pauseMs)} ms`;
}

/** At once: often nobody notices that it was away. */
export async function restartServer({ site }: RedisWorld, server: Found, empty: boolean): Promise<string> {
  if (server === undefined) return 'nobody';
  await site.restart(server, { empty });
  return site.nameOf(server);
}

export async function stopServers(
  { site }: RedisWorld,
  servers: readonly Found[],
  limitMs: number,
  { amount }: RedisFault,
): Promise<string> {
  const hit = servers.flatMap((server) => (server?.isRunning === true ? server : []));
  const stoppedMs = spanMs(limitMs, amount);
  for (const server of hit) site.pause(server);
  await pause(stoppedMs);
  for (const server of hit) site.resume(server);
  return `${hit.map((server) => site.nameOf(server)).join(' ')} for ${stoppedMs} ms`;
}

export async function killAllServers({ site }: RedisWorld, { pauseMs }: RedisFault): Promise<string> {
  await Promise.all(site.servers.map((server) => server.kill()));
  await pause(pauseMs);
  await Promise.all(site.servers.map((server) => site.restart(server)));
  return `all for ${Math.round(pauseMs)} ms`;
}

export async function failOver({ site }: RedisWorld, { choice }: RedisFault): Promise<string> {
  return (await site.failover(choice)) ? 'asked for' : 'refused';
}
