/**
 * A record set is a run of records in one piece, in the form in which they travel from the socket to the disk and back,
 * so that no stage handles records one by one that does not have to.
 *
 *   lengths  count x u32 LE. Bits 0..30: bytes of the record's region. Bit 31: the region starts with attributes.
 *   data     for each record its region and one separator byte (0x0A). The separator is never part of the record;
 *            it is there so that a run of text lines is stored with a single copy.
 *   region   [attributes] data
 *   attributes  u16 LE key bytes (0xFFFF: no key), u32 LE header bytes (0: none), key (UTF-8), headers (JSON object of strings)
 *
 * Invariants: lengths.length >= count; data.length = sum of regions + count. Non-goals: compression, per-record time.
 */
import { TandemError } from './errors.ts';
import type { ProducerSequence, RecordHeaders, RecordInput, TandemRecord } from './record.ts';

export interface RecordSet {
  readonly count: number;
  /** At least `count` entries; may be longer. */
  readonly lengths: Uint32Array;
  /** Exactly the data bytes. */
  readonly data: Buffer;
}

const LINE_FEED = 10;
const ATTRIBUTES_FLAG = 0x8000_0000;
const LENGTH_MASK = 0x7fff_ffff;
const ATTRIBUTES_HEAD_BYTES = 6;
const NO_KEY = 0xffff;

/** Bytes that a record adds to a set, for limits and back-pressure. */
export const RECORD_OVERHEAD_BYTES = 5;

/** Collects records; grows by doubling; `reset` keeps the memory. Bounds are the caller's duty. */
export class RecordSetBuilder {
  count = 0;
  byteLength = 0;
  #lengths: Uint32Array;
  #data: Buffer;

  constructor(dataBytes: number = 4096, records: number = 64) {
    this.#data = Buffer.allocUnsafeSlow(dataBytes);
    this.#lengths = new Uint32Array(records);
  }

  /** Memory held for data and lengths. */
  get capacityBytes(): number {
    return this.#data.length + this.#lengths.byteLength;
  }

