/** The faults of a run, and what each cost: from the fault to the first ack under a newer term, and how long nothing was acked around it. */

export const FAULTS = ['kill', 'hang', 'switchover'] as const;
export type FaultKind = (typeof FAULTS)[number];

export interface Fault {
  readonly kind: FaultKind;
  /** The node that was active. */
  readonly node: string;
  readonly fromTerm: number;
  /** Since the start of the run. */
  readonly atMs: number;
  /** Who became active; null: nobody in time. */
  toNode: string | null;
  toTerm: number | null;
  /** From the fault to the first ack under the newer term. */
  takeoverMs: number | null;
  /** From the last ack under the older term to the first one under the newer. */
  pauseMs: number | null;
  /** Why it did not go as it should. */
  problem: string | null;
}

export interface FaultSummary {
  readonly count: number;
  readonly takeoverMs: Spread;
  readonly pauseMs: Spread;
}

export interface Spread {
  readonly median: number;
  readonly worst: number;
}

/** Times are monotonic ms. */
export class Takeovers {
  readonly faults: Fault[] = [];
  readonly #startMs: number;
  #current: Fault | undefined;
  #currentMs = 0;
  #lastAckMs: number;
  #term = 0;
  /** The longest time without an ack, and since when none has come. */
  longestPauseMs = 0;

  constructor(startMs: number) {
    this.#startMs = startMs;
    this.#lastAckMs = startMs;
  }

  begin(kind: FaultKind, node: string, nowMs: number): Fault {
    const fault: Fault = {
      ...{ kind, node, fromTerm: this.#term, atMs: rounded(nowMs - this.#startMs) },
      ...{ toNode: null, toTerm: null, takeoverMs: null, pauseMs: null, problem: null },
    };
    this.faults.push(fault);
    this.#current = fault;
    this.#currentMs = nowMs;
    return fault;
  }

  /** Under which term. An older one than the newest is not looked at here. */
  acked(term: number, nowMs: number): void {
    if (term < this.#term) return;
    const pauseMs = nowMs - this.#lastAckMs;
    if (this.#term > 0 && pauseMs > this.longestPauseMs) this.longestPauseMs = pauseMs;
    this.#lastAckMs = nowMs;
    this.#term = term;
    const fault = this.#current;
    if (fault === undefined || term <= fault.fromTerm) return;
    this.#current = undefined;
    fault.toTerm = term;
    fault.takeoverMs = rounded(nowMs - this.#currentMs);
    fault.pauseMs = rounded(pauseMs);
  }

  /** The one that is not over yet. */
  get current(): Fault | undefined {
    return this.#current;
  }

  /** The current one does not count as a takeover: it could not be done, or nobody took over. */
  fail(problem: string): void {
    if (this.#current === undefined) return;
    this.#current.problem = problem;
    this.#current = undefined;
  }

  /** How long nothing has been acked. */
  quietMs(nowMs: number): number {
    return nowMs - this.#lastAckMs;
  }
}

/** By kind, of the takeovers that are over; a kind without any is left out. */
export function summaries(faults: readonly Fault[]): Map<FaultKind, FaultSummary> {
  const found = new Map<FaultKind, FaultSummary>();
  for (const kind of FAULTS) {
    const done = faults.filter((fault) => fault.kind === kind && fault.takeoverMs !== null);
    if (done.length === 0) continue;
    const takeoverMs = spread(done.map((fault) => fault.takeoverMs ?? 0));
    const pauseMs = spread(done.map((fault) => fault.pauseMs ?? 0));
    found.set(kind, { count: done.length, takeoverMs, pauseMs });
  }
  return found;
}

const rounded = (ms: number): number => Math.round(ms * 10) / 10;

function spread(times: number[]): Spread {
  const sorted = times.sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  const median = sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
  return { median: rounded(median), worst: sorted.at(-1) as number };
}
