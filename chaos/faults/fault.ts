/**
 * What a fault is, and what a drill expects after it. `backWithinMs` is the bound: so long after the end of the fault (the hung one goes on or
 * is started again, the disk has room, the network is healed, the dead are started again) every client is served again. Bounds are for a
 * busy machine of two cores and say "it comes back by itself"; how fast it usually is stands in the summary.
 */
import type { ClusterUnderTest } from '../cluster-under-test.ts';
import type { FaultProxy } from '../fault-proxy/link-faults.ts';
import type { NodeUnderTest } from '../node-under-test.ts';
import type { RoleWatch } from '../role-watch.ts';
import type { LoopBlocker } from './loop-blocker.ts';
import type { SmallDisk } from './small-disk.ts';

export interface FaultKind {
  /** How often, compared to the others. */
  readonly weight: number;
  readonly backWithinMs: number;
  /** Without it the fault is left out. */
  readonly needs?: 'cluster' | 'disk';
  /** Another node takes over: by a dead active, a hung one, or as asked. It has to serve within so long after the fault's beginning. */
  readonly takeover?: 'death' | 'hang' | 'switchover';
}

const kinds = {
  'kill-worker': { weight: 3, backWithinMs: 4000 },
  'kill-keeper': { weight: 3, backWithinMs: 4000, takeover: 'death' },
  'kill-active': { weight: 4, backWithinMs: 4000, takeover: 'death' },
  'kill-standby': { weight: 2, backWithinMs: 2000, needs: 'cluster' },
  'kill-two': { weight: 2, backWithinMs: 4000, needs: 'cluster', takeover: 'death' },
  // From the start of new processes.
  'kill-all': { weight: 1, backWithinMs: 15_000, needs: 'cluster' },
  'stop-worker': { weight: 3, backWithinMs: 5000 },
  'stop-keeper': { weight: 3, backWithinMs: 5000, takeover: 'hang' },
  'stop-active': { weight: 4, backWithinMs: 5000, takeover: 'hang' },
  'stop-standby': { weight: 2, backWithinMs: 2000, needs: 'cluster' },
  'stop-all': { weight: 1, backWithinMs: 6000, needs: 'cluster' },
  'block-loop': { weight: 2, backWithinMs: 6000 },
  'full-disk': { weight: 2, backWithinMs: 5000, needs: 'disk' },
  // A client that hears nothing gives its connection up after 3.5 s, a subscriber after 5 s.
  network: { weight: 5, backWithinMs: 8000 },
  switchover: { weight: 4, backWithinMs: 4000, needs: 'cluster', takeover: 'switchover' },
  restart: { weight: 3, backWithinMs: 4000 },
} as const satisfies { readonly [name: string]: FaultKind };

export type FaultName = keyof typeof kinds;
export const FAULT_KINDS: { readonly [name in FaultName]: FaultKind } = kinds;
export const FAULT_NAMES = Object.keys(kinds) as readonly FaultName[];

/** A dead or hung active has a successor that serves within so long; for a hung one the heartbeat limit comes before it. */
export const TAKEOVER_MS_MAX = 2500;
export const SWITCHOVER_PAUSE_MS_MAX = 2000;
/** A node that was started again stands by, ready, within so long. */
export const REJOIN_MS_MAX = 20_000;

/** As a seed decides it. Fractions are in [0, 1). */
export interface PlannedFault<Name extends string> {
  readonly name: Name;
  /** Whom or what it hits. */
  readonly choice: number;
  /** How hard. */
  readonly amount: number;
  /** Before the dead are started again. */
  readonly pauseMs: number;
  /** Nothing else happens in its episode, so that it alone is to blame. */
  readonly isAlone: boolean;
}

export type Fault = PlannedFault<FaultName>;

export interface NamedProxy {
  readonly name: string;
  readonly proxy: FaultProxy;
}

/** Nodes, and who is active. */
export interface NodesWorld {
  readonly cluster: { readonly nodes: readonly NodeUnderTest[] };
  readonly roles: Pick<RoleWatch, 'active'>;
}

/** What faults act upon. */
export interface World {
  readonly cluster: ClusterUnderTest;
  readonly roles: RoleWatch;
  readonly proxies: readonly NamedProxy[];
  readonly disk: SmallDisk | undefined;
  readonly blocker: LoopBlocker;
  /** Of nodes by their peers, and of workers by their keeper. */
  readonly limits: { readonly nodeMs: number; readonly workerMs: number };
  complain(breach: string): void;
}

export const pick = <T>(choices: readonly T[], fraction: number): T | undefined =>
  choices[Math.floor(fraction * choices.length)];

/** Below a limit for sure, just below, just above, far above. */
export function spanMs(limitMs: number, fraction: number): number {
  return pick([limitMs / 2, limitMs - 50, limitMs + 50, limitMs * 3], fraction) as number;
}
