/** Waits that double from the first to the longest, each with jitter, so that nodes that failed together do not try again together. */
import type { Random } from '../core/ports/random.ts';

export class BackOff {
  readonly #random: Random;
  readonly #firstMs: number;
  readonly #longestMs: number;
  #failures = 0;

  constructor(random: Random, firstMs: number, longestMs: number) {
    this.#random = random;
    this.#firstMs = firstMs;
    this.#longestMs = longestMs;
  }

  /** It failed again. Returns how long to wait, in ms: between half the step and all of it. */
  failed(): number {
    const stepMs = Math.min(this.#longestMs, this.#firstMs * 2 ** Math.min(this.#failures++, 30));
    return stepMs * (0.5 + this.#random.fraction() / 2);
  }

  get failures(): number {
    return this.#failures;
  }

  succeeded(): void {
    this.#failures = 0;
  }
}
