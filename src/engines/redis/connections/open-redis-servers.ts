import type { Logger } from '../../../core/contracts/telemetry.ts';
import { TandemError } from '../../../core/errors.ts';
import type { RedisServers, RedisTimeouts, ShardPreparation } from './redis-servers.ts';
import type { ParsedRedisUrl } from './redis-url.ts';

export interface RedisServersOptions {
  readonly url: ParsedRedisUrl;
  readonly prepare: ShardPreparation;
  readonly logger: Logger;
  /** What is left out is as in DEFAULT_REDIS_TIMEOUTS. */
  readonly timeouts?: Partial<RedisTimeouts>;
}

/** Connects when first used. Answers at once; servers that are away are looked for until `close`. */
export function openRedisServers(options: RedisServersOptions): RedisServers {
  throw new TandemError('TANDEM_INTERNAL', { detail: `not yet: ${options.url.displayUrl}` });
}
