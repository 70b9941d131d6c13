/** What an elector is given; its parts take from it what they need. */
import type { NodeDuties, NodeFacts, PeerNetwork } from '../core/contracts/cluster.ts';
import type { LeaseStore } from '../core/contracts/engine.ts';
import type { Logger } from '../core/contracts/telemetry.ts';
import type { Clock } from '../core/ports/clock.ts';
import type { Random } from '../core/ports/random.ts';
import type { ClusterTimers } from './lease-timers.ts';

export interface ElectorOptions {
  readonly leases: LeaseStore;
  /** EngineCapabilities.provesDeath of the engine that the leases are of. */
  readonly provesDeath: boolean;
  readonly leaseName: string;
  readonly peers: PeerNetwork;
  readonly duties: NodeDuties;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly self: Pick<NodeFacts, 'name' | 'holder' | 'adminUrl' | 'version'>;
  readonly timers: ClusterTimers;
  /** Nobody else is to hold the lease: `start` says so instead of waiting. Other nodes have leases of their own: they are only looked at. */
  readonly isAlone?: boolean;
}
