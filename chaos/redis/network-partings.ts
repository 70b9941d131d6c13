/** Hosts that do not reach each other, while clients reach all nodes. Each parting goes for less or more than the lease's time. */
import { pick, spanMs } from '../faults/fault.ts';
import type { NodeUnderTest } from '../node-under-test.ts';
import { pause } from '../producers/producer.ts';
import type { RedisFault, RedisWorld } from './redis-fault.ts';

type Direction = 'both' | 'to-servers' | 'to-nodes';

/** A node from all servers. */
export async function cutNode(
  world: RedisWorld,
  node: NodeUnderTest | undefined,
  direction: Direction,
  { amount }: RedisFault,
): Promise<string> {
  if (node === undefined) return 'nobody';
  const forMs = spanMs(world.limits.leaseMs, amount);
  await partFor(world, { nodes: [node.name], servers: allServers(world), direction, forMs });
  return `${node.name} for ${forMs} ms`;
}

/** A master from the other servers, and from as many nodes as `alone` does not name. */
export async function cutMaster(
  world: RedisWorld,
  { choice, amount }: RedisFault,
  nodes: 'none' | 'others' | 'all',
): Promise<string> {
  const {
    site,
    nodes: { nodes: all },
  } = world;
  const master = await site.master(choice);
  if (master === undefined) return 'nobody';
  const name = site.nameOf(master);
  const forMs = spanMs(world.limits.serverMs * 2, amount);
  const companion = nodes === 'others' ? pick(all, amount) : undefined;
  const cut = nodes === 'none' ? [] : all.filter((node) => node !== companion).map((node) => node.name);
  const others = nodes === 'all' ? [] : allServers(world).filter((other) => other !== name);
  // Its companion does not reach the other side either.
  const away = companion === undefined ? [] : [companion.name];
  await Promise.all([
    partFor(world, { nodes: [...cut, ...others], servers: [name], direction: 'both', forMs }),
    partFor(world, { nodes: away, servers: others, direction: 'both', forMs }),
  ]);
  return `${name}${companion === undefined ? '' : ` with ${companion.name}`} for ${forMs} ms`;
}

const allServers = ({ site }: RedisWorld): string[] => site.all.map((server) => site.nameOf(server));

interface Parting {
  readonly nodes: readonly string[];
  readonly servers: readonly string[];
  readonly direction: Direction;
  readonly forMs: number;
}

async function partFor({ hosts }: RedisWorld, { nodes, servers, direction, forMs }: Parting): Promise<void> {
  const pairs = nodes.flatMap((node) => servers.map((server) => [node, server] as const));
  for (const [node, server] of pairs) {
    if (direction !== 'to-nodes') hosts.part(node, server);
    if (direction !== 'to-servers') hosts.part(server, node);
  }
  await pause(forMs);
  for (const [node, server] of pairs) {
    hosts.join(node, server);
    hosts.join(server, node);
  }
}
