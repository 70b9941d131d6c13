/**
 * What one segment holds, batch by batch, as recovery finds it: from its trail (trail-format.ts), by scanning it, or first the one and then the
 * other. Columns of numbers, since it is put together in the milliseconds in which nobody serves the slot: nothing is made for a
 * batch, and what is asked for later (entries of a partition, windows of producers) is made when it is asked for.
 */
import type { BatchHeader } from './batch-format.ts';
import type { ExtentEntries, ExtentSummary } from './extent.ts';
import type { Integers, Numbers, Words } from './growing-columns.ts';
import { grownIntegers, grownNumbers, grownWords } from './growing-columns.ts';
import { IS_PARTITION, OriginTable } from './origin-table.ts';
import type { ProducerWindow } from './producer-window.ts';
import { advanceWindow, PRODUCER_RUNS_MAX } from './producer-window.ts';

/** In the place of a row: there is none. */
const NONE = -1;

export interface SeenProducer {
  readonly topic: string;
  readonly partition: number;
  readonly producerId: string;
  readonly seenMs: number;
}

export class SegmentIndex {
  readonly origins: OriginTable = new OriginTable();
  rows = 0;
  #positions: Words;
  #counts: Words;
  #firstOffsets: Numbers;
  #sequences: Numbers;
  /** Bytes of the partition's batches before this one. */
  #bytesBefore: Words;
  /** The row before it of the same partition, and of the same origin. */
  #beforeOfPartition: Integers;
  #beforeOfOrigin: Integers;
  // Of each origin.
  #lastRows = new Int32Array(64).fill(NONE);
  #seenMs = new Float64Array(64);
  // Of each partition's origin.
  #lastRowsOfPartitions = new Int32Array(64).fill(NONE);
  #rowCounts = new Uint32Array(64);
  #startOffsets = new Float64Array(64);
  #nextOffsets = new Float64Array(64);
  #minTimesMs = new Float64Array(64);
  #maxTimesMs = new Float64Array(64);
  #bytes = new Float64Array(64);
  readonly #entries = new Map<number, ExtentEntries>();

  /** `rowsExpected`: so many need no copying. */
  constructor(rowsExpected: number) {
    this.#positions = new Uint32Array(rowsExpected);
    this.#counts = new Uint32Array(rowsExpected);
    this.#firstOffsets = new Float64Array(rowsExpected);
    this.#sequences = new Float64Array(rowsExpected);
    this.#bytesBefore = new Uint32Array(rowsExpected);
    this.#beforeOfPartition = new Int32Array(rowsExpected);
    this.#beforeOfOrigin = new Int32Array(rowsExpected);
  }

  /** Must be called after origins were added and before their first row. */
  growOrigins(): void {
    const { count } = this.origins;
    const before = this.#lastRows.length;
    if (count <= before) return;
    this.#lastRows = grownIntegers(this.#lastRows, count).fill(NONE, before);
    this.#lastRowsOfPartitions = grownIntegers(this.#lastRowsOfPartitions, count).fill(NONE, before);
    this.#seenMs = grownNumbers(this.#seenMs, count);
    this.#rowCounts = grownWords(this.#rowCounts, count);
    this.#startOffsets = grownNumbers(this.#startOffsets, count);
    this.#nextOffsets = grownNumbers(this.#nextOffsets, count);
    this.#minTimesMs = grownNumbers(this.#minTimesMs, count);
    this.#maxTimesMs = grownNumbers(this.#maxTimesMs, count);
    this.#bytes = grownNumbers(this.#bytes, count);
  }

  /** Where the next batch of the partition begins, if nothing is missing. */
  nextOffset(partitionOrigin: number): number {
    return this.#nextOffsets[partitionOrigin] as number;
  }

  /** Where the first batch of the partition begins. */
  setStart(partitionOrigin: number, offset: number): void {
    this.#startOffsets[partitionOrigin] = offset;
    this.#nextOffsets[partitionOrigin] = offset;
  }

