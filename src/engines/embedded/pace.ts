/** Keeps work in the background to a rate: so many bytes a second, in bursts of a quarter of that. */
import type { Clock } from '../../core/ports/clock.ts';
import { delay } from '../../core/ports/clock.ts';

export class Pace {
  readonly #clock: Clock;
  readonly #bytesPerSecond: number;
  readonly #signal: AbortSignal;
  readonly #burstBytes: number;
  #creditBytes: number;
  #atMs: number;

  /** When `signal` aborts, whoever spends is rejected. */
  constructor(clock: Clock, bytesPerSecond: number, signal: AbortSignal) {
    this.#clock = clock;
    this.#bytesPerSecond = bytesPerSecond;
    this.#signal = signal;
    this.#burstBytes = bytesPerSecond / 4;
    this.#creditBytes = this.#burstBytes;
    this.#atMs = clock.monotonicMs();
  }

  /** Resolves when there is credit again. */
  async spend(bytes: number): Promise<void> {
    this.#signal.throwIfAborted();
    const nowMs = this.#clock.monotonicMs();
    const earned = ((nowMs - this.#atMs) / 1000) * this.#bytesPerSecond;
    this.#atMs = nowMs;
    this.#creditBytes = Math.min(this.#burstBytes, this.#creditBytes + earned) - bytes;
    if (this.#creditBytes >= 0) return;
    await delay(this.#clock, (-this.#creditBytes / this.#bytesPerSecond) * 1000, this.#signal);
  }
}
