/** What one producer has stored in one partition: its last sequence, and where its recent ones are. */
import { TandemError } from '../../core/errors.ts';

/** Consecutive sequences that were stored at consecutive offsets. */
interface StoredSequences {
  readonly sequence: number;
  readonly firstOffset: number;
  readonly count: number;
}

/** Consecutive records of an append. */
export interface Piece {
  readonly count: number;
  /** Where they are stored; -1: stored, the place is not known; undefined: to be stored. */
  readonly firstOffset: number | undefined;
}

/** The de-duplication window: so many runs of a producer keep their places. */
const PLACES_MAX = 256;

export class MemoryProducer {
  lastSequence = 0;
  seenMs = 0;
  /** Ascending. */
  #places: StoredSequences[] = [];

  /**
   * What of `count` sequences from `sequence` on is stored. A sequence that was left out before higher ones is to be stored if `fillsGaps`, and so is
   * one of which that is not known any more; otherwise the first throws TANDEM_PRODUCER_INVALID, and the other counts as stored.
   */
  piecesOf(sequence: number, count: number, fillsGaps: boolean): Piece[] {
    const pieces: Piece[] = [];
    const end = sequence + count;
    for (let at = sequence; at < end; ) {
      const place = this.#places.find((candidate) => at < candidate.sequence + candidate.count);
      const isStored = place !== undefined && place.sequence <= at;
      const stop = place === undefined ? end : isStored ? place.sequence + place.count : place.sequence;
      const next = Math.min(stop, end);
      pieces.push({
        count: next - at,
        firstOffset: isStored ? place.firstOffset + at - place.sequence : this.#unplaced(at, place, fillsGaps),
      });
      at = next;
    }
    return pieces;
  }

  add(sequence: number, firstOffset: number, count: number): void {
    const places = this.#places;
    const before = places.findLastIndex((place) => place.sequence < sequence);
    const last = places[before];
    const continues =
      last !== undefined && last.sequence + last.count === sequence && last.firstOffset + last.count === firstOffset;
    if (continues) places[before] = { ...last, count: last.count + count };
    else places.splice(before + 1, 0, { sequence, firstOffset, count });
    if (places.length > PLACES_MAX) places.shift();
    this.lastSequence = Math.max(this.lastSequence, sequence + count - 1);
  }

  copy(): MemoryProducer {
    const copy = new MemoryProducer();
    copy.lastSequence = this.lastSequence;
    copy.seenMs = this.seenMs;
    copy.#places = [...this.#places];
    return copy;
  }

  /** `at` is in no place, `next` is the one after it. */
  #unplaced(at: number, next: StoredSequences | undefined, fillsGaps: boolean): number | undefined {
    if (fillsGaps || at > this.lastSequence) return undefined;
    // Between two remembered places nothing was stored; before the first one it may have been.
    if (next !== this.#places[0])
      throw new TandemError('TANDEM_PRODUCER_INVALID', {
        detail: `sequence ${at} was left out`,
        data: { sequence: at },
      });
    return -1;
  }
}
