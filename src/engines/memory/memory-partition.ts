/**
 * One partition of a memory store: the batches, where they begin and end, the term, and what each producer has stored.
 *
 * Invariants: offsets are dense from 0; `firstOffset <= nextOffset`; batches are contiguous, the first one may begin below `firstOffset`
 * (after a trim in its middle); batches are never changed after they are stored, so that readers may keep them.
 * Non-goals: speed beyond what tests need.
 */

import type { AppendBatch, AppendedRun, PartitionState, ReadResult } from '../../core/contracts/engine.ts';
import { TandemError } from '../../core/errors.ts';
import type { Limits } from '../../core/limits.ts';
import type { Position } from '../../core/position.ts';
import type { ProducerSequence, TopicPartition } from '../../core/record.ts';
import { type RecordSet, type StoredBatch, sliceRecordSet } from '../../core/record-set.ts';

/** Consecutive sequences that were stored at consecutive offsets. */
interface StoredSequences {
  readonly sequence: number;
  readonly firstOffset: number;
  count: number;
}

interface Producer {
  lastSequence: number;
  seenMs: number;
  /** Ascending; the de-duplication window. */
  readonly places: StoredSequences[];
}

/** The de-duplication window: so many runs of a producer keep their places. */
const PLACES_PER_PRODUCER_MAX = 256;
const LENGTH_ENTRY_BYTES = 4;

export class MemoryPartition {
  epoch: string;
  firstOffset = 0;
  nextOffset = 0;
  /** The highest term that claimed or wrote. */
  term = 0;
  /** Who claimed it, and the how-manieth claim in the store it was. */
  claim: { readonly engine: object; readonly serial: number } | undefined;
  byteLength = 0;
  readonly #place: TopicPartition;
  readonly #limits: Limits;
  #batches: StoredBatch[] = [];
  readonly #producers = new Map<string, Producer>();

  constructor(place: TopicPartition, epoch: string, limits: Limits) {
    this.#place = place;
    this.epoch = epoch;
    this.#limits = limits;
  }

  state(): PartitionState {
    return { epoch: this.epoch, firstOffset: this.firstOffset, nextOffset: this.nextOffset };
  }

  /** Bytes that the batch would add now; 0 if all of it is stored already. */
  bytesToStore(batch: AppendBatch): number {
    const known = this.#countKnown(batch);
    return known === batch.set.count ? 0 : bytesOf(sliceRecordSet(batch.set, known));
  }

  /** Stores what is new of the batch, copied. The caller has checked the term and the space. */
  append(batch: AppendBatch, term: number, nowMs: number): AppendedRun[] {
    const { set, producer } = batch;
    const known = this.#countKnown(batch);
    const runs = producer === undefined || known === 0 ? [] : this.#placesOf(producer, known);
    const count = set.count - known;
    if (count > 0) {
      const firstOffset = this.nextOffset;
      const stored = copyOf(sliceRecordSet(set, known));
      this.#batches.push({ ...this.#place, firstOffset, timeMs: nowMs, term, set: stored });
      this.nextOffset += count;
      this.byteLength += bytesOf(stored);
      this.term = Math.max(this.term, term);
      runs.push({ count, firstOffset, isDuplicate: false });
    }
    if (producer !== undefined) this.#remember(producer, known, count, nowMs);
    return runs;
  }

  read(from: Position, bytesMax: number): ReadResult {
    const { epoch, firstOffset, nextOffset } = this;
    const lost = from.epoch !== '' && from.epoch !== epoch;
    if (lost || from.offset < firstOffset)
      throw new TandemError('TANDEM_POSITION_LOST', { data: { epoch, firstOffset, nextOffset } });
    if (from.offset > nextOffset)
      throw new TandemError('TANDEM_POSITION_AHEAD', { data: { epoch, firstOffset, nextOffset } });
    const batches: StoredBatch[] = [];
    let bytes = 0;
    for (let i = this.#indexOf(from.offset); i < this.#batches.length; i++) {
      const batch = this.#batches[i] as StoredBatch;
      bytes += batch.set.data.length;
      if (batches.length > 0 && bytes > bytesMax) break;
      batches.push(batch);
    }
    return { epoch, firstOffset, nextOffset, batches };
  }

