/** What the guard (guarded-engine.ts) asks of an append, and of its answer. */
import type { AppendBatch, AppendResult } from '../core/contracts/engine.ts';
import { TandemError } from '../core/errors.ts';
import { BATCH_BYTES_MAX, BATCH_RECORDS_MAX, RECORD_BYTES_CEILING } from '../core/limits.ts';
import { PRODUCER_ID_PATTERN, type ProducerSequence } from '../core/record.ts';

/** What a process has been answered of a partition. */
export interface SeenPlaces {
  epoch: string;
  /** Above every offset that was answered, in the order of the calls. */
  nextOffset: number;
  answeredCall: number;
}

/** Errors: TANDEM_INTERNAL, TANDEM_BATCH_TOO_LARGE, TANDEM_PRODUCER_INVALID. */
export function requireBatch({ set, producer, origin, term }: AppendBatch): void {
  const { count, lengths, data } = set;
  const isSane = isCount(count) && count > 0 && lengths.length >= count && data.length >= count;
  if (!isSane) throw new TandemError('TANDEM_INTERNAL', { detail: 'the record set contradicts itself' });
  const bytesMax = count === 1 ? RECORD_BYTES_CEILING : BATCH_BYTES_MAX;
  if (data.length > bytesMax || count > BATCH_RECORDS_MAX) throw new TandemError('TANDEM_BATCH_TOO_LARGE');
  if (term !== undefined) requireTerm(term);
  if (producer !== undefined && !isSequence(producer, count)) throw new TandemError('TANDEM_PRODUCER_INVALID');
  if (origin === undefined) return;
  const { sequence, after = sequence - 1 } = origin;
  if (!isSequence(origin, count) || !isCount(after) || after >= sequence)
    throw new TandemError('TANDEM_INTERNAL', { detail: 'the origin contradicts itself' });
}

/** Of the first of `count` records. */
const isSequence = ({ id, sequence }: ProducerSequence, count: number): boolean =>
  PRODUCER_ID_PATTERN.test(id) && sequence >= 1 && isCount(sequence) && isCount(sequence + count);

/** Of an engine that answers before records have places. */
export function checkCounts({ set, producer, origin }: AppendBatch, { runs }: AppendResult): void {
  let count = 0;
  for (const run of runs) {
    count += run.count;
    if (run.count < 1) throw broken('a run is empty');
    if (run.isDuplicate && producer === undefined && origin === undefined)
      throw broken('a duplicate without a producer');
    if (run.firstOffset !== -1 && !isCount(run.firstOffset)) throw broken('a run has no valid offset');
  }
  if (count !== set.count) throw broken(`${count} records answered of ${set.count}`);
}

/** What is answered of a partition goes up, in the order of the calls. */
export function checkRuns(batch: AppendBatch, result: AppendResult, seen: SeenPlaces, call: number): void {
  checkCounts(batch, result);
  const { epoch, runs } = result;
  const isLatest = call > seen.answeredCall;
  let lowest = isLatest && epoch === seen.epoch ? seen.nextOffset : 0;
  for (const run of runs) {
    if (run.isDuplicate) continue;
    if (run.firstOffset === -1) throw broken('a stored run has no valid offset');
    if (run.firstOffset < lowest) throw broken(`offset ${run.firstOffset} after ${lowest}`);
    lowest = run.firstOffset + run.count;
  }
  if (epoch === '') throw broken('no epoch');
  if (!isLatest) return;
  seen.answeredCall = call;
  seen.epoch = epoch;
  seen.nextOffset = lowest;
}

export const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;

export function requireTerm(term: number): void {
  if (!isCount(term)) throw new TandemError('TANDEM_INTERNAL', { detail: `not a term: ${term}` });
}

export const broken = (what: string): TandemError =>
  new TandemError('TANDEM_STORE_FAILED', { detail: `the engine broke its contract: ${what}` });
