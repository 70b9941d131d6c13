/**
 * The ingest contract: how listeners (and dead letters) hand records in. Only ingest calls `RecordStore.append`.
 * One lane is one source in order (a connection, a producer): its answers come in the order of its records.
 */
import type { TandemError } from '../errors.ts';
import type { ProducerSequence, RecordInput } from '../record.ts';

/** Where a lane's answers go. Called in the order of the lane's records, once for each run of records. Must not throw. */
export interface AckSink {
  /** `count` records are durable from `firstOffset` on; -1: the place is not known, no longer or (a spool; epoch '') not yet. */
  stored(partition: number, firstOffset: number, count: number, isDuplicate: boolean, epoch: string): void;
  /** `count` records were not stored (or, if `error` says so, may not have been). */
  refused(error: TandemError, count: number): void;
  /** The flush that carried the answers above is done: write them out now, in one piece. */
  flushed(): void;
}

export interface LaneOptions {
  readonly topic: string;
  /** Fixes the partition by the producer's id (a lane's records have no keys) and makes each sequence stored once. */
  readonly producer?: ProducerSequence;
  /** Fixes the partition explicitly. */
  readonly partition?: number;
  readonly sink: AckSink;
}

export interface Lane {
  readonly topic: string;
  readonly partition: number;
  /** With a producer: the last sequence stored for it when the lane was opened (0: none). Without: 0. */
  readonly lastSequence: number;
  /**
   * Takes complete lines `source[start, end)`, each ended by a line feed; `lengths[0..count)` are their lengths without it, none above
   * recordBytesMax. Copies at once; the caller may reuse its buffers.
   */
  addLines(source: Buffer, start: number, end: number, lengths: Uint32Array, count: number): void;
  /** Takes one record in one or two pieces, copied at once. */
  addData(head: Uint8Array, tail?: Uint8Array): void;
  /** Puts a refusal of one record in its place in the order of answers (an oversize line, say). */
  refuse(error: TandemError): void;
  /** Records whose answer is outstanding. */
  readonly inFlight: number;
  /** No more records will come; answers in hand still do. */
  close(): void;
}

export interface AppendOptions {
  readonly topic: string;
  readonly records: readonly RecordInput[];
  readonly producer?: ProducerSequence;
  readonly partition?: number;
  /** For records with neither key nor producer: records with the same affinity keep their order (one connection, say). */
  readonly affinity?: number;
}

/** The places of consecutive records of an append. */
export interface Receipt {
  /** '' where the place is not known yet. */
  readonly epoch: string;
  readonly partition: number;
  /** -1: not known, no longer or not yet. */
  readonly firstOffset: number;
  readonly count: number;
  readonly isDuplicate: boolean;
}

export interface Ingest {
  /**
   * Errors: TANDEM_TOPIC_UNKNOWN, TANDEM_TOPIC_INVALID, TANDEM_TOPIC_LIMIT, TANDEM_PRODUCER_INVALID, TANDEM_PARTITION_UNKNOWN,
   * TANDEM_DRAINING and what the engine rejects with.
   */
  openLane(options: LaneOptions): Promise<Lane>;
  /**
   * Stores records; resolves when all are durable, with their places. Keyed records go by the hash of their key, others by the producer's id,
   * so records may go to different partitions: the receipts are in order of partitions' first use, with a producer in the order of the records
   * (counts add up). Not atomic over partitions; rejects with the first error, and may then be repeated with the same producer and sequence.
   * Errors: as `openLane`, TANDEM_RECORD_TOO_LARGE, TANDEM_BATCH_TOO_LARGE.
   */
  append(options: AppendOptions): Promise<readonly Receipt[]>;
  /** True while more is unfinished than limits.ingestBytesMax: do not read sockets. */
  readonly isSaturated: boolean;
  /** Calls once when `isSaturated` has become false (at once if it is). */
  whenReady(callback: () => void): void;
  /** Records on their way to the store. */
  readonly unfinishedRecords: number;
  /** Refuses new records with TANDEM_DRAINING; resolves when all in hand are answered. */
  drain(): Promise<void>;
}
