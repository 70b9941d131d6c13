/**
 * The records of the partitions that this slot owns: its journal, and all segments in which older records of them lie, whichever
 * journal those belong to. What is known of a partition is put together when it is first used.
 */
import type { AppendBatch, AppendResult, PartitionState, ReadResult } from '../../core/contracts/engine.ts';
import type { Logger } from '../../core/contracts/telemetry.ts';
import { TandemError } from '../../core/errors.ts';
import type { Clock } from '../../core/ports/clock.ts';
import type { Disk } from '../../core/ports/disk.ts';
import type { Random } from '../../core/ports/random.ts';
import type { Position } from '../../core/position.ts';
import { partitionKey } from '../../core/record.ts';
import type { StoredBatch } from '../../core/record-set.ts';
import { LateSeals } from './late-seals.ts';
import type { ExtentEntries } from './log/extent.ts';
import { entryAt } from './log/extent.ts';
import { Journal } from './log/journal.ts';
import { LogReader } from './log/log-reader.ts';
import { PartitionLog } from './log/partition-log.ts';
import { ProducerRefusals } from './log/producer-refusals.ts';
import type { Extent, Segment } from './log/segment.ts';
import { EntriesCache, OpenFiles } from './log/segment.ts';
import type { SegmentSupply } from './log/segment-supply.ts';
import type { TrailPace } from './log/segment-trail.ts';
import type { SidecarDirectory } from './log/sidecar-format.ts';
import { Partitions } from './partitions.ts';
import type { ProducerStates } from './producers.ts';
import type { LeftToDo, RecoveryReport } from './recovery.ts';
import { SegmentSeals } from './segment-seals.ts';
import type { StateDatabase } from './state-database.ts';
import { scanWhole } from './unsealed-segment.ts';

export interface LocalStoreOptions extends LeftToDo {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly state: StateDatabase;
  readonly producers: ProducerStates;
  readonly dataDir: string;
  readonly slot: number;
  readonly slots: number;
  readonly segmentBytes: number;
  readonly trailPace: TrailPace;
  /** Of this slot's journal. */
  readonly supply: SegmentSupply;
  /** What recovery has left to do is done so long after the opening. */
  readonly sealDelayMs: number;
  readonly report: RecoveryReport;
  /** The sealed segments of all journals. Called once, when the first partition is taken up. */
  readonly loadSegments: () => readonly Segment[];
  readonly onFailed: (error: TandemError) => void;
}

/** A read that meets a file which compaction has just replaced is done again, by position; that often. */
const READ_ATTEMPTS = 3;
const ROWS_PER_TURN = 500;
const OPEN_FILES_MAX = 128;
const CACHED_ENTRIES_MAX = 500_000;

export class LocalStore {
  readonly #options: LocalStoreOptions;
  readonly #logs = new Map<string, PartitionLog>();
  readonly #files: OpenFiles;
  readonly #supply: SegmentSupply;
  readonly #seals: SegmentSeals;
  readonly #lateSeals: LateSeals;
  readonly #journal: Journal;
  readonly #reader: LogReader;
  readonly #partitions: Partitions;
  /** Of this process; and, once `#isLoaded`, those found in all journals. */
  #segments: Segment[] = [];
  #isLoaded = false;

