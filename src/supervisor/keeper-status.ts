/** What a keeper says of itself. Plain data. */
import type { Slot } from './roster.ts';
import type { WorkerState } from './worker-process.ts';

export interface SlotStatus {
  readonly slot: number;
  readonly pid: number | null;
  readonly term: number;
  readonly state: WorkerState | 'vacant';
  readonly restarts: number;
  readonly connections: number;
  /** Unix ms of the latest change of state. */
  readonly sinceMs: number;
  /** Why its store takes no appends; null: it does. */
  readonly storeProblem: string | null;
  /** How near it is to its limits, 0 to 1. */
  readonly pressure: number;
}

export interface ListenerStatus {
  readonly url: string;
  readonly host: string;
  /** The bound port. */
  readonly port: number;
}

export interface KeeperStatus {
  readonly slots: readonly SlotStatus[];
  /** Empty without fronts. */
  readonly fronts: readonly SlotStatus[];
  readonly sparePids: readonly number[];
  readonly listeners: readonly ListenerStatus[];
  readonly connections: { readonly accepted: number; readonly waiting: number; readonly refused: number };
  readonly generation: number;
  readonly isStopping: boolean;
  /** The node has the right to be active and its slots are, or are being, served. */
  readonly isActive: boolean;
  /** A process is ready for every slot that has none. */
  readonly isWarm: boolean;
}

export function statusOf({ index, worker, term, restarts, sinceMs }: Slot): SlotStatus {
  return {
    slot: index,
    pid: worker?.pid ?? null,
    term,
    state: worker?.state ?? 'vacant',
    restarts,
    connections: worker?.connections ?? 0,
    sinceMs,
    storeProblem: worker?.storeProblem ?? null,
    pressure: worker?.pressure ?? 0,
  };
}