  add(
    origin: number,
    position: number,
    bytes: number,
    firstOffset: number,
    count: number,
    sequence: number,
    timeMs: number,
  ): void {
    const row = this.rows++;
    if (row >= this.#positions.length) this.#growRows();
    const partition = this.origins.partitionOrigins[origin] as number;
    this.#positions[row] = position;
    this.#counts[row] = count;
    this.#firstOffsets[row] = firstOffset;
    this.#sequences[row] = sequence;
    this.#bytesBefore[row] = this.#bytes[partition] as number;
    this.#beforeOfPartition[row] = this.#lastRowsOfPartitions[partition] as number;
    this.#beforeOfOrigin[row] = this.#lastRows[origin] as number;
    this.#lastRowsOfPartitions[partition] = row;
    this.#lastRows[origin] = row;
    this.#seenMs[origin] = timeMs;
    const rowsBefore = this.#rowCounts[partition] as number;
    if (rowsBefore === 0) this.#minTimesMs[partition] = timeMs;
    this.#rowCounts[partition] = rowsBefore + 1;
    this.#nextOffsets[partition] = firstOffset + count;
    this.#maxTimesMs[partition] = timeMs;
    this.#bytes[partition] = (this.#bytes[partition] as number) + bytes;
  }

  /** A batch that a scan came upon. */
  addBatch(header: BatchHeader, position: number): void {
    const { topic, partition, producerId, firstOffset, count, sequence, timeMs, totalBytes } = header;
    let origin = this.origins.find(IS_PARTITION, partition, topic);
    if (origin < 0) {
      origin = this.origins.add(IS_PARTITION, partition, topic);
      this.growOrigins();
      this.setStart(origin, firstOffset);
    }
    if (producerId !== '') {
      const partitionOrigin = origin;
      origin = this.origins.find(partitionOrigin, partition, producerId);
      if (origin < 0) {
        origin = this.origins.add(partitionOrigin, partition, producerId);
        this.growOrigins();
      }
    }
    this.add(origin, position, totalBytes, firstOffset, count, sequence, timeMs);
  }

  /** undefined: the segment has nothing of the partition. */
  extent(topic: string, partition: number): ExtentSummary | undefined {
    const origin = this.origins.find(IS_PARTITION, partition, topic);
    return origin < 0 || this.#rowCounts[origin] === 0 ? undefined : this.#extentOf(origin);
  }

  /** Of a partition of which `extent` knows something. */
  entries(topic: string, partition: number): ExtentEntries {
    return this.#entriesOf(this.origins.find(IS_PARTITION, partition, topic));
  }

  /** Of all partitions. */
  *extents(): Iterable<ExtentSummary & ExtentEntries> {
    for (let origin = 0; origin < this.origins.count; origin++)
      if (this.origins.isPartition(origin) && (this.#rowCounts[origin] as number) > 0)
        yield { ...this.#extentOf(origin), ...this.#makeEntries(origin) };
  }

  /** Topics with at least so many partitions. */
  topics(): Map<string, number> {
    const partitions = new Map<string, number>();
    for (let origin = 0; origin < this.origins.count; origin++) {
      if (!this.origins.isPartition(origin)) continue;
      const topic = this.origins.name(origin);
      const count = (this.origins.partitionNumbers[origin] as number) + 1;
      if ((partitions.get(topic) ?? 0) < count) partitions.set(topic, count);
    }
    return partitions;
  }

  /** The window of a producer that before this segment had `before`. */
  window(topic: string, partition: number, producerId: string, before: ProducerWindow): ProducerWindow {
    const partitionOrigin = this.origins.find(IS_PARTITION, partition, topic);
    const origin = partitionOrigin < 0 ? -1 : this.origins.find(partitionOrigin, partition, producerId);
    return origin < 0 ? before : this.#windowOf(origin, before);
  }

  /** Those that have written to the segment. */
  *producers(): Iterable<SeenProducer> {
    const { origins } = this;
    for (let origin = 0; origin < origins.count; origin++) {
      const partitionOrigin = origins.partitionOrigins[origin] as number;
      if (partitionOrigin === origin || this.#lastRows[origin] === NONE) continue;
      const partition = origins.partitionNumbers[origin] as number;
      const seenMs = this.#seenMs[origin] as number;
      yield { topic: origins.name(partitionOrigin), partition, producerId: origins.name(origin), seenMs };
    }
  }

  /** Where the partition's last batch begins; -1: there is none. */
  lastPosition(topic: string, partition: number): number {
    const origin = this.origins.find(IS_PARTITION, partition, topic);
    const row = origin < 0 ? NONE : (this.#lastRowsOfPartitions[origin] as number);
    return row === NONE ? -1 : (this.#positions[row] as number);
  }

  get lastRowPosition(): number {
    return this.#positions[this.rows - 1] ?? -1;
  }

  /** Whether the last row is of the batch with this header. */
  isLastRow(header: BatchHeader): boolean {
    const row = this.rows - 1;
    const origin = this.origins.find(IS_PARTITION, header.partition, header.topic);
    return (
      origin >= 0 &&
      this.#lastRowsOfPartitions[origin] === row &&
      this.#firstOffsets[row] === header.firstOffset &&
      this.#counts[row] === header.count &&
      this.#sequences[row] === header.sequence
    );
  }

  #growRows(): void {
    const rows = this.rows;
    this.#positions = grownWords(this.#positions, rows);
    this.#counts = grownWords(this.#counts, rows);
    this.#firstOffsets = grownNumbers(this.#firstOffsets, rows);
    this.#sequences = grownNumbers(this.#sequences, rows);
    this.#bytesBefore = grownWords(this.#bytesBefore, rows);
    this.#beforeOfPartition = grownIntegers(this.#beforeOfPartition, rows);
    this.#beforeOfOrigin = grownIntegers(this.#beforeOfOrigin, rows);
  }

  #extentOf(origin: number): ExtentSummary {
    return {
      topic: this.origins.name(origin),
      partition: this.origins.partitionNumbers[origin] as number,
      firstOffset: this.#startOffsets[origin] as number,
      nextOffset: this.#nextOffsets[origin] as number,
      minTimeMs: this.#minTimesMs[origin] as number,
      maxTimeMs: this.#maxTimesMs[origin] as number,
      bytes: this.#bytes[origin] as number,
    };
  }

  #entriesOf(origin: number): ExtentEntries {
    let entries = this.#entries.get(origin);
    if (entries === undefined) {
      entries = this.#makeEntries(origin);
      this.#entries.set(origin, entries);
    }
    return entries;
  }

  #makeEntries(origin: number): ExtentEntries {
    const count = this.#rowCounts[origin] as number;
    const positions = new Uint32Array(count);
    const firstOffsets = new Float64Array(count);
    const bytesBefore = new Uint32Array(count);
    let row = this.#lastRowsOfPartitions[origin] as number;
    for (let i = count - 1; i >= 0; i--) {
      positions[i] = this.#positions[row] as number;
      firstOffsets[i] = this.#firstOffsets[row] as number;
      bytesBefore[i] = this.#bytesBefore[row] as number;
      row = this.#beforeOfPartition[row] as number;
    }
    return { count, positions, firstOffsets, bytesBefore };
  }

  /** Goes back from the last row until nothing before it can matter, then forward again. */
  #windowOf(origin: number, before: ProducerWindow): ProducerWindow {
    // Runs of three numbers, the last first.
    const runs: number[] = [];
    for (let row = this.#lastRows[origin] as number; row !== NONE; row = this.#beforeOfOrigin[row] as number) {
      const sequence = this.#sequences[row] as number;
      // What the database has it has with all before it.
      if (sequence <= before.lastSequence) break;
      const offset = this.#firstOffsets[row] as number;
      const count = this.#counts[row] as number;
      const last = runs.length - 3;
      if (last >= 0 && sequence + count === runs[last] && offset + count === runs[last + 1]) {
        runs[last] = sequence;
        runs[last + 1] = offset;
        runs[last + 2] = (runs[last + 2] as number) + count;
        continue;
      }
      if (runs.length === PRODUCER_RUNS_MAX * 3) break;
      runs.push(sequence, offset, count);
    }
    let window = before;
    for (let at = runs.length - 3; at >= 0; at -= 3)
      window = advanceWindow(window, runs[at] as number, runs[at + 1] as number, runs[at + 2] as number);
    return window;
  }
}
