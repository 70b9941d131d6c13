/** An append that waits for its flush, and who waits for its answer. */
import type { AppendBatch, AppendResult } from '../../../core/contracts/engine.ts';
import type { TandemError } from '../../../core/errors.ts';
import type { PartitionLog } from './partition-log.ts';

export interface PendingAppend {
  readonly log: PartitionLog;
  readonly batch: AppendBatch;
  readonly resolve: (result: AppendResult) => void;
  readonly reject: (error: TandemError) => void;
}