  /** Takes `source[start, end)`: complete lines, each ended by a line feed. `lengths[0..count)` are their lengths without it. */
  addLines(source: Buffer, start: number, end: number, lengths: Uint32Array, count: number): void {
    this.#reserve(end - start, count);
    source.copy(this.#data, this.byteLength, start, end);
    this.byteLength += end - start;
    const target = this.#lengths;
    const base = this.count;
    for (let i = 0; i < count; i++) target[base + i] = lengths[i] as number;
    this.count = base + count;
  }

  /** Takes one record without attributes, given in two pieces (the second may be empty). */
  addData(head: Uint8Array, tail?: Uint8Array): void {
    const bytes = head.length + (tail?.length ?? 0);
    this.#reserve(bytes + 1, 1);
    this.#data.set(head, this.byteLength);
    if (tail !== undefined) this.#data.set(tail, this.byteLength + head.length);
    this.#close(bytes, bytes);
  }

  add(record: RecordInput): void {
    if (record.key === undefined && record.headers === undefined) {
      this.addData(record.data);
      return;
    }
    const key = record.key === undefined ? undefined : Buffer.from(record.key, 'utf8');
    const headers = record.headers === undefined ? '' : JSON.stringify(record.headers);
    if (key !== undefined && key.length >= NO_KEY) throw new TandemError('TANDEM_RECORD_TOO_LARGE', { detail: 'key' });
    const headerBytes = Buffer.byteLength(headers);
    const bytes = ATTRIBUTES_HEAD_BYTES + (key?.length ?? 0) + headerBytes + record.data.length;
    this.#reserve(bytes + 1, 1);
    const data = this.#data;
    let at = data.writeUInt16LE(key === undefined ? NO_KEY : key.length, this.byteLength);
    at = data.writeUInt32LE(headerBytes, at);
    if (key !== undefined) {
      data.set(key, at);
      at += key.length;
    }
    at += data.write(headers, at, 'utf8');
    data.set(record.data, at);
    this.#close(bytes, (bytes | ATTRIBUTES_FLAG) >>> 0);
  }

  /** The records so far. Shares memory: valid until the next `reset`. */
  view(): RecordSet {
    return { count: this.count, lengths: this.#lengths, data: this.#data.subarray(0, this.byteLength) };
  }

  reset(): void {
    this.count = 0;
    this.byteLength = 0;
  }

  #close(bytes: number, length: number): void {
    this.#data[this.byteLength + bytes] = LINE_FEED;
    this.#lengths[this.count++] = length;
    this.byteLength += bytes + 1;
  }

  #reserve(bytes: number, records: number): void {
    if (this.byteLength + bytes > this.#data.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(this.#data.length * 2, this.byteLength + bytes));
      grown.set(this.#data.subarray(0, this.byteLength));
      this.#data = grown;
    }
    if (this.count + records > this.#lengths.length) {
      const grown = new Uint32Array(Math.max(this.#lengths.length * 2, this.count + records));
      grown.set(this.#lengths.subarray(0, this.count));
      this.#lengths = grown;
    }
  }
}

export function recordSetOf(records: Iterable<RecordInput>): RecordSet {
  const builder = new RecordSetBuilder();
  for (const record of records) builder.add(record);
  return builder.view();
}

/** The records `[from, to)` of a set as a set of its own, sharing the data. */
export function sliceRecordSet(set: RecordSet, from: number, to: number = set.count): RecordSet {
  if (from === 0 && to === set.count) return set;
  const { lengths, data } = set;
  let start = 0;
  for (let i = 0; i < from; i++) start += ((lengths[i] as number) & LENGTH_MASK) + 1;
  let end = to === set.count ? data.length : start;
  if (to < set.count) for (let i = from; i < to; i++) end += ((lengths[i] as number) & LENGTH_MASK) + 1;
  return { count: to - from, lengths: lengths.subarray(from, to), data: data.subarray(start, end) };
}

/** The records of all sets, in order, as one set of its own. */
export function joinRecordSets(sets: readonly RecordSet[]): RecordSet {
  const lengths = new Uint32Array(sets.reduce((count, set) => count + set.count, 0));
  let count = 0;
  for (const set of sets) {
    lengths.set(set.lengths.subarray(0, set.count), count);
    count += set.count;
  }
  return { count, lengths, data: Buffer.concat(sets.map(({ data }) => data)) };
}

/** A set as a reader gets it, with its place. */
export interface StoredBatch {
  readonly topic: string;
  readonly partition: number;
  readonly firstOffset: number;
  readonly timeMs: number;
  readonly term: number;
  /** Of the first record, where it was appended with a producer. */
  readonly producer?: ProducerSequence;
  readonly set: RecordSet;
}

/** Calls `visit` for each record from `fromOffset` on, in order. Throws TANDEM_LOG_CORRUPT if the set contradicts itself. */
export function forEachRecord(batch: StoredBatch, fromOffset: number, visit: (record: TandemRecord) => void): void {
  const { set, topic, partition, firstOffset, timeMs } = batch;
  let at = 0;
  for (let i = 0; i < set.count; i++) {
    const length = set.lengths[i] as number;
    const end = at + (length & LENGTH_MASK);
    if (end >= set.data.length)
      throw new TandemError('TANDEM_LOG_CORRUPT', { detail: 'a record reaches beyond its batch' });
    const offset = firstOffset + i;
    if (offset >= fromOffset) {
      if (length & ATTRIBUTES_FLAG) visit(withAttributes(batch, offset, at, end));
      else
        visit({
          topic,
          partition,
          offset,
          timeMs,
          key: undefined,
          headers: undefined,
          data: set.data.subarray(at, end),
        });
    }
    at = end + 1;
  }
}

export function recordsOf(batch: StoredBatch, fromOffset: number = batch.firstOffset): TandemRecord[] {
  const records: TandemRecord[] = [];
  forEachRecord(batch, fromOffset, (record) => records.push(record));
  return records;
}

function withAttributes(batch: StoredBatch, offset: number, start: number, end: number): TandemRecord {
  const { topic, partition, timeMs } = batch;
  const { data } = batch.set;
  if (end - start < ATTRIBUTES_HEAD_BYTES)
    throw new TandemError('TANDEM_LOG_CORRUPT', { detail: 'attributes are cut' });
  const keyBytes = data.readUInt16LE(start);
  const headerBytes = data.readUInt32LE(start + 2);
  const keyAt = start + ATTRIBUTES_HEAD_BYTES;
  const headersAt = keyAt + (keyBytes === NO_KEY ? 0 : keyBytes);
  const dataAt = headersAt + headerBytes;
  if (dataAt > end) throw new TandemError('TANDEM_LOG_CORRUPT', { detail: 'attributes reach beyond their record' });
  const key = keyBytes === NO_KEY ? undefined : data.toString('utf8', keyAt, headersAt);
  const headers =
    headerBytes === 0 ? undefined : (JSON.parse(data.toString('utf8', headersAt, dataAt)) as RecordHeaders);
  return { topic, partition, offset, timeMs, key, headers, data: data.subarray(dataAt, end) };
}
