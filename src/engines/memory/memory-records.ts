/**
 * The records of one member of a memory store: collects the appends of a tick, stores them in one go and answers them together.
 *
 * An append without a term carries the highest term that this engine claimed; it is refused if another engine has claimed the partition
 * since this one was opened. One with an origin carries none: it is stored under the partition's. After a rejected append of a producer the others of the same flush are rejected too, so that no holes appear.
 */
import type {
  AppendBatch,
  AppendResult,
  PartitionState,
  ReadResult,
  RecordStore,
} from '../../core/contracts/engine.ts';
import { type ErrorCode, TandemError } from '../../core/errors.ts';
import { BATCH_BYTES_MAX, BATCH_RECORDS_MAX } from '../../core/limits.ts';
import type { Position } from '../../core/position.ts';
import { partitionKey, type TopicPartition } from '../../core/record.ts';
import type { AppendFaults } from './append-faults.ts';
import type { MemoryPartition } from './memory-partition.ts';
import type { MemoryStore } from './memory-store.ts';
import type { MemoryTerm } from './memory-term.ts';
import { fencedError as fenced } from './memory-term.ts';

interface PendingAppend {
  readonly batch: AppendBatch;
  /** Under which it was called. */
  readonly term: number;
  resolve(result: AppendResult): void;
  reject(error: TandemError): void;
}

/** Throws TANDEM_DRAINING when the engine is closed. */
type RequireOpen = () => void;

export class MemoryRecords implements RecordStore {
  readonly #store: MemoryStore;
  readonly #term: MemoryTerm;
  readonly #requireOpen: RequireOpen;
  readonly #faults: AppendFaults;
  readonly #claimsAtOpen: number;
  readonly #watches = new Set<() => void>();
  #pending: PendingAppend[] = [];
  #isFlushDue = false;

  constructor(store: MemoryStore, term: MemoryTerm, requireOpen: RequireOpen, faults: AppendFaults) {
    this.#store = store;
    this.#term = term;
    this.#requireOpen = requireOpen;
    this.#faults = faults;
    this.#claimsAtOpen = store.claims;
  }

  async append(batch: AppendBatch): Promise<AppendResult> {
    this.#requireOpen();
    this.#store.partition(batch);
    requireSize(batch);
    return new Promise((resolve, reject) => {
      this.#pending.push({ batch, term: batch.term ?? this.#term.own, resolve, reject });
      this.#scheduleFlush();
    });
  }

  async read(partition: TopicPartition, from: Position, bytesMax: number): Promise<ReadResult> {
    this.#requireOpen();
    return this.#store.partition(partition).read(from, bytesMax);
  }

  async state(partition: TopicPartition): Promise<PartitionState> {
    this.#requireOpen();
    return this.#store.partition(partition).state();
  }

  watch(partition: TopicPartition, wake: () => void): () => void {
    this.#requireOpen();
    const stop = this.#store.watch(partition, wake);
    this.#watches.add(stop);
    return () => {
      this.#watches.delete(stop);
      stop();
    };
  }

  async trim(partition: TopicPartition, beforeOffset: number): Promise<number> {
    this.#requireOpen();
    this.#term.require();
    return this.#store.partition(partition).trim(beforeOffset);
  }

  async lastSequence(partition: TopicPartition, producerId: string): Promise<number> {
    this.#requireOpen();
    return this.#store.partition(partition).lastSequence(producerId);
  }

  async originSequence(partition: TopicPartition, originId: string): Promise<number> {
    this.#requireOpen();
    return this.#store.partition(partition).originSequence(originId);
  }

  async claim(place: TopicPartition, term: number): Promise<void> {
    this.#requireOpen();
    const partition = this.#store.partition(place);
    this.#term.require(term);
    if (term < partition.term) throw fenced(term, partition.term);
    partition.term = term;
    partition.claim = { engine: this, serial: ++this.#store.claims };
    this.#store.liftTerm(term);
  }

  localPartitions(topic: string): readonly number[] {
    return Array.from({ length: this.#store.findTopic(topic)?.partitions ?? 0 }, (_, partition) => partition);
  }

  /** Stores what is in hand and stops the watches. */
  close(): void {
    this.#faults.release();
    this.#flush();
    this.#stopWatches();
  }

  /** Drops what is in hand, as a process that dies does. */
  kill(): void {
    for (const pending of this.#pending.splice(0))
      pending.reject(new TandemError('TANDEM_STORE_FAILED', { detail: 'the member was killed' }));
    this.#stopWatches();
  }

  #stopWatches(): void {
    for (const stop of this.#watches) stop();
    this.#watches.clear();
  }

  #scheduleFlush(): void {
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    this.#store.clock.soon(() => {
      this.#isFlushDue = false;
      this.#faults.whenReleased(() => this.#flush());
    });
  }

  #flush(): void {
    const broken = new Set<string>();
    for (const { batch, term, resolve, reject } of this.#pending.splice(0)) {
      // Of an origin the store itself sees what is missing.
      const line =
        batch.origin === undefined &&
        batch.producer &&
        `${partitionKey(batch.topic, batch.partition)}/${batch.producer.id}`;
      try {
        if (line && broken.has(line)) throw failed('TANDEM_STORE_FAILED', 'an earlier append failed');
        if (batch.origin === undefined) this.#term.require(term);
        resolve(this.#storeNow(batch));
      } catch (error) {
        if (line) broken.add(line);
        reject(error as TandemError);
      }
    }
  }

  #storeNow(batch: AppendBatch): AppendResult {
    const partition = this.#store.partition(batch);
    const term = this.#requireTerm(batch, partition);
    const fault = this.#faults.next();
    if (fault !== undefined && !fault.isStored) throw failed(fault.code, 'fault asked for');
    if (!this.#store.hasRoomFor(partition.bytesToStore(batch))) throw failed('TANDEM_DISK_FULL');
    const nowMs = this.#store.clock.nowMs();
    const runs = partition.append(batch, term, nowMs);
    const topic = this.#store.findTopic(batch.topic);
    if (topic !== undefined) partition.retain(nowMs, topic.retentionMs, topic.retentionBytes);
    this.#store.wakeWatchers(batch);
    if (fault !== undefined) throw failed(fault.code, 'fault asked for, after storing');
    return { epoch: partition.epoch, runs };
  }

  /** The term under which the batch is stored. Throws TANDEM_TERM_FENCED. */
  #requireTerm({ term, origin }: AppendBatch, partition: MemoryPartition): number {
    if (origin !== undefined) return partition.term;
    if (term !== undefined) {
      if (term < partition.term) throw fenced(term, partition.term);
      return term;
    }
    const { claim } = partition;
    if (claim !== undefined && claim.engine !== this && claim.serial > this.#claimsAtOpen)
      throw new TandemError('TANDEM_TERM_FENCED', { data: { term: partition.term } });
    return Math.max(partition.term, this.#term.own);
  }
}

function requireSize({ set }: AppendBatch): void {
  const isTooLarge = set.data.length > BATCH_BYTES_MAX && set.count > 1;
  if (isTooLarge || set.count > BATCH_RECORDS_MAX) throw new TandemError('TANDEM_BATCH_TOO_LARGE');
}

const failed = (code: ErrorCode, detail?: string): TandemError =>
  new TandemError(code, detail === undefined ? {} : { detail });
