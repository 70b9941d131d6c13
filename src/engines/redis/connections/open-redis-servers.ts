/** The servers behind a URL: one lane per hash tag, one finder of masters for all. */
import type { Logger } from '../../../core/contracts/telemetry.ts';
import { TandemError } from '../../../core/errors.ts';
import type { ParsedRedisUrl, RedisKind } from '../../../core/redis-url.ts';
import { ClusterFinder } from './cluster-finder.ts';
import { hashSlot } from './hash-slot.ts';
import type { FinderEvents, FinderSettings, MasterFinder } from './master-finder.ts';
import {
  DEFAULT_REDIS_TIMEOUTS,
  type RedisServers,
  type RedisShard,
  type RedisTimeouts,
  type ShardPreparation,
} from './redis-servers.ts';
import { SentinelFinder } from './sentinel-finder.ts';
import { ShardLane } from './shard-lane.ts';
import { StandaloneFinder } from './standalone-finder.ts';

export interface RedisServersOptions {
  readonly url: ParsedRedisUrl;
  readonly prepare: ShardPreparation;
  readonly logger: Logger;
  /** What is left out is as in DEFAULT_REDIS_TIMEOUTS. */
  readonly timeouts?: Partial<RedisTimeouts>;
}

/** Answers at once and begins to connect. Servers that are away, or refuse, are tried again until `close`, which the log tells. */
export const openRedisServers = (options: RedisServersOptions): RedisServers => new ConnectedServers(options);

class ConnectedServers implements RedisServers {
  readonly kind: RedisKind;
  readonly #options: RedisServersOptions;
  readonly #timeouts: RedisTimeouts;
  readonly #finder: MasterFinder;
  readonly #lanes = new Map<string, ShardLane>();
  #isClosed = false;

  constructor(options: RedisServersOptions) {
    const { url, logger } = options;
    this.#options = options;
    this.kind = url.kind;
    this.#timeouts = { ...DEFAULT_REDIS_TIMEOUTS, ...options.timeouts };
    const { connectTimeoutMs, suspectAfterMs, hungAfterMs } = this.#timeouts;
    const { credentials, database, isTls } = url;
    const access = { credentials, database, isTls, connectTimeoutMs, suspectAfterMs, hungAfterMs };
    this.#finder = createFinder(
      { url, access, logger },
      {
        onChanged: () => this.#advance(),
        onRefused: (error) => this.#refuse(error),
      },
    );
  }

  shard(tag: string): RedisShard {
    return this.#lane(tag, this.#options.prepare);
  }

  async identity(): Promise<string> {
    // Of no shard: nothing is prepared for it.
    const lane = this.#lane('', async () => {});
    await lane.call(['PING']);
    const connection = this.#finder.master(hashSlot(''));
    if (connection === undefined)
      throw new TandemError('TANDEM_STORE_UNREACHABLE', {
        detail: this.#finder.trouble,
        data: { mayBeExecuted: false },
      });
    return this.#finder.identity(connection);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#finder.close();
    for (const lane of this.#lanes.values()) lane.close();
  }

  #lane(tag: string, prepare: ShardPreparation): ShardLane {
    const known = this.#lanes.get(tag);
    if (known !== undefined) return known;
    const { logger } = this.#options;
    const { unreachableAfterMs } = this.#timeouts;
    const slot = hashSlot(tag);
    const lane = new ShardLane({ tag, slot, finder: this.#finder, prepare, unreachableAfterMs, logger });
    this.#lanes.set(tag, lane);
    if (this.#isClosed) lane.close();
    else lane.advance();
    return lane;
  }

  #advance(): void {
    for (const lane of this.#lanes.values()) lane.advance();
  }

  #refuse(error: TandemError): void {
    for (const lane of this.#lanes.values()) lane.refuse(error);
  }
}

function createFinder(settings: FinderSettings, events: FinderEvents): MasterFinder {
  switch (settings.url.kind) {
    case 'standalone':
      return new StandaloneFinder(settings, events);
    case 'sentinel':
      return new SentinelFinder(settings, events);
    case 'cluster':
      return new ClusterFinder(settings, events);
  }
}
