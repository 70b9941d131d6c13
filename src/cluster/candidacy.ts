/**
 * When a node that stands by tries for the lease: by poll, at once and often when something has happened, and not yet when it should leave it
 * to others (a start of its own has failed, it is not warm and another is, the service changes hands too often).
 */
import type { Timer } from '../core/ports/clock.ts';
import type { ElectorOptions } from './elector-options.ts';
import { HangWatch } from './hang-watch.ts';
import type { LeaseHolding } from './lease-holding.ts';
import { Pace } from './pace.ts';
import type { PeerBook } from './peer-book.ts';
import type { Succession, Tenure } from './tenure.ts';

/** A timer of ours that is later than this part of heartbeatTimeoutMs: we were stalled, the silence of others proves nothing. */
const OWN_STALL_PART = 0.25;
/** A node that is not warm lets one that is go first, for so many polls. */
const COURTESY_POLLS = 2;

export interface Candidate {
  readonly book: PeerBook;
  readonly tenure: Tenure;
  readonly holding: LeaseHolding;
  /** Stands by, perhaps with a question to the store under way. */
  readonly isCandidate: () => boolean;
  readonly isReady: () => boolean;
  /** Asks for the lease once, unless it does so already. */
  readonly attempt: () => void;
  /** Reads again what the network last heard. */
  readonly refresh: () => void;
}

export class Candidacy {
  readonly #options: ElectorOptions;
  readonly #book: PeerBook;
  readonly #tenure: Tenure;
  readonly #holding: LeaseHolding;
  readonly #candidate: Candidate;
  readonly #pace: Pace;
  readonly #hangs: HangWatch | undefined;
  #timer: Timer | undefined;
  #dueMs = Number.POSITIVE_INFINITY;
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  #vacantSinceMs: number | undefined;
  #preparedBy: string | undefined;

  constructor(options: ElectorOptions, candidate: Candidate) {
    const { book, tenure, holding } = candidate;
    this.#options = options;
    this.#book = book;
    this.#tenure = tenure;
    this.#holding = holding;
    this.#candidate = candidate;
    this.#pace = new Pace(options.random, options.timers.pollMs);
    if (options.provesDeath) this.#hangs = new HangWatch(options, book, { ...candidate, onFree: () => this.hurry() });
  }

  /** Why it cannot take over though it should, for people. */
  get problem(): string | undefined {
    return this.#hangs?.problem;
  }

  /** What taking over now would be. */
  get succession(): Succession {
    return this.#pace.isPrepared(this.#options.clock.monotonicMs()) ? 'planned' : this.#tenure.succession;
  }

  /** The node stands by (again). */
  resume(): void {
    this.#book.freshStart(this.#options.clock.monotonicMs());
    this.tick();
  }

  pause(): void {
    this.#timer?.cancel();
    this.#pace.calm();
    this.#vacantSinceMs = undefined;
    this.#preparedBy = undefined;
  }

  /** The lease may come free any moment. */
  hurry(): void {
    if (this.#options.provesDeath) this.#pace.burst(this.#options.clock.monotonicMs());
    this.tick();
  }

  /** The active is about to release the lease for this node. */
  prepare(from: string, untilMs: number): void {
    this.#preparedBy = from;
    this.#pace.prepare(untilMs);
    this.tick();
  }

  /** The link to a peer broke. */
  peerLost(name: string): void {
    // The active died in the middle of a switchover: from here on it is no planned one.
    if (this.#preparedBy === name) this.#pace.prepare(Number.NEGATIVE_INFINITY);
    const active = this.#book.active();
    if (active === undefined || active.isLost) this.hurry();
  }

  peerActive(): void {
    this.#vacantSinceMs = undefined;
  }

  /** A start has failed: no attempt for so long. */
  holdOff(waitMs: number): void {
    this.#notBeforeMs = this.#options.clock.monotonicMs() + waitMs;
  }

  /** One turn of the candidate's loop; sets the next one. */
  tick(): void {
    if (!this.#candidate.isCandidate()) return;
    const { clock, timers } = this.#options;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#dueMs > timers.heartbeatTimeoutMs * OWN_STALL_PART) this.#book.freshStart(nowMs);
    this.#candidate.refresh();
    if (nowMs >= this.#notBeforeMs) this.#candidate.attempt();
    this.#hangs?.check(nowMs);
    this.#arm(nowMs);
  }

  /** Whether the lease, even if it is free, is left to others or to time for now. Errors: the store's. */
  async isHeldBack(): Promise<boolean> {
    const holdMs = this.#holdMs();
    if (holdMs === 0) return false;
    const { clock, self } = this.#options;
    const held = await this.#holding.holder();
    const nowMs = clock.monotonicMs();
    if (held !== undefined) this.#vacantSinceMs = undefined;
    else this.#vacantSinceMs ??= nowMs;
    if (held?.holder === self.holder) return false;
    if (this.#vacantSinceMs === undefined) return true;
    const restMs = this.#vacantSinceMs + holdMs - nowMs;
    if (restMs > this.#options.timers.pollMs) this.#pace.calm();
    return restMs > 0;
  }

  #holdMs(): number {
    const { clock, timers } = this.#options;
    if (this.#pace.isPrepared(clock.monotonicMs())) return 0;
    const flapMs = this.#tenure.succession === 'unplanned' ? this.#tenure.waitMs(clock.nowMs()) : 0;
    const isCourteous = !this.#candidate.isReady() && this.#book.readyStandbys().length > 0;
    return Math.max(flapMs, isCourteous ? COURTESY_POLLS * timers.pollMs : 0);
  }

  #arm(nowMs: number): void {
    const stepMs = Math.min(this.#pace.stepMs(nowMs), this.#hangs?.msToSuspicion(nowMs) ?? Number.POSITIVE_INFINITY);
    this.#dueMs = nowMs + stepMs;
    this.#timer?.cancel();
    this.#timer = this.#options.clock.after(stepMs, () => this.tick());
  }
}
