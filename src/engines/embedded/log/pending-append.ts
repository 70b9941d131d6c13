/** An append that waits for its flush, and who waits for its answer. */
import type { AppendBatch, AppendResult } from '../../../core/contracts/engine.ts';
import type { TandemError } from '../../../core/errors.ts';
import type { PartitionLog } from './partition-log.ts';

export interface PendingAppend {
  readonly log: PartitionLog;
  readonly batch: AppendBatch;
  /** Of the right to write: whoever called had it. Not what is stored. */
  readonly term: number;
  readonly resolve: (result: AppendResult) => void;
  readonly reject: (error: TandemError) => void;
}
