/**
 * Turns for what replays cost: reading and encoding a chunk. First come, first served, so every replay gets on; at most `inFlightMax` at once
 * and `perTickMax` per tick of the event loop, so that sockets, timers and live deliveries are served in between however many sessions replay.
 */
import type { Clock } from '../core/ports/clock.ts';

export class ReplayTurns {
  readonly #clock: Clock;
  readonly #inFlightMax: number;
  readonly #perTickMax: number;
  #waiting: (() => void)[] = [];
  #inFlight = 0;
  #isScheduled = false;

  constructor(clock: Clock, inFlightMax: number = 16, perTickMax: number = 4) {
    this.#clock = clock;
    this.#inFlightMax = inFlightMax;
    this.#perTickMax = perTickMax;
  }

  /** Runs `work` when it is its turn; settles as it does. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      this.#schedule();
    });
    try {
      return await work();
    } finally {
      this.#inFlight--;
      this.#schedule();
    }
  }

  #schedule(): void {
    if (this.#isScheduled || this.#waiting.length === 0 || this.#inFlight >= this.#inFlightMax) return;
    this.#isScheduled = true;
    this.#clock.soon(() => {
      this.#isScheduled = false;
      const count = Math.min(this.#perTickMax, this.#inFlightMax - this.#inFlight, this.#waiting.length);
      this.#inFlight += count;
      for (const begin of this.#waiting.splice(0, count)) begin();
      this.#schedule();
    });
  }
}