  constructor(options: LocalStoreOptions) {
    const { disk, clock, logger, producers, segmentBytes } = options;
    this.#options = options;
    this.#files = new OpenFiles(disk, OPEN_FILES_MAX);
    this.#partitions = new Partitions(options.state);
    this.#supply = options.supply;
    this.#segments = options.unsealed.map(({ segment }) => segment);
    const { storeId } = options.state;
    this.#seals = new SegmentSeals({ disk, clock, logger, producers, storeId });
    this.#lateSeals = new LateSeals({ ...options, storeId });
    this.#lateSeals.begin(options, options.sealDelayMs);
    this.#journal = new Journal({
      term: options.state.term,
      supply: this.#supply,
      clock,
      logger,
      segmentBytes,
      trail: { disk, logger, pace: options.trailPace },
      sources: {
        term: options.state.term,
        producer: (log, producerId) => producers.use(log, producerId),
        refusals: new ProducerRefusals(clock),
        confirmProducer: (log, producer, nowMs) => producers.confirm(log, producer, nowMs),
      },
      onSealed: (segment, end, logs) => {
        this.#segments.push(segment);
        this.#seals.seal(segment, end, logs);
      },
      onFailed: options.onFailed,
    });
    this.#reader = new LogReader({
      files: this.#files,
      cache: new EntriesCache(CACHED_ENTRIES_MAX),
      logger,
      activeSegment: () => this.#journal.segment,
      rebuildEntries: (segment, topic, partition) => this.#rebuildEntries(segment, topic, partition),
    });
  }

  get journal(): Journal {
    return this.#journal;
  }
  get reader(): LogReader {
    return this.#reader;
  }
  get partitions(): Partitions {
    return this.#partitions;
  }
  get segments(): readonly Segment[] {
    if (!this.#isLoaded) {
      this.#isLoaded = true;
      const known = new Set(this.#segments.map(({ path }) => path));
      const loaded = this.#options.loadSegments().filter(({ path }) => !known.has(path));
      this.#segments = [...loaded, ...this.#segments];
    }
    return this.#segments;
  }
  get segmentCount(): number {
    return this.#segments.length;
  }
  /** A partition has been used: all slots have recovered. */
  get isInUse(): boolean {
    return this.#isLoaded;
  }
  /** The partitions used so far. */
  get logs(): Iterable<PartitionLog> {
    return this.#logs.values();
  }

  /** Of the batches that hold something that is not trimmed, in the partitions used so far. */
  get liveBytes(): number {
    let bytes = 0;
    for (const log of this.#logs.values()) {
      bytes += log.bytes;
      const first = log.extents[0] ?? log.active;
      if (first === undefined || log.firstOffset <= first.firstOffset) continue;
      const entries = first === log.active ? log.active : this.#reader.entriesOf(first as Extent);
      const isAllDead = log.firstOffset >= first.nextOffset;
      bytes -= isAllDead ? first.bytes : (entries.bytesBefore[entryAt(entries, log.firstOffset)] as number);
    }
    return bytes;
  }

  /** What is known of a partition that exists and that this slot owns. */
  log(topic: string, partition: number): PartitionLog {
    const key = partitionKey(topic, partition);
    let log = this.#logs.get(key);
    if (log === undefined) {
      log = new PartitionLog(
        topic,
        partition,
        this.#partitions.facts(topic, partition),
        this.#extentsOf(topic, partition),
      );
      this.#logs.set(key, log);
    }
    return log;
  }

  /** Of any partition, whoever owns it, as far as is durable. */
  firstOffsetOf(topic: string, partition: number): number {
    const log = this.#logs.get(partitionKey(topic, partition));
    return log?.firstOffset ?? this.#partitions.find(topic, partition)?.firstOffset ?? 0;
  }

  /** `writerTerm`, here and below: of the process that asks for it. */
  append(log: PartitionLog, batch: AppendBatch, writerTerm: number): Promise<AppendResult> {
    return this.#journal.append(log, batch, Math.min(batch.term ?? writerTerm, writerTerm));
  }

  async read(log: PartitionLog, from: Position, bytesMax: number): Promise<ReadResult> {
    const { offset } = from;
    const data = { epoch: log.epoch, firstOffset: log.firstOffset, nextOffset: log.nextOffset };
    if ((from.epoch !== '' && from.epoch !== log.epoch) || offset < log.firstOffset)
      throw new TandemError('TANDEM_POSITION_LOST', { data });
    if (offset > log.nextOffset) throw new TandemError('TANDEM_POSITION_AHEAD', { data });
    const batches = offset === log.nextOffset ? [] : await this.#readBatches(log, offset, bytesMax);
    return { epoch: log.epoch, firstOffset: log.firstOffset, nextOffset: log.nextOffset, batches };
  }

  state({ epoch, firstOffset, nextOffset }: PartitionLog): PartitionState {
    return { epoch, firstOffset, nextOffset };
  }

  watch(log: PartitionLog, wake: () => void): () => void {
    // A function of its own, so that the same `wake` may be given twice.
    const own = (): void => wake();
    log.watchers.add(own);
    queueMicrotask(() => {
      if (log.watchers.has(own)) own();
    });
    return () => log.watchers.delete(own);
  }

  lastSequence(log: PartitionLog, producerId: string): number {
    return this.#options.producers.lastSequence(log, producerId);
  }

  claim(log: PartitionLog, term: number, writerTerm: number): void {
    this.#options.state.term.require(Math.min(term, writerTerm));
    if (term < log.term) throw new TandemError('TANDEM_TERM_FENCED', { data: { term: log.term } });
    if (term === log.term) return;
    this.#partitions.claim(log.topic, log.partition, term, writerTerm);
    log.term = term;
  }

  async trim(log: PartitionLog, beforeOffset: number, writerTerm: number): Promise<number> {
    this.#options.state.term.require(writerTerm);
    const wanted = Math.min(beforeOffset, log.nextOffset);
    if (wanted <= log.firstOffset) return log.firstOffset;
    await this.#partitions.trim(log, wanted, writerTerm);
    log.firstOffset = Math.max(log.firstOffset, wanted);
    log.dropTrimmed();
    return log.firstOffset;
  }

  /** Reads what lives of `segments` from `output` from now on, which is durable and stands for them; deletes their files. */
  async replace(segments: readonly Segment[], output: Segment): Promise<void> {
    const replaced = new Set(segments);
    // Whoever is taken up from here on finds the new one; those that are known move over bit by bit.
    this.#segments = [...this.#segments.filter((segment) => !replaced.has(segment)), output];
    let rows = 0;
    for (const { directory } of segments)
      for (let row = 0; row < (directory?.rows ?? 0); row++) {
        const { topic, partition } = (directory as SidecarDirectory).summary(row);
        const log = this.#logs.get(partitionKey(topic, partition));
        if (log !== undefined) log.replaceExtents(replaced, extentOf(output, topic, partition));
        if (++rows % ROWS_PER_TURN === 0) await new Promise<void>((resolve) => this.#options.clock.soon(resolve));
      }
    for (const segment of segments) await this.#removeFiles(segment);
  }

  /** Deletes a segment's files. Its records must all be trimmed, durably. */
  async remove(segment: Segment): Promise<void> {
    this.#segments = this.#segments.filter((other) => other !== segment);
    await this.#removeFiles(segment);
  }

  async #removeFiles(segment: Segment): Promise<void> {
    this.#files.forget(segment.path);
    this.#files.forget(segment.sidecarPath);
    await this.#options.disk.remove(segment.sidecarPath);
    await this.#options.disk.remove(segment.path);
  }

  /** Answers what is in hand and seals the journal. */
  async close(): Promise<void> {
    await this.#journal.idle();
    const empty = this.#journal.close();
    if (empty !== undefined) await this.#options.disk.remove(empty.path);
    await this.#lateSeals.close();
    await this.#seals.close();
    await this.#supply.close();
    this.#files.close();
  }

  async #readBatches(log: PartitionLog, offset: number, bytesMax: number, attempt: number = 1): Promise<StoredBatch[]> {
    try {
      return await this.#reader.read(log, offset, bytesMax);
    } catch (error) {
      if (error instanceof TandemError) throw error;
      const { firstOffset, nextOffset, epoch } = log;
      if (offset < firstOffset)
        throw new TandemError('TANDEM_POSITION_LOST', { data: { epoch, firstOffset, nextOffset } });
      const isGone = (error as NodeJS.ErrnoException).code === 'ENOENT';
      if (isGone && attempt < READ_ATTEMPTS) return this.#readBatches(log, offset, bytesMax, attempt + 1);
      throw new TandemError('TANDEM_STORE_FAILED', { detail: String(error), cause: error });
    }
  }

  #extentsOf(topic: string, partition: number): Extent[] {
    const extents: Extent[] = [];
    for (const segment of this.segments) {
      const extent = extentOf(segment, topic, partition);
      if (extent !== undefined) extents.push(extent);
    }
    return extents.sort((a, b) => a.firstOffset - b.firstOffset);
  }

  #rebuildEntries(segment: Segment, topic: string, partition: number): ExtentEntries {
    const { index } = scanWhole(this.#options.disk, segment);
    if (index.extent(topic, partition) === undefined)
      throw new TandemError('TANDEM_LOG_CORRUPT', { detail: segment.path });
    return index.entries(topic, partition);
  }
}

/** As the segment's sidecar says, or else what recovery has found. */
function extentOf(segment: Segment, topic: string, partition: number): Extent | undefined {
  const { directory, index } = segment;
  const row = directory?.find(topic, partition) ?? -1;
  const summary =
    directory === undefined ? index?.extent(topic, partition) : row < 0 ? undefined : directory.summary(row);
  return summary === undefined ? undefined : { ...summary, segment, entries: undefined };
}
