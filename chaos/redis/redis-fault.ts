/**
 * The faults of a drill over Redis, and what is expected after each. Bounds say "it comes back by itself" on a busy machine of two cores.
 *
 * `backWithinMs`: so long after the end of the fault every client is served, and what was acknowledged has reached subscribers and handlers; longer
 * where the store has lost so much that it must be sent and read again.
 * `ackPauseMs`: nobody is acknowledged anything for no longer than this while the fault is on, where all nodes serve: Redis is behind the spools, so its
 * faults stop no acknowledgement; a hung node keeps its clients until they lose patience. Where one node serves at a time, an active that cannot renew
 * its lease has to stop: there `backWithinMs` alone holds.
 */
import type { Clients } from '../clients.ts';
import type { PlannedFault } from '../faults/fault.ts';
import type { RoleWatch } from '../role-watch.ts';
import type { Hosts } from './hosts.ts';
import type { RedisNodes } from './redis-nodes.ts';
import type { RedisSite } from './redis-site.ts';

export type FaultNeed = 'replicas' | 'sentinels' | 'hosts' | 'standby';

export interface RedisFaultKind {
  readonly weight: number;
  readonly backWithinMs: number;
  readonly ackPauseMs: number;
  /** Without these it is left out. */
  readonly needs: readonly FaultNeed[];
  /** It leaves all nodes alone: each goes on. */
  readonly isOfRedis: boolean;
}

/** On a busy machine. */
const NO_PAUSE_MS = 1500;
/** A client that hears nothing tries the next node. */
const IMPATIENCE_MS = 6000;
const ofRedis = { isOfRedis: true, ackPauseMs: NO_PAUSE_MS };
const ofNodes = { isOfRedis: false, ackPauseMs: IMPATIENCE_MS };

const kinds = {
  'kill-master': { ...ofRedis, weight: 4, backWithinMs: 20_000, needs: [] },
  'restart-master': { ...ofRedis, weight: 2, backWithinMs: 20_000, needs: [] },
  'empty-master': { ...ofRedis, weight: 1, backWithinMs: 30_000, needs: [] },
  'stop-master': { ...ofRedis, weight: 3, backWithinMs: 20_000, needs: [] },
  'kill-replica': { ...ofRedis, weight: 1, backWithinMs: 15_000, needs: ['replicas'] },
  'empty-replica': { ...ofRedis, weight: 1, backWithinMs: 15_000, needs: ['replicas'] },
  'stop-replica': { ...ofRedis, weight: 1, backWithinMs: 15_000, needs: ['replicas'] },
  'kill-sentinel': { ...ofRedis, weight: 1, backWithinMs: 15_000, needs: ['sentinels'] },
  'stop-sentinel': { ...ofRedis, weight: 1, backWithinMs: 15_000, needs: ['sentinels'] },
  'kill-redis': { ...ofRedis, weight: 1, backWithinMs: 30_000, needs: [] },
  'stop-redis': { ...ofRedis, weight: 1, backWithinMs: 20_000, needs: [] },
  failover: { ...ofRedis, weight: 2, backWithinMs: 20_000, needs: ['replicas'] },
  'cut-master': { ...ofRedis, weight: 3, backWithinMs: 25_000, needs: ['replicas', 'hosts'] },
  'cut-master-with-node': { ...ofRedis, weight: 3, backWithinMs: 25_000, needs: ['replicas', 'hosts'] },
  'cut-master-from-nodes': { ...ofRedis, weight: 2, backWithinMs: 20_000, needs: ['hosts'] },
  'cut-node': { ...ofRedis, weight: 3, backWithinMs: 20_000, needs: ['hosts'] },
  'cut-node-hearing': { ...ofRedis, weight: 2, backWithinMs: 20_000, needs: ['hosts'] },
  'cut-node-speaking': { ...ofRedis, weight: 2, backWithinMs: 20_000, needs: ['hosts'] },
  'kill-worker': { ...ofNodes, weight: 2, backWithinMs: 15_000, needs: [] },
  'stop-worker': { ...ofNodes, weight: 2, backWithinMs: 15_000, needs: [] },
  'kill-keeper': { ...ofNodes, weight: 2, backWithinMs: 20_000, needs: [] },
  'stop-keeper': { ...ofNodes, weight: 2, backWithinMs: 20_000, needs: [] },
  'kill-node': { ...ofNodes, weight: 3, backWithinMs: 20_000, needs: [] },
  'stop-node': { ...ofNodes, weight: 3, backWithinMs: 20_000, needs: [] },
  'restart-node': { ...ofNodes, weight: 2, backWithinMs: 20_000, needs: [] },
  'kill-two': { ...ofNodes, weight: 1, backWithinMs: 20_000, needs: [] },
  // From the start of new processes.
  'kill-all': { ...ofNodes, weight: 1, ackPauseMs: 20_000, backWithinMs: 30_000, needs: [] },
  switchover: { ...ofNodes, weight: 3, backWithinMs: 15_000, needs: ['standby'] },
} as const satisfies { readonly [name: string]: RedisFaultKind };

export type RedisFaultName = keyof typeof kinds;
export const REDIS_FAULT_KINDS: { readonly [name in RedisFaultName]: RedisFaultKind } = kinds;
export const REDIS_FAULT_NAMES = Object.keys(kinds) as readonly RedisFaultName[];

export type RedisFault = PlannedFault<RedisFaultName>;

/** A node that was started again does what it should within so long. */
export const REJOIN_MS_MAX = 30_000;

/** What faults act upon. */
export interface RedisWorld {
  readonly site: RedisSite;
  readonly nodes: RedisNodes;
  readonly hosts: Hosts;
  readonly roles: RoleWatch;
  readonly clients: Clients;
  /** Of a server by Sentinels or the cluster, of leases and members' sessions, of workers by their keeper. */
  readonly limits: { readonly serverMs: number; readonly leaseMs: number; readonly workerMs: number };
  complain(breach: string): void;
}
