/** How often a candidate tries: by poll as a rule, every few milliseconds for a short time when something has just happened. */
import type { Random } from '../core/ports/random.ts';

/** The kernel takes from under a millisecond to a quarter of a second (much memory) to release what a dying process held. */
const BURST_MS = 2000;
const BURST_STEP_MS_MIN = 1;
const BURST_STEP_MS_MAX = 10;
/** The step grows with the burst, so that it costs about 400 tries and not 2000: a death that takes long is not resolved to the millisecond. */
const BURST_GROWTH = 50;
/** As the target of a switchover: the lease comes any moment. */
const PREPARED_STEP_MS = 10;

export class Pace {
  readonly #random: Random;
  readonly #pollMs: number;
  #burstFromMs = Number.NEGATIVE_INFINITY;
  #preparedUntilMs = Number.NEGATIVE_INFINITY;

  constructor(random: Random, pollMs: number) {
    this.#random = random;
    this.#pollMs = pollMs;
  }

  burst(nowMs: number): void {
    this.#burstFromMs = nowMs;
  }

  /** Until then the lease is about to be released for this node. */
  prepare(untilMs: number): void {
    this.#preparedUntilMs = untilMs;
  }

  isPrepared(nowMs: number): boolean {
    return nowMs < this.#preparedUntilMs;
  }

  /** Back to the poll. */
  calm(): void {
    this.#burstFromMs = Number.NEGATIVE_INFINITY;
    this.#preparedUntilMs = Number.NEGATIVE_INFINITY;
  }

  /** How long until the next try, in ms. Jitter keeps the polls of nodes apart. */
  stepMs(nowMs: number): number {
    const burstMs = nowMs - this.#burstFromMs;
    if (burstMs < BURST_MS) return Math.min(BURST_STEP_MS_MAX, BURST_STEP_MS_MIN + burstMs / BURST_GROWTH);
    if (this.isPrepared(nowMs)) return Math.min(PREPARED_STEP_MS, this.#pollMs);
    return this.#pollMs * (0.8 + 0.2 * this.#random.fraction());
  }
}
