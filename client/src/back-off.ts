/**
 * How long to wait before the next attempt: full jitter (a random part of a bound that doubles), so that the clients of a node that died
 * do not come all at once, neither to the next node nor each time after.
 */
const FIRST_MS = 5;
const MAX_MS = 2000;

export class BackOff {
  #failures = 0;

  /** After another failure. */
  next(): number {
    const boundMs = Math.min(MAX_MS, FIRST_MS * 2 ** this.#failures);
    this.#failures++;
    return Math.random() * boundMs;
  }

  /** The server asks for patience: bounds from `boundMs` on. */
  atLeast(boundMs: number): void {
    while (FIRST_MS * 2 ** this.#failures < Math.min(boundMs, MAX_MS)) this.#failures++;
  }

  reset(): void {
    this.#failures = 0;
  }
}
