/** The steps in which a worker opens its engine. */
import type { Engine } from '../core/contracts/engine.ts';
import type { Logger, MetricSample, MetricSource } from '../core/contracts/telemetry.ts';
import type { WorkerSlot } from '../core/contracts/worker.ts';

/** What a worker has of the store before it has a slot: no right to anything. */
export interface PreparedEngine {
  /** Recovers what the slot owns, a front nothing; uses nothing of other slots. Once. */
  recover(slot: WorkerSlot, logger: Logger): Promise<RecoveredEngine>;
  /** For a worker that has nothing to do: makes the rest quick. Never rejects. */
  warmUp(signal: AbortSignal): Promise<void>;
}

export interface RecoveredEngine {
  /** All slots are recovered, and the node is active under this term. Once. */
  open(nodeTerm: number): Promise<OpenedEngine>;
  /** Of what works without that right. */
  metrics?(): MetricSample[];
}

/** An engine may count. */
export type OpenedEngine = Engine & Partial<MetricSource>;
