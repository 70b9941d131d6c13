/**
 * A batch is what one append stores: consecutive records of one partition, in one piece. All numbers are little-endian; u64 holds
 * integers below 2^53. A batch begins at a position divisible by 8 and is followed by zero bytes up to the next such position.
 *
 *    0  u32  magic 'TBAT'
 *    4  u32  header checksum: CRC-32 of bytes [8, body)
 *    8  u32  body checksum: CRC-32 of the lengths and the data
 *   12  u32  total bytes, divisible by 8
 *   16  u64  first offset
 *   24  u64  time, Unix milliseconds; never falls within a partition
 *   32  u64  term of the writer
 *   40  u64  producer's sequence of the first record; 0: no producer
 *   48  u64  segment id: random, from the segment's header
 *   56  u32  flush start: where in the segment the flush that wrote this batch began
 *   60  u32  flush number: counts the attempts to flush within the segment
 *   64  u32  partition
 *   68  u32  record count
 *   72  u32  data bytes
 *   76  u16  topic name bytes
 *   78  u16  producer id bytes
 *   80       topic name (ASCII), producer id (ASCII), zeros to a position divisible by 4
 * body       lengths (count x u32), data (core/record-set.ts), zeros to a position divisible by 8
 *
 * Self-describing: the log alone tells everything that the index knows. The segment id keeps records' data, and remains of other
 * files, from ever being taken for a batch; flush start and flush number tell an unfinished flush from damage (recovery-scan.ts).
 * Two checksums: when the data is damaged, the header still says which offsets are lost. Checksums find accidents, not attacks.
 */
import { crc32 } from 'node:zlib';
import type { RecordSet } from '../../../core/record-set.ts';

export const BATCH_ALIGNMENT_BYTES = 8;
const BATCH_HEADER_BYTES = 80;
const BATCH_MAGIC = 0x5441_4254;
const NAME_BYTES_MAX = 128;
const BATCH_BYTES_CEILING = 0x4000_0000;
const HIGH = 0x1_0000_0000;

export const align4 = (bytes: number): number => (bytes + 3) & ~3;
export const align8 = (bytes: number): number => (bytes + 7) & ~7;

/** 64 random bits, as two halves. */
export interface SegmentId {
  readonly low: number;
  readonly high: number;
}

export interface BatchHeader {
  readonly totalBytes: number;
  readonly firstOffset: number;
  readonly timeMs: number;
  readonly term: number;
  readonly sequence: number;
  readonly flushStart: number;
  readonly flushNumber: number;
  readonly partition: number;
  readonly count: number;
  readonly dataBytes: number;
  readonly topic: string;
  readonly producerId: string;
  readonly bodyChecksum: number;
  /** From the batch's begin to its lengths. */
  readonly bodyStart: number;
}

/** What the writer says of a batch; the rest follows from it. */
export interface BatchFields {
  readonly topic: string;
  readonly partition: number;
  readonly producerId: string;
  readonly sequence: number;
  readonly firstOffset: number;
  readonly timeMs: number;
  readonly term: number;
  readonly set: RecordSet;
}

/** The place of a flush, the same for all its batches. */
export interface FlushPlace {
  readonly segmentId: SegmentId;
  readonly flushStart: number;
  readonly flushNumber: number;
}

/** How many bytes a batch takes in the segment. */
export function batchBytes(topic: string, producerId: string, set: RecordSet): number {
  return align8(bodyStartOf(topic.length, producerId.length) + set.count * 4 + set.data.length);
}

export const bodyStartOf = (topicBytes: number, producerBytes: number): number =>
  align4(BATCH_HEADER_BYTES + topicBytes + producerBytes);

export function writeU64(target: Buffer, value: number, at: number): void {
  target.writeUInt32LE(value % HIGH, at);
  target.writeUInt32LE(Math.floor(value / HIGH), at + 4);
}

export const readU64 = (source: Buffer, at: number): number =>
  source.readUInt32LE(at + 4) * HIGH + source.readUInt32LE(at);

/** Writes header and names at `at`; `bodyStart` and the body checksum are already known. */
export function writeBatchHeader(
  target: Buffer,
  at: number,
  fields: BatchFields,
  place: FlushPlace,
  bodyChecksum: number,
): void {
  const { topic, producerId, set } = fields;
  const body = bodyStartOf(topic.length, producerId.length);
  target.writeUInt32LE(BATCH_MAGIC, at);
  target.writeUInt32LE(bodyChecksum, at + 8);
  target.writeUInt32LE(align8(body + set.count * 4 + set.data.length), at + 12);
  writeU64(target, fields.firstOffset, at + 16);
  writeU64(target, fields.timeMs, at + 24);
  writeU64(target, fields.term, at + 32);
  writeU64(target, fields.sequence, at + 40);
  target.writeUInt32LE(place.segmentId.low, at + 48);
  target.writeUInt32LE(place.segmentId.high, at + 52);
  target.writeUInt32LE(place.flushStart, at + 56);
  target.writeUInt32LE(place.flushNumber, at + 60);
  target.writeUInt32LE(fields.partition, at + 64);
  target.writeUInt32LE(set.count, at + 68);
  target.writeUInt32LE(set.data.length, at + 72);
  target.writeUInt16LE(topic.length, at + 76);
  target.writeUInt16LE(producerId.length, at + 78);
  const namesEnd = at + BATCH_HEADER_BYTES + topic.length + producerId.length;
  target.write(topic, at + BATCH_HEADER_BYTES, 'latin1');
  if (producerId !== '') target.write(producerId, at + BATCH_HEADER_BYTES + topic.length, 'latin1');
  for (let i = namesEnd; i < at + body; i++) target[i] = 0;
  target.writeUInt32LE(crc32(target.subarray(at + 8, at + body)), at + 4);
}

