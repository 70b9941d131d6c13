/**
 * One flush: the appends that share a write and an fdatasync. Assigning gives each append its offsets and takes out repeats, in the
 * order of the calls; nothing of it is visible until `confirm`, and `revoke` leaves everything as it was before.
 */
import type { AppendedRun } from '../../../core/contracts/engine.ts';
import { TandemError } from '../../../core/errors.ts';
import { BATCH_BYTES_MAX, BATCH_RECORDS_MAX, RECORD_BYTES_CEILING } from '../../../core/limits.ts';
import type { RecordSet } from '../../../core/record-set.ts';
import { RECORD_OVERHEAD_BYTES, sliceRecordSet } from '../../../core/record-set.ts';
import type { FlushPlace } from './batch-format.ts';
import { batchBytes } from './batch-format.ts';
import { GrowingExtent } from './extent.ts';
import type { FlushBuffer } from './flush-buffer.ts';
import type { PartitionLog, ProducerState } from './partition-log.ts';
import type { PendingAppend } from './pending-append.ts';
import type { ProducerRefusals } from './producer-refusals.ts';
import { advanceWindow, placesOf, repeatedCount } from './producer-window.ts';
import type { SegmentTrail } from './segment-trail.ts';

interface StoredAppend {
  readonly append: PendingAppend;
  readonly producer: ProducerState | undefined;
  readonly runs: readonly AppendedRun[];
  /** -1: all were repeats, nothing is written. */
  readonly position: number;
  readonly bytes: number;
  readonly firstOffset: number;
  readonly count: number;
  readonly timeMs: number;
  readonly sequence: number;
}

export interface GroupSources {
  /** May throw: the append is rejected. */
  producer(log: PartitionLog, producerId: string): ProducerState;
  confirmProducer(log: PartitionLog, producer: ProducerState, nowMs: number): void;
  /** Under which records are stored. */
  readonly term: { readonly own: number };
  readonly refusals: ProducerRefusals;
}

const NOTHING_WRITTEN = { position: -1, bytes: 0, firstOffset: -1, count: 0, timeMs: 0, sequence: 0 };

/** At most so many bytes in the segment. */
export const appendBytes = ({ batch }: PendingAppend): number =>
  batchBytes(batch.topic, batch.producer?.id ?? '', batch.set);

function checkSize({ count, data }: RecordSet): void {
  const bytesMax = count === 1 ? RECORD_BYTES_CEILING + RECORD_OVERHEAD_BYTES : BATCH_BYTES_MAX;
  if (count > BATCH_RECORDS_MAX || data.length > bytesMax)
    throw new TandemError('TANDEM_BATCH_TOO_LARGE', { detail: `${count} records, ${data.length} bytes` });
}

const fencedError = (term: number, claimed: number): TandemError =>
  new TandemError('TANDEM_TERM_FENCED', { detail: `${term} is below ${claimed}`, data: { term: claimed } });

export class FlushGroup {
  readonly #sources: GroupSources;
  readonly #buffer: FlushBuffer;
  readonly #place: FlushPlace;
  readonly #nowMs: number;
  readonly #stored: StoredAppend[] = [];
  records = 0;

  constructor(sources: GroupSources, buffer: FlushBuffer, place: FlushPlace, nowMs: number) {
    this.#sources = sources;
    this.#buffer = buffer;
    this.#place = place;
    this.#nowMs = nowMs;
    buffer.reset();
  }

  /** Whether something has to be written. */
  get isEmpty(): boolean {
    return this.#buffer.byteLength === 0;
  }

  /** `claimed`: the store's term. */
  assign(append: PendingAppend, claimed: number): void {
    try {
      if (append.term < claimed) throw fencedError(append.term, claimed);
      this.#assign(append);
    } catch (thrown) {
      const error = thrown as TandemError;
      // What can never be stored holds nothing up.
      if (error.code === 'TANDEM_PRODUCER_INVALID') append.reject(error);
      else this.refuse(append, error);
    }
  }

