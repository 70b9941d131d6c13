/**
 * What one segment holds, batch by batch, as recovery finds it: from its trail (trail-format.ts), by scanning it, or first the one and then the
 * other. Columns of numbers, since it is put together in the milliseconds in which nobody serves the slot: nothing is made for a
 * batch, and what is asked for later (entries of a partition, windows of producers) is made when it is asked for.
 */
import type { BatchHeader } from './batch-format.ts';
import { BATCH_ALIGNMENT_BYTES } from './batch-format.ts';
import type { ExtentEntries, ExtentSummary } from './extent.ts';
import type { Integers, Numbers, Words } from './growing-columns.ts';
import { grownIntegers, grownNumbers, grownWords } from './growing-columns.ts';
import { IS_PARTITION, OriginTable } from './origin-table.ts';
import type { ProducerWindow } from './producer-window.ts';
import { advanceWindow, PRODUCER_RUNS_MAX } from './producer-window.ts';

/** Of a row in a trail (trail-format.ts). */
export const ROW_WORDS = 6;
const HIGH = 0x1_0000_0000;
/** In the place of a row: there is none. */
const NONE = -1;

export interface SeenProducer {
  readonly topic: string;
  readonly partition: number;
  readonly producerId: string;
  readonly seenMs: number;
}

export interface FramePlace {
  readonly from: number;
  readonly to: number;
  readonly baseTimeMs: number;
}

export class SegmentIndex {
  readonly origins: OriginTable = new OriginTable();
  rows = 0;
  #positions: Words;
  /** Their origins. */
  #partitions: Words;
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
    this.#partitions = new Uint32Array(rowsExpected);
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
    this.#partitions[row] = partition;
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

  /**
   * Rows as a trail's frame has them, which lie from `from` to `to`. False: they are not in order; then the index is of no use any more. A
   * hundred thousand rows in two milliseconds: that is why it does not call `add`.
   */
  addFrame(words: Words, rows: number, { from, to, baseTimeMs }: FramePlace): boolean {
    const first = this.rows;
    this.rows += rows;
    this.#growRows();
    const { count: origins, partitionOrigins } = this.origins;
    const [positions, partitions, counts, bytesBefore] = [
      this.#positions,
      this.#partitions,
      this.#counts,
      this.#bytesBefore,
    ];
    const [firstOffsets, sequences] = [this.#firstOffsets, this.#sequences];
    const [beforeOfPartition, beforeOfOrigin] = [this.#beforeOfPartition, this.#beforeOfOrigin];
    const [lastRows, lastRowsOfPartitions, rowCounts] = [this.#lastRows, this.#lastRowsOfPartitions, this.#rowCounts];
    const [seenMs, minTimesMs, maxTimesMs] = [this.#seenMs, this.#minTimesMs, this.#maxTimesMs];
    const [nextOffsets, partitionBytes] = [this.#nextOffsets, this.#bytes];
    let position = from;
    if (rows === 0 || words[0] !== position) return false;
    for (let row = first, at = 0; row < this.rows; row++, at += ROW_WORDS) {
      const next = at + ROW_WORDS < words.length ? (words[at + ROW_WORDS] as number) : to;
      const origin = words[at + 1] as number;
      if (next <= position || next % BATCH_ALIGNMENT_BYTES !== 0 || origin >= origins) return false;
      const partition = partitionOrigins[origin] as number;
      const count = words[at + 2] as number;
      const timeMs = baseTimeMs + (words[at + 3] as number);
      const firstOffset = nextOffsets[partition] as number;
      positions[row] = position;
      partitions[row] = partition;
      counts[row] = count;
      firstOffsets[row] = firstOffset;
      sequences[row] = (words[at + 5] as number) * HIGH + (words[at + 4] as number);
      bytesBefore[row] = partitionBytes[partition] as number;
      beforeOfPartition[row] = lastRowsOfPartitions[partition] as number;
      beforeOfOrigin[row] = lastRows[origin] as number;
      lastRowsOfPartitions[partition] = row;
      lastRows[origin] = row;
      seenMs[origin] = timeMs;
      if (rowCounts[partition] === 0) minTimesMs[partition] = timeMs;
      rowCounts[partition] = (rowCounts[partition] as number) + 1;
      nextOffsets[partition] = firstOffset + count;
      maxTimesMs[partition] = timeMs;
      partitionBytes[partition] = (partitionBytes[partition] as number) + next - position;
      position = next;
    }
    return true;
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

  positionOf(row: number): number {
    return this.#positions[row] as number;
  }

  /** Whether the row is of the batch with this header. */
  isRow(row: number, { topic, partition, firstOffset, count, sequence }: BatchHeader): boolean {
    return (
      this.origins.find(IS_PARTITION, partition, topic) === this.#partitions[row] &&
      this.#firstOffsets[row] === firstOffset &&
      this.#counts[row] === count &&
      this.#sequences[row] === sequence
    );
  }

  /** Whose records the row's batch holds: for people. */
  recordsOf(row: number): { topic: string; partition: number; fromOffset: number; nextOffset: number } {
    const origin = this.#partitions[row] as number;
    const [fromOffset, count] = [this.#firstOffsets[row] as number, this.#counts[row] as number];
    const partition = this.origins.partitionNumbers[origin] as number;
    return { topic: this.origins.name(origin), partition, fromOffset, nextOffset: fromOffset + count };
  }

  #growRows(): void {
    const rows = this.rows;
    this.#positions = grownWords(this.#positions, rows);
    this.#partitions = grownWords(this.#partitions, rows);
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
