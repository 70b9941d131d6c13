/** Notes when nobody is acknowledged anything for too long, and when this process itself stood still. */
import type { Interval } from './service-checker.ts';

const TICK_MS = 20;
/** Between two acknowledgements to anybody. */
const OUTAGE_MS = 1000;
/** A tick so late: the machine did not let this process run. */
const STALL_MS = 300;

export class OutageWatch {
  readonly outages: Interval[] = [];
  readonly stalls: Interval[] = [];
  readonly #lastAckedMs: () => number;
  readonly #timer: NodeJS.Timeout;
  #tickMs = performance.now();
  #outageFromMs: number | undefined;

  constructor(lastAckedMs: () => number) {
    this.#lastAckedMs = lastAckedMs;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#tick();
  }

  #tick(): void {
    const nowMs = performance.now();
    if (nowMs - this.#tickMs > STALL_MS) this.stalls.push({ fromMs: this.#tickMs, toMs: nowMs });
    this.#tickMs = nowMs;
    const fromMs = this.#lastAckedMs();
    if (this.#outageFromMs !== undefined && fromMs > this.#outageFromMs) this.#outageFromMs = undefined;
    if (nowMs - fromMs <= OUTAGE_MS) return;
    if (this.#outageFromMs === undefined) {
      this.#outageFromMs = fromMs;
      this.outages.push({ fromMs, toMs: nowMs });
    } else this.outages.splice(-1, 1, { fromMs, toMs: nowMs });
  }
}
