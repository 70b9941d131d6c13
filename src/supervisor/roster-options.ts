/** What a roster of processes is given, and what it says. */
import type { Health } from '../core/contracts/health.ts';
import type { Logger } from '../core/contracts/telemetry.ts';
import type { TandemError } from '../core/errors.ts';
import type { AcceptedConnection } from './connection-spread.ts';
import type { WorkerLimits } from './plan.ts';
import type { ProcessRoll } from './process-roll.ts';
import type { Generation, WorkerProcess } from './worker-process.ts';

export interface RosterOptions {
  readonly workers: WorkerLimits;
  readonly generation: Generation;
  readonly workerEntry: URL;
  /** Its slots are fronts: places of workers that serve clients and own nothing. */
  readonly isOfFronts: boolean;
  /** Where processes are written down for the next keeper. */
  readonly roll: ProcessRoll | undefined;
  readonly logger: Logger;
  readonly nowMs: () => number;
  readonly events: RosterEvents;
}

/** The node's right to its slots. */
export interface SlotsRight {
  /** The next term, durable before it returns. Errors: TANDEM_TERM_FENCED: the right is lost. */
  readonly issueTerm: () => number | Promise<number>;
}

export interface RosterEvents {
  health(): Health;
  /** Asked at the moment in which a worker is told to serve. */
  pausedConsumers(): readonly string[];
  /** A worker serves from now on. */
  onServing(worker: WorkerProcess): void;
  onUndelivered(connections: readonly AcceptedConnection[]): void;
  /** Before the slots have served under this right, a worker could not load, or died of something that trying again cannot mend. */
  onStartFailed(error: TandemError): void;
  onChange(): void;
}
