/**
 * What is known of one producer in one partition: the last sequence stored, and where its recent records are. Immutable: an append
 * makes a new one, which counts only once the append is durable.
 */
import type { AppendedRun } from '../../../core/contracts/engine.ts';
import { TandemError } from '../../../core/errors.ts';

export interface ProducerWindow {
  readonly lastSequence: number;
  /** Runs of three numbers, oldest first: first sequence, first offset, count. */
  readonly runs: readonly number[];
}

/** How many separate runs are remembered; runs that continue each other are one. */
export const PRODUCER_RUNS_MAX = 64;
export const EMPTY_WINDOW: ProducerWindow = { lastSequence: 0, runs: [] };

/** The window after `count` records from `sequence` on were stored from `firstOffset` on. */
export function advanceWindow(
  window: ProducerWindow,
  sequence: number,
  firstOffset: number,
  count: number,
): ProducerWindow {
  const lastSequence = sequence + count - 1;
  const runs = window.runs.slice();
  const last = runs.length - 3;
  if (last >= 0) {
    const [lastFirst, lastOffset, lastCount] = [runs[last], runs[last + 1], runs[last + 2]] as [number, number, number];
    if (lastFirst + lastCount === sequence && lastOffset + lastCount === firstOffset) {
      runs[last + 2] = lastCount + count;
      return { lastSequence, runs };
    }
  }
  runs.push(sequence, firstOffset, count);
  if (runs.length > PRODUCER_RUNS_MAX * 3) runs.splice(0, 3);
  return { lastSequence, runs };
}

/** How many of `count` records from `sequence` on have been stored before: always the first ones. */
export const repeatedCount = (window: ProducerWindow, sequence: number, count: number): number =>
  Math.max(0, Math.min(count, window.lastSequence - sequence + 1));

/**
 * Where records stored before are; -1 where that is no longer known: before the first remembered run. `[sequence, sequence + count)` are
 * not above the last sequence. What lies between two remembered runs was left out and never stored: TANDEM_PRODUCER_INVALID, since
 * called a repeat it would be acknowledged and lost.
 */
export function placesOf(window: ProducerWindow, sequence: number, count: number): AppendedRun[] {
  const places: AppendedRun[] = [];
  const { runs } = window;
  const end = sequence + count;
  const remembered = runs[0] ?? Number.POSITIVE_INFINITY;
  let at = sequence;
  for (let i = 0; i < runs.length && at < end; i += 3) {
    const [first, offset, length] = [runs[i], runs[i + 1], runs[i + 2]] as [number, number, number];
    if (first + length <= at) continue;
    if (first >= end) break;
    if (first > at) {
      if (at > remembered) throw leftOut(at);
      places.push({ count: first - at, firstOffset: -1, isDuplicate: true });
      at = first;
    }
    const stop = Math.min(end, first + length);
    places.push({ count: stop - at, firstOffset: offset + (at - first), isDuplicate: true });
    at = stop;
  }
  if (at < end && at > remembered) throw leftOut(at);
  if (at < end) places.push({ count: end - at, firstOffset: -1, isDuplicate: true });
  return places;
}

const leftOut = (sequence: number): TandemError =>
  new TandemError('TANDEM_PRODUCER_INVALID', {
    detail: `sequence ${sequence} was left out before higher ones and can no longer be stored under it`,
    data: { sequence },
  });
