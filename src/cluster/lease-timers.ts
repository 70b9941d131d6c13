/**
 * The times that decide who may act, and which combinations of them are safe.
 *
 * A store that ends leases by time-out (not EngineCapabilities.provesDeath) grants a new term `ttlMs` after the last renewal that it saw, by
 * its clock. The holder must have stopped by then, by its own: it counts `ttlMs - marginMs` from before it sent that renewal. The margin pays
 * for what lies between its decision and the last write: a late timer, the cut, and clocks that do not run at quite the same rate.
 */
import { TandemError } from '../core/errors.ts';

export interface LeaseTimers {
  /** How long a grant lasts without a renewal. Means nothing if the store proves death. */
  readonly ttlMs: number;
  /** Renewals are sent this often. Means nothing if the store proves death. */
  readonly renewMs: number;
  /** The holder stops so long before the lease could end. Means nothing if the store proves death. */
  readonly marginMs: number;
  /** A candidate tries this often, whatever it hears. */
  readonly pollMs: number;
}

export interface ClusterTimers extends LeaseTimers {
  /** An active peer that is silent for so long hangs. Peers are to say at least eight times in it that they live. */
  readonly heartbeatTimeoutMs: number;
  /** No switchover in so long after a node became active. */
  readonly minTenureMs: number;
  /** More unplanned takeovers than this in `takeoverWindowMs`: candidates wait before the next. */
  readonly takeoversMax: number;
  readonly takeoverWindowMs: number;
}

/** What the machines and the store are assumed to keep to; beyond it the service changes hands needlessly (and safely). */
export interface AssumedBounds {
  /** The longest time for which an event loop does not turn. */
  readonly stallMsMax: number;
  /** The slowest answer of the store. */
  readonly storeLatencyMsMax: number;
  /** How long `NodeDuties.cut` may take. Longer is not safe but for the terms at the sinks. */
  readonly cutMsMax: number;
  /** How much faster one clock may run than another, as a part. The same holds. */
  readonly clockRateErrorMax: number;
}

const DEFAULT_BOUNDS: AssumedBounds = {
  stallMsMax: 250,
  storeLatencyMsMax: 200,
  cutMsMax: 200,
  clockRateErrorMax: 0.01,
};

/** A renewal is given up before the next one is sent. */
const STORE_TIMEOUT_PART = 0.8;

/** How long an answer of a store that ends leases by time-out is waited for. */
export const storeTimeoutMs = ({ renewMs }: LeaseTimers): number => renewMs * STORE_TIMEOUT_PART;

/** Throws TANDEM_CONFIG_INVALID with every rule that does not hold, each with what would be accepted. */
export function assertClusterTimers(
  timers: ClusterTimers,
  provesDeath: boolean,
  bounds: AssumedBounds = DEFAULT_BOUNDS,
): void {
  const problems: string[] = [];
  const atLeast = (name: keyof ClusterTimers, least: number, why: string): void => {
    if (!(timers[name] >= least))
      problems.push(`cluster.${name} is ${timers[name]}: must be at least ${Math.ceil(least)} (${why})`);
  };
  const atMost = (name: keyof ClusterTimers, most: number, why: string): void => {
    if (!(timers[name] <= most))
      problems.push(`cluster.${name} is ${timers[name]}: must be at most ${Math.floor(most)} (${why})`);
  };
  atLeast('pollMs', 1, 'a candidate must not spin');
  atLeast('minTenureMs', 0, 'a time');
  atLeast('takeoversMax', 1, 'the first takeover is never delayed');
  atLeast('takeoverWindowMs', 1, 'a time');
  if (provesDeath) atLeast('heartbeatTimeoutMs', timers.pollMs, 'pollMs, so that silence is measured, not jumped over');
  else checkTimedLease(timers, bounds, atLeast, atMost);
  if (problems.length > 0) throw new TandemError('TANDEM_CONFIG_INVALID', { detail: problems.join('; ') });
}

type Rule = (name: keyof ClusterTimers, limit: number, why: string) => void;

function checkTimedLease(timers: ClusterTimers, bounds: AssumedBounds, atLeast: Rule, atMost: Rule): void {
  const { ttlMs, marginMs } = timers;
  const { stallMsMax, storeLatencyMsMax, cutMsMax, clockRateErrorMax } = bounds;
  atLeast(
    'marginMs',
    cutMsMax + ttlMs * clockRateErrorMax,
    `the time of a cut, ${cutMsMax}, and ${clockRateErrorMax * 100} % of ttlMs for clocks that run at different rates`,
  );
  atLeast(
    'ttlMs',
    3 * stallMsMax + 2 * storeLatencyMsMax + marginMs,
    `3 x the longest stall, ${stallMsMax}, + 2 x the slowest answer of the store, ${storeLatencyMsMax}, + marginMs`,
  );
  atMost('renewMs', ttlMs / 3, 'a third of ttlMs');
  atMost('renewMs', (ttlMs - marginMs - storeLatencyMsMax) / 2, 'so that one lost renewal does not end the lease');
  atLeast(
    'renewMs',
    storeLatencyMsMax / STORE_TIMEOUT_PART,
    'a renewal is given up before the next; the store must have the time to answer',
  );
}
