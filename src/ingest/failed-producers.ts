/**
 * Producers whose last append failed, with the sequence from which their records are missing. Later sequences are refused until the
 * missing ones come again: stored first, they would make the missing ones look like repeats, acknowledged and lost.
 * Bounded; the longest known is forgotten first.
 */
import type { TandemError } from '../core/errors.ts';

const PRODUCERS_MAX = 10_000;

export class FailedProducers {
  readonly #failed = new Map<string, { readonly sequence: number; readonly error: TandemError }>();

  /** The error to refuse with if `sequence` would overtake missing records. A sequence that fills the gap forgets it. */
  check(key: string, sequence: number): TandemError | undefined {
    const failure = this.#failed.get(key);
    if (failure === undefined) return undefined;
    if (sequence > failure.sequence) return failure.error;
    this.#failed.delete(key);
    return undefined;
  }

  add(key: string, sequence: number, error: TandemError): void {
    const known = this.#failed.get(key);
    if (known !== undefined && known.sequence <= sequence) return;
    this.#failed.set(key, { sequence, error });
    if (this.#failed.size <= PRODUCERS_MAX) return;
    const [oldest] = this.#failed.keys();
    this.#failed.delete(oldest as string);
  }
}
