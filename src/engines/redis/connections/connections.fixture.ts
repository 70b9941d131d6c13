/** Connections of a test, what they prepared and logged. */
import type { TestContext } from 'node:test';
import type { LogFields, Logger } from '../../../core/contracts/telemetry.ts';
import { parseRedisUrl } from '../../../core/redis-url.ts';
import { openRedisServers } from './open-redis-servers.ts';
import type { PreparedServer, RedisServers, RedisTimeouts } from './redis-servers.ts';

export interface OpenedForTest {
  readonly servers: RedisServers;
  readonly prepared: readonly (PreparedServer & { readonly tag: string })[];
  /** `level event code` */
  readonly events: readonly string[];
}

/** The preparation leaves a mark: `prepared` in the list `{tag}seen`. */
export function openForTest(t: TestContext, url: string, timeouts: Partial<RedisTimeouts> = {}): OpenedForTest {
  const prepared: (PreparedServer & { tag: string })[] = [];
  const events: string[] = [];
  const note =
    (level: string) =>
    (event: string, fields: LogFields = {}): void => {
      events.push(`${level} ${event} ${String(fields['code'])}`);
    };
  const logger: Logger = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') };
  const servers = openRedisServers({
    url: parseRedisUrl(url),
    logger,
    timeouts,
    prepare: async (tag, call, server) => {
      await call(['RPUSH', `{${tag}}seen`, 'prepared']);
      prepared.push({ tag, ...server });
    },
  });
  t.after(() => servers.close());
  return { servers, prepared, events };
}
