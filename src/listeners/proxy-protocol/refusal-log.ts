/** Tells of refused connections and datagrams at a bounded rate: who can reach the port cannot fill the disk. */
import type { Logger } from '../../core/contracts/telemetry.ts';
import type { TandemError } from '../../core/errors.ts';
import type { Clock } from '../../core/ports/clock.ts';

/** One line in so long; those that were left out are counted in the next. */
const EVERY_MS = 1000;

export class RefusalLog {
  /** All of them. */
  count = 0;
  readonly #logger: Logger;
  readonly #clock: Clock;
  #nextMs = 0;
  #unsaid = 0;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  note(error: TandemError, remote: string): void {
    this.count++;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs < this.#nextMs) {
      this.#unsaid++;
      return;
    }
    this.#nextMs = nowMs + EVERY_MS;
    this.#logger.warn('proxy_header_refused', {
      code: error.code,
      problem: error.message,
      remote,
      unsaid: this.#unsaid,
    });
    this.#unsaid = 0;
  }
}