  /** Rejects one append, and with it what its producer sends until the rejection is known. */
  refuse(append: PendingAppend, error: TandemError): void {
    this.#sources.refusals.add(append, error);
    append.reject(error);
  }

  /**
   * All is durable: shows it, and answers what was called under at least the `claimed` term. Returns the partitions that have new records.
   */
  confirm(claimed: number): Set<PartitionLog> {
    const changed = new Set<PartitionLog>();
    for (const stored of this.#stored) {
      const { log } = stored.append;
      if (stored.producer !== undefined) this.#sources.confirmProducer(log, stored.producer, this.#nowMs);
      if (stored.position >= 0) {
        this.#show(log, stored);
        changed.add(log);
      }
      if (stored.append.term < claimed) stored.append.reject(fencedError(stored.append.term, claimed));
      else stored.append.resolve({ epoch: log.epoch, runs: stored.runs });
    }
    return changed;
  }

  /** Notes in the trail what was confirmed. */
  noteIn(trail: SegmentTrail): void {
    for (const stored of this.#stored)
      if (stored.position >= 0) trail.add(stored.append.log, stored.producer, stored, stored.sequence);
  }

  /** Nothing is stored: takes all back and rejects. */
  revoke(error: TandemError): void {
    for (const { append, producer } of this.#stored) {
      append.log.assignedOffset = append.log.nextOffset;
      if (producer !== undefined) producer.pending = undefined;
      this.refuse(append, error);
    }
  }

  #assign(append: PendingAppend): void {
    const { log, batch } = append;
    this.#sources.refusals.check(append);
    checkSize(batch.set);
    if (batch.term !== undefined && batch.term < log.term) throw fencedError(batch.term, log.term);
    if (batch.set.count === 0) {
      this.#stored.push({ append, producer: undefined, runs: [], ...NOTHING_WRITTEN });
      return;
    }
    if (batch.producer === undefined) {
      const stored = this.#write(append, batch.set, undefined, 0);
      this.#stored.push(stored);
      return;
    }
    const { id, sequence } = batch.producer;
    const producer = this.#sources.producer(log, id);
    const window = producer.pending ?? producer.window;
    const repeated = repeatedCount(window, sequence, batch.set.count);
    const places = repeated === 0 ? [] : placesOf(window, sequence, repeated);
    if (repeated === batch.set.count) {
      this.#stored.push({ append, producer, runs: places, ...NOTHING_WRITTEN });
      return;
    }
    const fresh = this.#write(append, sliceRecordSet(batch.set, repeated), producer, sequence + repeated);
    producer.pending = advanceWindow(window, sequence + repeated, fresh.firstOffset, fresh.count);
    this.#stored.push(repeated === 0 ? fresh : { ...fresh, runs: [...places, ...fresh.runs] });
  }

  #write(append: PendingAppend, set: RecordSet, producer: ProducerState | undefined, sequence: number): StoredAppend {
    const { log, batch } = append;
    const firstOffset = log.assignedOffset;
    const timeMs = Math.max(log.lastTimeMs, this.#nowMs);
    const position = this.#place.flushStart + this.#buffer.byteLength;
    const term = Math.max(batch.term ?? this.#sources.term.own, log.term);
    const { topic, partition } = log;
    const producerId = producer?.producerId ?? '';
    const fields = { topic, partition, producerId, sequence, firstOffset, timeMs, term, set };
    const bytes = this.#buffer.add(fields, this.#place);
    log.assignedOffset = firstOffset + set.count;
    log.lastTimeMs = timeMs;
    this.records += set.count;
    const runs = [{ count: set.count, firstOffset, isDuplicate: false }];
    return { append, producer, runs, position, bytes, firstOffset, count: set.count, timeMs, sequence };
  }

  #show(log: PartitionLog, { position, bytes, firstOffset, count, timeMs }: StoredAppend): void {
    log.active ??= new GrowingExtent(log.topic, log.partition, firstOffset, timeMs);
    log.active.add(position, bytes, firstOffset, count, timeMs);
    log.nextOffset = firstOffset + count;
  }
}
