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
import { MemoryProducer, type Piece } from './memory-producer.ts';

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
  #producers = new Map<string, MemoryProducer>();
  /** id -> the last stored sequence */
  #origins = new Map<string, number>();

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
    let bytes = 0;
    let at = 0;
    for (const { count, firstOffset } of this.#piecesOf(batch)) {
      if (firstOffset === undefined) bytes += bytesOf(sliceRecordSet(batch.set, at, at + count));
      at += count;
    }
    return bytes;
  }

  /** Stores what is new of the batch, copied. The caller has checked the term and the space. */
  append(batch: AppendBatch, term: number, nowMs: number): AppendedRun[] {
    const { set, producer, origin } = batch;
    const pieces = this.#piecesOf(batch);
    const runs: AppendedRun[] = [];
    let at = 0;
    for (const { count, firstOffset } of pieces) {
      if (firstOffset !== undefined) runs.push({ count, firstOffset, isDuplicate: true });
      else {
        const sequence = producer && { id: producer.id, sequence: producer.sequence + at };
        const stored = this.#store(sliceRecordSet(set, at, at + count), sequence, term, nowMs);
        runs.push({ count, firstOffset: stored, isDuplicate: false });
      }
      at += count;
    }
    if (producer !== undefined) this.#see(producer.id, nowMs);
    if (origin !== undefined)
      this.#origins.set(origin.id, Math.max(this.originSequence(origin.id), origin.sequence + set.count - 1));
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

  originSequence(originId: string): number {
    return this.#origins.get(originId) ?? 0;
  }

  /** As it is now, for a failover to a copy that knows no more than this. */
  copy(epoch: string): MemoryPartition {
    const copy = new MemoryPartition(this.#place, epoch, this.#limits);
    Object.assign(copy, { firstOffset: this.firstOffset, nextOffset: this.nextOffset, byteLength: this.byteLength });
    Object.assign(copy, { term: this.term, claim: this.claim });
    copy.#batches = [...this.#batches];
    copy.#producers = new Map([...this.#producers].map(([id, producer]) => [id, producer.copy()]));
    copy.#origins = new Map(this.#origins);
    return copy;
  }

  /** Another history takes this one's place: empty, from offset 0, under another epoch. */
  replaceHistory(epoch: string): void {
    this.epoch = epoch;
    this.firstOffset = 0;
    this.nextOffset = 0;
    this.byteLength = 0;
    this.#batches = [];
    this.#producers.clear();
    this.#origins.clear();
  }

  /** Errors: TANDEM_ORIGIN_GAP, TANDEM_PRODUCER_INVALID. */
  #piecesOf({ producer, origin, set: { count } }: AppendBatch): Piece[] {
    let repeated = 0;
    if (origin !== undefined) {
      const { id, sequence, after = sequence - 1 } = origin;
      const last = this.originSequence(id);
      if (last < after)
        throw new TandemError('TANDEM_ORIGIN_GAP', { detail: `${last} of ${after}`, data: { sequence: last } });
      repeated = Math.min(Math.max(last - sequence + 1, 0), count);
    }
    const pieces: Piece[] = repeated === 0 ? [] : [{ count: repeated, firstOffset: -1 }];
    if (repeated === count) return pieces;
    if (producer === undefined) return [...pieces, { count: count - repeated, firstOffset: undefined }];
    const known = this.#producers.get(producer.id) ?? new MemoryProducer();
    return [...pieces, ...known.piecesOf(producer.sequence + repeated, count - repeated, origin !== undefined)];
  }

  /** The offset of the first record. */
  #store(set: RecordSet, producer: ProducerSequence | undefined, term: number, nowMs: number): number {
    const firstOffset = this.nextOffset;
    const stored = copyOf(set);
    const batch = { ...this.#place, firstOffset, timeMs: nowMs, term, set: stored };
    this.#batches.push(producer === undefined ? batch : { ...batch, producer });
    this.nextOffset += set.count;
    this.byteLength += bytesOf(stored);
    this.term = Math.max(this.term, term);
    if (producer !== undefined) this.#see(producer.id, nowMs).add(producer.sequence, firstOffset, set.count);
    return firstOffset;
  }

  #see(producerId: string, nowMs: number): MemoryProducer {
    const producer = this.#producers.get(producerId) ?? new MemoryProducer();
    producer.seenMs = nowMs;
    // Deleted and set again: the map's order is the order of last sight.
    this.#producers.delete(producerId);
    this.#producers.set(producerId, producer);
    this.#forgetProducers(nowMs);
    return producer;
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
