/** The shards of a store, and the catalog, which is adopted as they are. */
import type { Logger } from '../../core/contracts/telemetry.ts';
import { TandemError } from '../../core/errors.ts';
import type { Random } from '../../core/ports/random.ts';
import type { TopicPartition } from '../../core/record.ts';
import type { PreparedServer, RedisReply, RedisServers, RedisShard } from './connections/redis-servers.ts';
import { catalogTag, keyOf, shardOf, shardTag } from './keys.ts';
import { LIBRARY_NAME } from './library/library.ts';
import { ensureLibrary } from './library/load-library.ts';
import { LibraryShard, type Replication } from './library-shard.ts';
import { asStoreError } from './reply-errors.ts';

export interface ShardsOptions {
  readonly prefix: string;
  readonly random: Random;
  readonly logger: Logger;
  readonly replication: Replication | undefined;
}

export const STORE_ID_BYTES = 8;
const ID_BYTES = 6;
const NAME_BYTES = 4;

export class Shards {
  /** Histories that began through this process. */
  adoptions = 0;
  readonly #options: ShardsOptions;
  readonly #byTag = new Map<string, LibraryShard>();
  readonly #configEpochs = new Map<string, number>();
  #servers: RedisServers | undefined;
  #count = 0;

  constructor(options: ShardsOptions) {
    this.#options = options;
  }

  /** Before anything else; `count` of them, once it is known. */
  attach(servers: RedisServers): void {
    this.#servers = servers;
  }
  setCount(count: number): void {
    this.#count = count;
  }

  get catalog(): LibraryShard {
    return this.#shard(catalogTag(this.#options.prefix));
  }

  of(place: TopicPartition): LibraryShard {
    return this.#shard(shardTag(this.#options.prefix, shardOf(place, this.#count)));
  }

  all(): LibraryShard[] {
    return Array.from({ length: this.#count }, (_, shard) => this.#shard(shardTag(this.#options.prefix, shard)));
  }

  /** As Engine.claim. The number of shards must be known. */
  async claim(term: number): Promise<void> {
    const { catalog } = this;
    await catalog.call('claim', [catalog.key('term')], [String(term)]);
    await Promise.all(this.all().map((shard) => shard.call('claim', [], [String(term)])));
  }

  /** Those in use. */
  known(): Iterable<LibraryShard> {
    return this.#byTag.values();
  }

  /** Of those in use. Never rejects. */
  async verify(): Promise<void> {
    for (const shard of this.#byTag.values()) await shard.verify();
  }

  /** For openRedisServers. */
  async prepare(tag: string, call: RedisShard['call'], server: PreparedServer): Promise<void> {
    this.#configEpochs.set(tag, server.configEpoch);
    await this.#shard(tag).prepare(call);
  }

  #shard(tag: string): LibraryShard {
    let shard = this.#byTag.get(tag);
    if (shard === undefined) {
      if (this.#servers === undefined) throw new TandemError('TANDEM_INTERNAL', { detail: 'no servers' });
      const raw = this.#servers.shard(tag);
      shard = new LibraryShard({
        raw,
        adopt: (call) => this.#adopt(tag, call),
        replication: this.#options.replication,
        logger: this.#options.logger,
      });
      this.#byTag.set(tag, shard);
    }
    return shard;
  }

  /** The history of the server that `call` reaches. */
  async #adopt(tag: string, call: RedisShard['call']): Promise<string> {
    const shardKey = keyOf(tag, 'shard');
    await ensureLibrary(call, shardKey);
    const [status, known] = await look(call, shardKey);
    if (String(status) === 'OK') return String(known);
    const { prefix, random, logger } = this.#options;
    const isCatalog = tag === catalogTag(prefix);
    const claimed = isCatalog ? '0' : await this.#claimedTerm();
    const keys = isCatalog ? ['2', shardKey, keyOf(tag, 'term')] : ['1', shardKey];
    const facts = [random.id(ID_BYTES), random.id(NAME_BYTES), claimed, String(this.#configEpochs.get(tag) ?? 0)];
    const answer = await call(['FCALL', `${LIBRARY_NAME}_adopt`, ...keys, ...facts]);
    const history = String((answer as readonly RedisReply[])[1]);
    this.adoptions++;
    logger.info('redis_shard_adopted', { tag, history });
    return history;
  }

  /** A shard that was promoted may have lost a claim; the catalog, which is claimed first, has it, if that was not lost too. */
  async #claimedTerm(): Promise<string> {
    const { prefix } = this.#options;
    const servers = this.#servers as RedisServers;
    const tag = catalogTag(prefix);
    try {
      const [, , claimed] = await look((command) => servers.shard(tag).call(command), keyOf(tag, 'shard'));
      return claimed === undefined || claimed === null ? '0' : String(claimed);
    } catch (error) {
      throw asStoreError(error);
    }
  }
}

async function look(call: RedisShard['call'], shardKey: string): Promise<readonly RedisReply[]> {
  return (await call(['FCALL', `${LIBRARY_NAME}_look`, '1', shardKey])) as readonly RedisReply[];
}
