/**
 * A clock that moves only when it is told to. For tests and simulations.
 *
 * Timers fire in order of their time (equal times: in order of their making), each at exactly its own time. `soon` runs in the real
 * check phase, so that promises and engines that answer "soon" make progress without time passing.
 */
import type { Clock, Timer } from './clock.ts';

interface PendingTimer {
  readonly atMs: number;
  readonly serial: number;
  readonly callback: () => void;
}

export class ManualClock implements Clock {
  #wallMs: number;
  #elapsedMs = 0;
  #serial = 0;
  readonly #timers = new Set<PendingTimer>();

  constructor(wallMs: number = 1_700_000_000_000) {
    this.#wallMs = wallMs;
  }

  nowMs(): number {
    return Math.floor(this.#wallMs);
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  after(delayMs: number, callback: () => void): Timer {
    const timer = { atMs: this.#elapsedMs + Math.max(delayMs, 0), serial: this.#serial++, callback };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  soon(callback: () => void): void {
    setImmediate(callback);
  }

  /** Timers that have neither fired nor been cancelled. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  /** When the next timer is due, in milliseconds from now; undefined: none is set. */
  get nextTimerMs(): number | undefined {
    const next = this.#next();
    return next && Math.max(next.atMs - this.#elapsedMs, 0);
  }

  /** Lets `durationMs` pass: fires what becomes due, and lets what each firing set off settle before the next one. */
  async advance(durationMs: number): Promise<void> {
    const endMs = this.#elapsedMs + durationMs;
    await settle();
    for (let timer = this.#next(); timer !== undefined && timer.atMs <= endMs; timer = this.#next()) {
      this.#timers.delete(timer);
      this.#moveTo(Math.max(timer.atMs, this.#elapsedMs));
      timer.callback();
      await settle();
    }
    this.#moveTo(endMs);
    await settle();
  }

  /** Steps the wall clock, as a time service does; no timer moves. */
  stepWall(stepMs: number): void {
    this.#wallMs += stepMs;
  }

  #moveTo(elapsedMs: number): void {
    this.#wallMs += elapsedMs - this.#elapsedMs;
    this.#elapsedMs = elapsedMs;
  }

  #next(): PendingTimer | undefined {
    let next: PendingTimer | undefined;
    for (const timer of this.#timers)
      if (next === undefined || timer.atMs < next.atMs || (timer.atMs === next.atMs && timer.serial < next.serial))
        next = timer;
    return next;
  }
}

const SETTLE_TURNS = 3;

/** A few turns of the event loop: promises and `soon` callbacks that are under way run. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < SETTLE_TURNS; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}
