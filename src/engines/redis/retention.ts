/**
 * Retention, by this process for the partitions that are its own (RecordStore.localPartitions): trims them by their topic's age and bytes at the
 * marks that appends leave (library/records.lua.ts), and forgets producers that were not seen for long. Bounded work at a turn: calls are made one after
 * the other, so that they do not hold up others.
 */
import type { TopicInfo } from '../../core/contracts/engine.ts';
import type { Logger } from '../../core/contracts/telemetry.ts';
import { asTandemError } from '../../core/errors.ts';
import type { Limits } from '../../core/limits.ts';
import type { Clock } from '../../core/ports/clock.ts';
import type { Partition, Partitions } from './partitions.ts';
import type { RedisRecordStore } from './record-store.ts';
import type { StoreTerm } from './store-term.ts';
import type { Topics } from './topics.ts';

export interface RetentionOptions {
  readonly topics: Topics;
  readonly partitions: Partitions;
  readonly store: RedisRecordStore;
  readonly term: StoreTerm;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly logger: Logger;
}

const TRIMS_PER_TURN = 50;
const FORGET_CALLS_PER_TURN = 20;
const FORGET_INTERVAL_MS = 300_000;

export class Retention {
  readonly #options: RetentionOptions;
  /** Where the look through a partition's producers goes on; absent: at its beginning. */
  readonly #cursors = new Map<Partition, string>();
  #nextForgetMs = 0;
  #inHand: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: RetentionOptions) {
    this.#options = options;
  }

  /** One run at a time. Never rejects. */
  apply(): Promise<void> {
    this.#inHand ??= this.#apply()
      .catch((error: unknown) => this.#failed(error))
      .finally(() => {
        this.#inHand = undefined;
      });
    return this.#inHand;
  }

  /** Resolves when nothing is in hand. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#inHand;
  }

  async #apply(): Promise<void> {
    const { topics, partitions, store, clock } = this.#options;
    const forgets = clock.monotonicMs() >= this.#nextForgetMs;
    if (forgets) this.#nextForgetMs = clock.monotonicMs() + FORGET_INTERVAL_MS;
    for (const topic of [...topics.known()])
      for (const partition of store.localPartitions(topic.name)) {
        if (this.#isClosed) return;
        const used = partitions.get({ topic: topic.name, partition });
        if (topic.retentionMs !== null || topic.retentionBytes !== null) await this.#trim(used, topic);
        if (forgets || this.#cursors.has(used)) await this.#forget(used);
      }
  }

  /** Fenced: another node is active, and applies it. */
  #failed(error: unknown): void {
    if (asTandemError(error).code === 'TANDEM_TERM_FENCED') return;
    this.#options.logger.warn('retention_failed', { error: String(error) });
  }

  async #trim({ shard, appendKeys }: Partition, { retentionMs, retentionBytes }: TopicInfo): Promise<void> {
    const args = [this.#options.term.text, String(retentionMs ?? ''), String(retentionBytes ?? '')];
    for (let turn = 0; turn < TRIMS_PER_TURN && !this.#isClosed; turn++) {
      const [, , hasMore] = await shard.call('retain', appendKeys, args);
      if (hasMore !== 1) return;
    }
  }

  async #forget(partition: Partition): Promise<void> {
    const { clock, limits, term } = this.#options;
    const oldestMs = Math.floor(clock.nowMs() - limits.producerRetentionMs);
    let cursor = this.#cursors.get(partition) ?? '0';
    for (let calls = 0; calls < FORGET_CALLS_PER_TURN && !this.#isClosed; calls++) {
      const args = [term.text, String(oldestMs), String(limits.producersPerPartitionMax), cursor];
      const [, next, excess] = await partition.shard.call('forget_producers', [partition.key('producers')], args);
      cursor = String(next);
      if (cursor === '0' && excess === 0) break;
    }
    if (cursor === '0') this.#cursors.delete(partition);
    else this.#cursors.set(partition, cursor);
  }
}
