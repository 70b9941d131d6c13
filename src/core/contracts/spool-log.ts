/** What a spool needs of the engine that it keeps its records in, besides the engine contract. */
import type { AppendBatch, AppendResult, Engine } from './engine.ts';

/**
 * Stands before every append to a partition of this process, whichever process asks for it: calls `append` at once or later, in the order in which
 * it was asked, or rejects.
 */
export type Admission = (batch: AppendBatch, append: () => Promise<AppendResult>) => Promise<AppendResult>;

export interface SpoolLog extends Engine {
  /** The partitions of a topic that this process writes, for itself and for others. May be none. */
  ownPartitions(topic: string): readonly number[];
  /** Bytes that the partitions of this process hold, as far as they have been used: what is trimmed does not count. */
  readonly ownBytes: number;
  /** Once, before the first append. */
  admit(admission: Admission): void;
  /** Gives back the space of what is trimmed, as far as that can be done now. Never rejects. */
  applyRetention(): Promise<void>;
}
