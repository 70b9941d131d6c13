/** What a consumer says about itself. Counts are of this process since its start. */

export interface ConsumerTotals {
  /** Records that the target took, replays included. */
  handled: number;
  failedAttempts: number;
  deadLettered: number;
  /** Records that were trimmed or lost before the consumer came to them, or skipped by the operator. */
  missed: number;
  /** How often a partition's history was replaced under the consumer; how many records it lost by that is not known. */
  historiesLost: number;
  /** Calls of the target that were given up while they were still running (see ABORT_GRACE_MS). */
  abandonedCalls: number;
}

export const newTotals = (): ConsumerTotals => ({
  handled: 0,
  failedAttempts: 0,
  deadLettered: 0,
  missed: 0,
  historiesLost: 0,
  abandonedCalls: 0,
});

/**
 * running: records are delivered, or there are none. retrying: something failed and is being tried again (`reason`).
 * paused: by the operator. stopped: waits for the operator or for another owner (`reason`).
 */
export type PartitionPhase = 'running' | 'retrying' | 'paused' | 'stopped';

export interface PartitionStatus {
  readonly partition: number;
  readonly term: number;
  readonly state: PartitionPhase;
  readonly reason?: string;
  /** The next offset that the group wants; null: nothing was committed yet, or it is not known yet. */
  readonly committed: number | null;
  readonly nextOffset: number | null;
  /** nextOffset - committed: stored and not yet committed. */
  readonly lagRecords: number | null;
  readonly missed: number;
}

export interface ConsumerStatus {
  readonly name: string;
  readonly topic: string;
  readonly to: string;
  readonly state: PartitionPhase;
  readonly reason?: string;
  /** Partitions that belong to this process. */
  readonly partitions: readonly PartitionStatus[];
  readonly totals: Readonly<ConsumerTotals>;
}