  trim(beforeOffset: number): number {
    this.firstOffset = Math.min(Math.max(beforeOffset, this.firstOffset), this.nextOffset);
    const keptFrom = this.#indexOf(this.firstOffset);
    for (const batch of this.#batches.splice(0, keptFrom)) this.byteLength -= bytesOf(batch.set);
    return this.firstOffset;
  }

  /** Trims whole batches by age and size; the newest batch stays. */
  retain(nowMs: number, retentionMs: number | null, retentionBytes: number | null): void {
    let bytes = this.byteLength;
    let dropped = 0;
    while (dropped < this.#batches.length - 1) {
      const batch = this.#batches[dropped] as StoredBatch;
      const isOld = retentionMs !== null && batch.timeMs < nowMs - retentionMs;
      if (!isOld && (retentionBytes === null || bytes <= retentionBytes)) break;
      bytes -= bytesOf(batch.set);
      dropped++;
    }
    if (dropped > 0) this.trim((this.#batches[dropped] as StoredBatch).firstOffset);
  }

  lastSequence(producerId: string): number {
    return this.#producers.get(producerId)?.lastSequence ?? 0;
  }

  /** Another history takes this one's place: empty, from offset 0, under another epoch. */
  replaceHistory(epoch: string): void {
    this.epoch = epoch;
    this.firstOffset = 0;
    this.nextOffset = 0;
    this.byteLength = 0;
    this.#batches = [];
    this.#producers.clear();
  }

  /** How many of the batch's records, from the first on, are stored already. */
  #countKnown({ producer, set }: AppendBatch): number {
    if (producer === undefined) return 0;
    return Math.min(Math.max(this.lastSequence(producer.id) - producer.sequence + 1, 0), set.count);
  }

  /** The places of `count` known records. */
  #placesOf(producer: ProducerSequence, count: number): AppendedRun[] {
    const places = this.#producers.get(producer.id)?.places ?? [];
    const runs: AppendedRun[] = [];
    const end = producer.sequence + count;
    for (let sequence = producer.sequence; sequence < end; ) {
      const at = sequence;
      const place = places.find((candidate) => at < candidate.sequence + candidate.count);
      const isKnown = place !== undefined && place.sequence <= at;
      const runEnd = place === undefined ? end : isKnown ? place.sequence + place.count : place.sequence;
      const next = Math.min(runEnd, end);
      // Between two remembered places nothing was stored; before the first one it may have been.
      if (place !== undefined && !isKnown && place !== places[0])
        throw new TandemError('TANDEM_PRODUCER_INVALID', {
          detail: `sequence ${at} was left out`,
          data: { sequence: at },
        });
      const firstOffset = isKnown ? place.firstOffset + at - place.sequence : -1;
      runs.push({ count: next - at, firstOffset, isDuplicate: true });
      sequence = next;
    }
    return runs;
  }

  #remember(producer: ProducerSequence, known: number, count: number, nowMs: number): void {
    const { id } = producer;
    const entry = this.#producers.get(id) ?? { lastSequence: 0, seenMs: nowMs, places: [] };
    entry.seenMs = nowMs;
    // Deleted and set again: the map's order is the order of last sight.
    this.#producers.delete(id);
    this.#producers.set(id, entry);
    if (count > 0) {
      const sequence = producer.sequence + known;
      const firstOffset = this.nextOffset - count;
      const last = entry.places.at(-1);
      const continues =
        last !== undefined && last.sequence + last.count === sequence && last.firstOffset + last.count === firstOffset;
      if (continues) last.count += count;
      else entry.places.push({ sequence, firstOffset, count });
      if (entry.places.length > PLACES_PER_PRODUCER_MAX) entry.places.shift();
      entry.lastSequence = sequence + count - 1;
    }
    this.#forgetProducers(nowMs);
  }

  #forgetProducers(nowMs: number): void {
    const { producersPerPartitionMax, producerRetentionMs } = this.#limits;
    for (const [id, { seenMs }] of this.#producers) {
      if (this.#producers.size <= producersPerPartitionMax && seenMs >= nowMs - producerRetentionMs) break;
      this.#producers.delete(id);
    }
  }

  /** The index of the batch that holds `offset`; the number of batches if none does. */
  #indexOf(offset: number): number {
    let low = 0;
    let high = this.#batches.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const batch = this.#batches[middle] as StoredBatch;
      if (batch.firstOffset + batch.set.count <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

const bytesOf = (set: RecordSet): number => set.data.length + set.count * LENGTH_ENTRY_BYTES;

const copyOf = (set: RecordSet): RecordSet => ({
  count: set.count,
  lengths: set.lengths.slice(0, set.count),
  data: Buffer.from(set.data),
});
