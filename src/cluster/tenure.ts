/**
 * How the service changes hands: who was active last, how that ended, and how often it ended badly (anti-flap).
 *
 * Every node tells its peers which unplanned takeovers it knows of, so that a node that was just started, or was the one that died, counts
 * them too. More than `takeoversMax` within the window: a candidate waits 1, 2, 4, ... 30 s before it takes a lease whose holder died. What
 * makes one active after the other die would otherwise go round at full speed. Never delayed: a planned transfer, and the first start.
 */
import type { Takeover } from '../core/contracts/cluster.ts';
import type { ClusterTimers } from './lease-timers.ts';

const FIRST_WAIT_MS = 1000;
const WAIT_MS_MAX = 30_000;
/** So many beyond the maximum make the longest wait; older ones need not be known. */
const EXCESS_MAX = 6;

/**
 * first: nobody was active since we started. planned: the last active said itself that it stands by, and not because it had lost its lease
 * (then it counts its own term among the takeovers).
 */
export type Succession = 'first' | 'planned' | 'unplanned';

export const SUCCESSION_WHY: { readonly [succession in Succession]: string } = {
  first: 'there was no active',
  planned: 'the last active stood down',
  unplanned: 'the last active died, hung or lost its lease',
};

export class Tenure {
  readonly #timers: Pick<ClusterTimers, 'takeoversMax' | 'takeoverWindowMs'>;
  #takeovers: readonly Takeover[] = [];
  #last: { readonly holder: string; readonly term: number; isEndedByItself: boolean } | undefined;

  constructor(timers: Pick<ClusterTimers, 'takeoversMax' | 'takeoverWindowMs'>) {
    this.#timers = timers;
  }

  /** Somebody, perhaps this node, is active under the term. Returns whether that is news. */
  sawActive(holder: string, term: number): boolean {
    if (this.#last !== undefined && term <= this.#last.term) return false;
    this.#last = { holder, term, isEndedByItself: false };
    return true;
  }

  /** The holder, alive, says that it is not active. Returns whether it had been the last active. */
  sawStandby(holder: string): boolean {
    if (this.#last?.holder !== holder || this.#last.isEndedByItself) return false;
    this.#last.isEndedByItself = true;
    return true;
  }

  /** Highest term seen so far; 0 if nobody was active. */
  get lastTerm(): number {
    return this.#last?.term ?? 0;
  }

  /** What it would be to take over now. */
  get succession(): Succession {
    if (this.#last === undefined) return 'first';
    const { term, isEndedByItself } = this.#last;
    return isEndedByItself && !this.#takeovers.some((known) => known.term === term) ? 'planned' : 'unplanned';
  }

  /** Unplanned takeovers in the window, oldest first. */
  takeovers(nowMs: number): readonly Takeover[] {
    const fromMs = nowMs - this.#timers.takeoverWindowMs;
    const [oldest] = this.#takeovers;
    if (oldest !== undefined && oldest.atMs <= fromMs)
      this.#takeovers = this.#takeovers.filter(({ atMs }) => atMs > fromMs);
    return this.#takeovers;
  }

  /** Adds what is not known yet. Times ahead of our wall clock count as now. */
  learn(takeovers: readonly Takeover[], nowMs: number): void {
    const fresh = takeovers.filter(({ term }) => !this.#takeovers.some((known) => known.term === term));
    if (fresh.length === 0) return;
    const clamped = fresh.map(({ term, atMs }) => ({ term, atMs: Math.min(atMs, nowMs) }));
    this.#takeovers = [...this.#takeovers, ...clamped]
      .sort((a, b) => a.term - b.term)
      .slice(-(this.#timers.takeoversMax + EXCESS_MAX));
  }

  /** How long a candidate waits before an unplanned takeover. */
  waitMs(nowMs: number): number {
    const excess = this.takeovers(nowMs).length - this.#timers.takeoversMax;
    return excess <= 0 ? 0 : Math.min(WAIT_MS_MAX, FIRST_WAIT_MS * 2 ** (excess - 1));
  }
}
