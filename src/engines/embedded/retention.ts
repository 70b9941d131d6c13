/**
 * Retention and reclaiming. Retention trims each partition by its topic's age and bytes, at batches' bounds. A segment is deleted when
 * everything in it is trimmed; one of which less than half is left is copied into a smaller one by compaction (compactor.ts). So the
 * disk holds about twice what lives at most, and besides: the segment that is being written, what compaction has not come to yet, and
 * what it must leave as it is. The segment that is being written is never deleted.
 */
import type { Logger } from '../../core/contracts/telemetry.ts';
import type { Clock } from '../../core/ports/clock.ts';
import type { LocalStore } from './local-store.ts';
import type { ExtentEntries, ExtentSummary } from './log/extent.ts';
import { entryBytes } from './log/extent.ts';
import type { PartitionLog } from './log/partition-log.ts';
import type { Segment } from './log/segment.ts';
import { journalOwner, ownerSlot } from './ownership.ts';
import type { ProducerStates } from './producers.ts';
import type { StoreTerm } from './store-term.ts';
import type { StoredTopic, Topics } from './topics.ts';

export interface RetentionOptions {
  readonly store: LocalStore;
  readonly term: StoreTerm;
  readonly topics: Topics;
  readonly producers: ProducerStates;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly slot: number;
  readonly slots: number;
}

export class Retention {
  readonly #options: RetentionOptions;
  /** The row of a segment that was still alive when it was last looked at. */
  readonly #witnesses = new WeakMap<Segment, number>();
  #inHand: Promise<void> | undefined;
  deletedSegments = 0;

  constructor(options: RetentionOptions) {
    this.#options = options;
  }

  /** Trims what has outlived its topic's retention, forgets old producers, deletes dead segments. One run at a time. Never rejects. */
  apply(): Promise<void> {
    this.#inHand ??= this.#apply()
      .catch((error: unknown) => this.#options.logger.warn('retention_failed', { error: String(error) }))
      .finally(() => {
        this.#inHand = undefined;
      });
    return this.#inHand;
  }

  /** Resolves when nothing is in hand. */
  async idle(): Promise<void> {
    await this.#inHand;
  }

  async #apply(): Promise<void> {
    // Before that the other slots may still be recovering.
    if (!this.#options.store.isInUse) return;
    const { topics, store, term, slot, slots, producers } = this.#options;
    for (const topic of topics.known()) {
      if (topic.retentionMs === null && topic.retentionBytes === null) continue;
      for (let partition = 0; partition < topic.partitions; partition++) {
        if (ownerSlot(topic.name, topic.initialPartitions, partition, slots) !== slot) continue;
        const log = store.log(topic.name, partition);
        const keepFrom = this.#keepFrom(log, topic);
        if (keepFrom > log.firstOffset) await store.trim(log, keepFrom, term.own);
      }
    }
    await producers.expire(store.logs);
    await this.#reclaim();
  }

  /** The first offset that retention keeps. */
  #keepFrom(log: PartitionLog, topic: StoredTopic): number {
    const oldestMs = topic.retentionMs === null ? -1 : this.#options.clock.nowMs() - topic.retentionMs;
    let excess = topic.retentionBytes === null ? 0 : log.bytes - topic.retentionBytes;
    const { reader } = this.#options.store;
    for (const extent of log.extents) {
      if (extent.maxTimeMs < oldestMs || extent.bytes <= excess) {
        excess -= extent.bytes;
        continue;
      }
      if (extent.minTimeMs >= oldestMs && excess <= 0) return extent.firstOffset;
      return this.#keepWithin(log, extent, reader.entriesOf(extent), oldestMs, excess);
    }
    const { active } = log;
    if (active === undefined) return log.nextOffset;
    if (active.maxTimeMs < oldestMs) return log.nextOffset;
    return this.#keepWithin(log, active, active, oldestMs, excess);
  }

  #keepWithin(
    log: PartitionLog,
    extent: ExtentSummary,
    entries: ExtentEntries,
    oldestMs: number,
    excess: number,
  ): number {
    let keep = 0;
    while (
      keep < entries.count &&
      (entries.bytesBefore[keep] as number) + entryBytes(entries, keep, extent.bytes) <= excess
    )
      keep++;
    if (extent.minTimeMs < oldestMs) keep = Math.max(keep, this.#firstYoung(log, entries, oldestMs));
    return keep < entries.count ? (entries.firstOffsets[keep] as number) : extent.nextOffset;
  }

  /** The first entry not older than `oldestMs`: times never fall within a partition, so halving finds it. */
  #firstYoung(log: PartitionLog, entries: ExtentEntries, oldestMs: number): number {
    let low = 0;
    let high = entries.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const timeMs = this.#options.store.reader.timeAt(log, entries.firstOffsets[middle] as number);
      if (timeMs !== undefined && timeMs < oldestMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  async #reclaim(): Promise<void> {
    const { store, term, slot, slots, logger } = this.#options;
    term.require();
    for (const segment of store.segments) {
      if (journalOwner(segment.journal, slots) !== slot || segment.isInHand || !this.#isDead(segment)) continue;
      await store.remove(segment);
      this.deletedSegments++;
      logger.debug('segment_deleted', { file: segment.path });
    }
  }

  #isDead(segment: Segment): boolean {
    const { directory } = segment;
    // Without rows it is a damaged file that nobody has looked into yet.
    if (directory === undefined || directory.rows === 0) return false;
    const { store } = this.#options;
    for (let row = this.#witnesses.get(segment) ?? 0; row < directory.rows; row++) {
      const { topic, partition, nextOffset } = directory.summary(row);
      if (store.firstOffsetOf(topic, partition) >= nextOffset) continue;
      this.#witnesses.set(segment, row);
      return false;
    }
    return true;
  }
}
