/** What a Redis engine is opened with. */
import { type Logger, silentLogger } from '../../core/contracts/telemetry.ts';
import { DEFAULT_LIMITS, type Limits } from '../../core/limits.ts';
import { type Clock, systemClock } from '../../core/ports/clock.ts';
import { type Random, systemRandom } from '../../core/ports/random.ts';
import type { RedisKind } from '../../core/redis-url.ts';
import type { RedisTimeouts } from './connections/redis-servers.ts';
import type { Replication } from './library-shard.ts';

export interface RedisEngineOptions {
  /** As redis-url.ts reads it; its query may have the prefix of all keys. */
  readonly url: string;
  /** How many shards a store has that is made now; one that exists keeps its number. Default: 16 in a cluster, 1 elsewhere. */
  readonly shards?: number;
  /** This process's own partitions (localPartitions, retention) are those with partition % slots === slot. Default: all. */
  readonly slot?: number;
  readonly slots?: number;
  /** Under which this process writes. Default: the term that is claimed when it opens. */
  readonly term?: number;
  /** Appends resolve when so many replicas have them too: capabilities.ack is 'replicated'. */
  readonly replication?: Replication | undefined;
  /** As whom this process joins groups (groups.ts). */
  readonly memberName?: string;
  readonly sessionMs?: number;
  readonly timeouts?: Partial<RedisTimeouts>;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly logger?: Logger;
  readonly limits?: Limits;
  readonly retentionIntervalMs?: number;
  readonly topicsIntervalMs?: number;
  /** How often the servers are asked whether they are still the ones that were adopted (library-shard.ts). */
  readonly historyIntervalMs?: number;
  /** How often watched partitions are looked at, for messages that never came. */
  readonly watchIntervalMs?: number;
}

export const DEFAULT_SETTINGS = {
  slot: 0,
  slots: 1,
  clock: systemClock,
  random: systemRandom,
  logger: silentLogger,
  limits: DEFAULT_LIMITS as Limits,
  retentionIntervalMs: 10_000,
  topicsIntervalMs: 2000,
  historyIntervalMs: 5000,
  watchIntervalMs: 5000,
};

export type Settings = typeof DEFAULT_SETTINGS & RedisEngineOptions;

export const DEFAULT_SHARDS: { readonly [kind in RedisKind]: number } = { standalone: 1, sentinel: 1, cluster: 16 };
