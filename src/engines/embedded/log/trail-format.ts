/**
 * A trail `<sequence>.trail` grows beside the segment that is being written and says where its durable batches are, so that whoever recovers
 * the journal reads it in their place, and scans only what came after its last frame. When the segment has its sidecar the trail goes.
 *
 * A frame is written, with no force, after the flush is durable of which it tells, and tells of everything since the frame before it. So
 * what a valid frame names has been on the medium; a frame that is missing, cut or damaged costs a longer scan and nothing else: a trail is
 * read up to the first frame that is not in order, and where the segment contradicts it, it does not count (unsealed-segment.ts).
 * Batches of one partition follow each other without a gap in offsets, all batches without a gap in positions.
 *
 * All numbers are u32, little-endian. A frame's length is divisible by 8.
 * header (16)   0 magic 'TRIL'  1 CRC-32 of the rest of the frame  2 bytes of the frame  3 rows  4 new origins  5 bytes of their names
 *               6, 7 segment id  8 position of the first batch  9 position after the last  10, 11 base time, Unix ms  12-15 zeros
 * row (6)       0 position  1 origin (origin-table.ts; counted from 0 in the order of their first frames)  2 records  3 time - base time
 *               4, 5 sequence
 * origin (6)    0 the partition's origin + 1, or 0: it is a partition  1 partition number  2 hash of the name  3 bytes of the name
 *               4, 5 first offset in this segment (of a partition)
 * names         of the new origins: topic or producer id (ASCII), one after the other; zeros to a length divisible by 8
 */
import { crc32 } from 'node:zlib';
import type { SegmentId } from './batch-format.ts';
import { align8, readU64, writeU64 } from './batch-format.ts';
import type { OriginTable } from './origin-table.ts';
import { IS_PARTITION } from './origin-table.ts';
import { SEGMENT_HEADER_BYTES } from './segment-format.ts';
import { ROW_WORDS, SegmentIndex } from './segment-index.ts';

const MAGIC = 0x4c49_5254;
const HEADER_BYTES = 64;
const ROW_BYTES = ROW_WORDS * 4;
const ORIGIN_BYTES = 24;

export interface TrailFrame {
  readonly segmentId: SegmentId;
  readonly from: number;
  readonly to: number;
  readonly baseTimeMs: number;
  /** `rows` rows, as the format has them. */
  readonly words: Uint32Array;
  readonly rows: number;
  readonly origins: OriginTable;
  /** Origins from this one on are new. */
  readonly firstOrigin: number;
  /** Of the partition of a new origin. */
  readonly startOffset: (origin: number) => number;
}

export function encodeFrame(frame: TrailFrame): Buffer {
  const { origins, firstOrigin, rows } = frame;
  const names = origins.nameBytes(firstOrigin, origins.count);
  const newOrigins = origins.count - firstOrigin;
  const originsAt = HEADER_BYTES + rows * ROW_BYTES;
  const namesAt = originsAt + newOrigins * ORIGIN_BYTES;
  const bytes = Buffer.alloc(align8(namesAt + names.length));
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt32LE(bytes.length, 8);
  bytes.writeUInt32LE(rows, 12);
  bytes.writeUInt32LE(newOrigins, 16);
  bytes.writeUInt32LE(names.length, 20);
  bytes.writeUInt32LE(frame.segmentId.low, 24);
  bytes.writeUInt32LE(frame.segmentId.high, 28);
  bytes.writeUInt32LE(frame.from, 32);
  bytes.writeUInt32LE(frame.to, 36);
  writeU64(bytes, frame.baseTimeMs, 40);
  // Whole words at once (little-endian, as all platforms that there are).
  bytes.set(new Uint8Array(frame.words.buffer, frame.words.byteOffset, rows * ROW_BYTES), HEADER_BYTES);
  for (let origin = firstOrigin, at = originsAt; origin < origins.count; origin++, at += ORIGIN_BYTES) {
    const isPartition = origins.isPartition(origin);
    bytes.writeUInt32LE(isPartition ? 0 : (origins.partitionOrigins[origin] as number) + 1, at);
    bytes.writeUInt32LE(origins.partitionNumbers[origin] as number, at + 4);
    bytes.writeUInt32LE(origins.hash(origin), at + 8);
    bytes.writeUInt32LE(origins.nameLength(origin), at + 12);
    if (isPartition) writeU64(bytes, frame.startOffset(origin), at + 16);
  }
  bytes.set(names, namesAt);
  bytes.writeUInt32LE(crc32(bytes.subarray(8)), 4);
  return bytes;
}

