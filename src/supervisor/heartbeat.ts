/**
 * Finds workers whose event loop does not turn. If the keeper itself was stopped (SIGSTOP, suspend, a starved machine), the silence proves
 * nothing about the workers: everybody gets a fresh start.
 */
import { HEARTBEAT_MS } from './plan.ts';

export interface Heart {
  /** Monotonic ms of the last sign of life. */
  lastBeatMs: number;
  /** How long it may be silent now. */
  readonly silenceMsMax: number;
}

const OWN_STALL_MS = 4 * HEARTBEAT_MS;

export class HeartbeatWatch<H extends Heart> {
  #lastCheckMs: number;

  constructor(nowMs: number) {
    this.#lastCheckMs = nowMs;
  }

  /** Call every HEARTBEAT_MS. Returns those that have been silent for too long. */
  check(nowMs: number, hearts: Iterable<H>): H[] {
    const hasStalled = nowMs - this.#lastCheckMs > OWN_STALL_MS;
    this.#lastCheckMs = nowMs;
    const hung: H[] = [];
    for (const heart of hearts) {
      if (hasStalled) heart.lastBeatMs = nowMs;
      else if (nowMs - heart.lastBeatMs > heart.silenceMsMax) hung.push(heart);
    }
    return hung;
  }
}
