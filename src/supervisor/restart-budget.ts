/**
 * How long to wait before a replacement starts. A crash of a worker that had served is answered at once, up to a number per window; beyond
 * it, and for workers that die before they serve (a broken handler module, a damaged log), the wait doubles up to five seconds. It never
 * gives up: the cause may go away by itself.
 */
import type { WorkerLimits } from './plan.ts';

const FIRST_DELAY_MS = 100;
const DELAY_MS_MAX = 5000;

export class RestartBudget {
  readonly #limits: Pick<WorkerLimits, 'restartCountMax' | 'restartWindowMs'>;
  #deathsMs: number[] = [];
  #failedStarts = 0;
  #excess = 0;

  constructor(limits: Pick<WorkerLimits, 'restartCountMax' | 'restartWindowMs'>) {
    this.#limits = limits;
  }

  /** A worker died. Returns how long to wait before the next start, in ms. */
  died(nowMs: number, hadServed: boolean): number {
    this.#failedStarts = hadServed ? 0 : this.#failedStarts + 1;
    this.#forget(nowMs);
    this.#deathsMs.push(nowMs);
    this.#excess = this.isExceeded ? this.#excess + 1 : 0;
    return Math.max(backOff(this.#failedStarts), backOff(this.#excess));
  }

  /** A worker serves: failed starts are forgotten, deaths are not. */
  served(): void {
    this.#failedStarts = 0;
  }

  /** More deaths in the window than allowed. */
  get isExceeded(): boolean {
    return this.#deathsMs.length > this.#limits.restartCountMax;
  }

  #forget(nowMs: number): void {
    const from = nowMs - this.#limits.restartWindowMs;
    this.#deathsMs = this.#deathsMs.filter((diedMs) => diedMs > from);
  }
}

function backOff(step: number): number {
  return step === 0 ? 0 : Math.min(DELAY_MS_MAX, FIRST_DELAY_MS * 2 ** (step - 1));
}