/** Makes a whole batch at `at`, whose header is `header`, one of another place. The body and its checksum stay as they are. */
export function moveBatch(target: Buffer, at: number, { bodyStart }: BatchHeader, place: FlushPlace): void {
  target.writeUInt32LE(place.segmentId.low, at + 48);
  target.writeUInt32LE(place.segmentId.high, at + 52);
  target.writeUInt32LE(place.flushStart, at + 56);
  target.writeUInt32LE(place.flushNumber, at + 60);
  target.writeUInt32LE(crc32(target.subarray(at + 8, at + bodyStart)), at + 4);
}

/** Holds any header with its names. */
export const LONGEST_BATCH_HEAD_BYTES: number = BATCH_HEADER_BYTES + 2 * NAME_BYTES_MAX;

/** The segment id that the batch at `at` names, unchecked; undefined if it is no batch. */
export function segmentIdAt(source: Buffer, at: number): SegmentId | undefined {
  if (at + BATCH_HEADER_BYTES > source.length || source.readUInt32LE(at) !== BATCH_MAGIC) return undefined;
  return { low: source.readUInt32LE(at + 48), high: source.readUInt32LE(at + 52) };
}

/** The header of a batch of this segment at `at`, checked by its checksum; undefined if there is none. The body may still be damaged. */
export function readBatchHeader(source: Buffer, at: number, segmentId: SegmentId): BatchHeader | undefined {
  if (at + BATCH_HEADER_BYTES > source.length || source.readUInt32LE(at) !== BATCH_MAGIC) return undefined;
  if (source.readUInt32LE(at + 48) !== segmentId.low || source.readUInt32LE(at + 52) !== segmentId.high)
    return undefined;
  const topicBytes = source.readUInt16LE(at + 76);
  const producerBytes = source.readUInt16LE(at + 78);
  if (topicBytes > NAME_BYTES_MAX || producerBytes > NAME_BYTES_MAX) return undefined;
  const bodyStart = bodyStartOf(topicBytes, producerBytes);
  if (at + bodyStart > source.length) return undefined;
  if (crc32(source.subarray(at + 8, at + bodyStart)) !== source.readUInt32LE(at + 4)) return undefined;
  const count = source.readUInt32LE(at + 68);
  const dataBytes = source.readUInt32LE(at + 72);
  const totalBytes = source.readUInt32LE(at + 12);
  if (totalBytes > BATCH_BYTES_CEILING || totalBytes !== align8(bodyStart + count * 4 + dataBytes)) return undefined;
  const namesAt = at + BATCH_HEADER_BYTES;
  return {
    totalBytes,
    firstOffset: readU64(source, at + 16),
    timeMs: readU64(source, at + 24),
    term: readU64(source, at + 32),
    sequence: readU64(source, at + 40),
    flushStart: source.readUInt32LE(at + 56),
    flushNumber: source.readUInt32LE(at + 60),
    partition: source.readUInt32LE(at + 64),
    count,
    dataBytes,
    topic: source.toString('latin1', namesAt, namesAt + topicBytes),
    producerId:
      producerBytes === 0 ? '' : source.toString('latin1', namesAt + topicBytes, namesAt + topicBytes + producerBytes),
    bodyChecksum: source.readUInt32LE(at + 8),
    bodyStart,
  };
}

/** Whether the whole body is there and undamaged. */
export function isBodyIntact(source: Buffer, at: number, header: BatchHeader): boolean {
  const end = at + header.bodyStart + header.count * 4 + header.dataBytes;
  return end <= source.length && crc32(source.subarray(at + header.bodyStart, end)) === header.bodyChecksum;
}

/** The records of a batch at `at`, sharing the memory of `source`. */
export function recordSetAt(source: Buffer, at: number, header: BatchHeader): RecordSet {
  const lengthsAt = at + header.bodyStart;
  const dataAt = lengthsAt + header.count * 4;
  return {
    count: header.count,
    lengths: new Uint32Array(source.buffer, source.byteOffset + lengthsAt, header.count),
    data: source.subarray(dataAt, dataAt + header.dataBytes),
  };
}