export interface Trail {
  readonly index: SegmentIndex;
  /** Everything in the segment before this position is in the index, and was durable. */
  readonly to: number;
}

/** Reads a trail as far as it is in order. undefined: no part of it can be used. */
export function readTrail(bytes: Buffer, segmentId: SegmentId): Trail | undefined {
  const index = new SegmentIndex(Math.ceil(bytes.length / ROW_BYTES) + SCANNED_ROWS);
  let to = SEGMENT_HEADER_BYTES;
  for (let at = 0; ; ) {
    const frameBytes = frameBytesAt(bytes, at, segmentId, to);
    if (frameBytes === 0) return to === SEGMENT_HEADER_BYTES ? undefined : { index, to };
    // Its checksum is right, so it was written like that: then nothing of this trail can be relied on.
    if (!addOrigins(bytes, at, index) || !addRows(bytes, at, index)) return undefined;
    to = bytes.readUInt32LE(at + 36);
    at += frameBytes;
  }
}

/** What a scan may add without copying what the trail gave. */
const SCANNED_ROWS = 4096;

/** The length of a frame that is whole and begins where the one before it ended; 0: there is none. */
function frameBytesAt(bytes: Buffer, at: number, { low, high }: SegmentId, from: number): number {
  if (at + HEADER_BYTES > bytes.length || bytes.readUInt32LE(at) !== MAGIC) return 0;
  const length = bytes.readUInt32LE(at + 8);
  const rows = bytes.readUInt32LE(at + 12);
  const expected = HEADER_BYTES + rows * ROW_BYTES + bytes.readUInt32LE(at + 16) * ORIGIN_BYTES;
  if (length !== align8(expected + bytes.readUInt32LE(at + 20)) || at + length > bytes.length) return 0;
  if (bytes.readUInt32LE(at + 24) !== low || bytes.readUInt32LE(at + 28) !== high) return 0;
  if (bytes.readUInt32LE(at + 32) !== from || bytes.readUInt32LE(at + 36) <= from) return 0;
  return crc32(bytes.subarray(at + 8, at + length)) === bytes.readUInt32LE(at + 4) ? length : 0;
}

/** False: they are not in order. */
function addOrigins(bytes: Buffer, frameAt: number, index: SegmentIndex): boolean {
  const { origins } = index;
  const newOrigins = bytes.readUInt32LE(frameAt + 16);
  const originsAt = frameAt + HEADER_BYTES + bytes.readUInt32LE(frameAt + 12) * ROW_BYTES;
  let nameAt = originsAt + newOrigins * ORIGIN_BYTES;
  const namesEnd = nameAt + bytes.readUInt32LE(frameAt + 20);
  for (let at = originsAt; at < originsAt + newOrigins * ORIGIN_BYTES; at += ORIGIN_BYTES) {
    const partitionOrigin = bytes.readUInt32LE(at) - 1;
    const nameEnd = nameAt + bytes.readUInt32LE(at + 12);
    if (nameEnd > namesEnd) return false;
    if (partitionOrigin >= 0 && (partitionOrigin >= origins.count || !origins.isPartition(partitionOrigin)))
      return false;
    const [partition, hash] = [bytes.readUInt32LE(at + 4), bytes.readUInt32LE(at + 8)];
    const origin = origins.addEncoded(partitionOrigin, partition, hash, bytes.subarray(nameAt, nameEnd));
    index.growOrigins();
    if (partitionOrigin === IS_PARTITION) index.setStart(origin, readU64(bytes, at + 16));
    nameAt = nameEnd;
  }
  return nameAt === namesEnd;
}

/** False: they are not in order. */
function addRows(bytes: Buffer, frameAt: number, index: SegmentIndex): boolean {
  const rows = bytes.readUInt32LE(frameAt + 12);
  const to = bytes.readUInt32LE(frameAt + 36);
  const baseTimeMs = readU64(bytes, frameAt + 40);
  const words = new Uint32Array(
    bytes.buffer as ArrayBuffer,
    bytes.byteOffset + frameAt + HEADER_BYTES,
    rows * ROW_WORDS,
  );
  return index.addFrame(words, rows, { from: bytes.readUInt32LE(frameAt + 32), to, baseTimeMs });
}
