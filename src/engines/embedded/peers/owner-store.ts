/**
 * What a process asks of the slot that owns a partition, itself or another one over a socket. Promises are those of RecordStore.
 * `writerTerm`: the term under which the asking process writes; absent: as the owner itself.
 */
import type { AppendBatch, AppendResult, PartitionState, ReadResult } from '../../../core/contracts/engine.ts';
import type { Position } from '../../../core/position.ts';
import type { TopicPartition } from '../../../core/record.ts';

export interface OwnerStore {
  append(batch: AppendBatch, writerTerm?: number): Promise<AppendResult>;
  read(partition: TopicPartition, from: Position, bytesMax: number): Promise<ReadResult>;
  state(partition: TopicPartition): Promise<PartitionState>;
  watch(partition: TopicPartition, wake: () => void): () => void;
  trim(partition: TopicPartition, beforeOffset: number, writerTerm?: number): Promise<number>;
  lastSequence(partition: TopicPartition, producerId: string): Promise<number>;
  claim(partition: TopicPartition, term: number, writerTerm?: number): Promise<void>;
}
