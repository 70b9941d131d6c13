/**
 * A sidecar `<sequence>.idx` stands beside each sealed segment and says, partition by partition, where the batches are, so that a
 * partition of ten thousand interleaved ones is read without scanning the others. It can always be made again from the segment.
 * Opening reads only header and directory; entries are read when a partition's old data is.
 *
 * header (64)    0 'TANDMIDX'  8 u32 version 1  12 u32 rows  16 u32 name bytes  20 u32 end of the segment  24 u64 segment id
 *               32 u32 slot  36 u32 1 if batches of unknown partitions are lost  40 16 bytes store id: the state database that
 *               has the producers and topics of the segment  56 zeros  60 u32 CRC-32 of header [0, 60) and directory
 * directory      hashes: rows x u32, ascending; rows x 72 bytes in the same order; names (ASCII), each once
 * row (72)       0 u32 name at  4 u32 name bytes  8 u32 partition  12 u32 entries  16 u32 CRC-32 of its entries  20 u32 0
 *               24 u64 first offset  32 u64 next offset  40 u64 least time  48 u64 greatest time  56 u64 bytes  64 u64 position of its entries
 * entry (16)     0 u32 position in the segment  4 u32 bytes of the extent before it  8 u64 first offset
 */
import { crc32 } from 'node:zlib';
import type { SegmentId } from './batch-format.ts';
import { readU64, writeU64 } from './batch-format.ts';
import type { ExtentEntries, ExtentSummary } from './extent.ts';

export const SIDECAR_HEADER_BYTES = 64;
const MAGIC = 'TANDMIDX';
const VERSION = 1;
const ROW_BYTES = 72;
const ENTRY_BYTES = 16;
const ENTRY_WORDS = ENTRY_BYTES / 4;
const HIGH = 0x1_0000_0000;

/** FNV-1a over `topic/partition`. */
function extentHash(topic: string, partition: number): number {
  let hash = 0x811c9dc5;
  const text = `${topic}/${partition}`;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x0100_0193);
  return hash >>> 0;
}

export interface SidecarFacts {
  readonly segmentId: SegmentId;
  readonly slot: number;
  readonly end: number;
  readonly hasUnknownLoss: boolean;
  /** 16 characters. */
  readonly storeId: string;
}

type WholeExtent = ExtentSummary & ExtentEntries;

/** The pieces of a sidecar file. */
export function encodeSidecar(facts: SidecarFacts, extents: Iterable<WholeExtent>): Buffer[] {
  const rows = [...extents].map((extent) => ({ extent, hash: extentHash(extent.topic, extent.partition) }));
  rows.sort((a, b) => a.hash - b.hash);
  const nameAt = new Map<string, number>();
  let nameBytes = 0;
  for (const { extent } of rows) {
    if (nameAt.has(extent.topic)) continue;
    nameAt.set(extent.topic, nameBytes);
    nameBytes += extent.topic.length;
  }
  const header = encodeHeader(facts, rows.length, nameBytes);
  const directory = Buffer.alloc(rows.length * (4 + ROW_BYTES) + nameBytes);
  let count = 0;
  for (const { extent } of rows) count += extent.count;
  const entries = Buffer.allocUnsafeSlow(count * ENTRY_BYTES);
  let at = 0;
  rows.forEach(({ extent, hash }, index) => {
    const end = encodeEntries(extent, entries, at);
    directory.writeUInt32LE(hash, index * 4);
    const rowAt = rows.length * 4 + index * ROW_BYTES;
    const place = { position: header.length + directory.length + at, checksum: crc32(entries.subarray(at, end)) };
    writeRow(directory, rowAt, extent, nameAt.get(extent.topic) as number, place);
    at = end;
  });
  const namesAt = rows.length * (4 + ROW_BYTES);
  for (const [name, at] of nameAt) directory.write(name, namesAt + at, 'latin1');
  header.writeUInt32LE(crc32(directory, crc32(header.subarray(0, 60))), 60);
  return [header, directory, entries];
}

function encodeHeader(facts: SidecarFacts, rows: number, nameBytes: number): Buffer {
  const header = Buffer.alloc(SIDECAR_HEADER_BYTES);
  header.write(MAGIC, 0, 'latin1');
  header.writeUInt32LE(VERSION, 8);
  header.writeUInt32LE(rows, 12);
  header.writeUInt32LE(nameBytes, 16);
  header.writeUInt32LE(facts.end, 20);
  header.writeUInt32LE(facts.segmentId.low, 24);
  header.writeUInt32LE(facts.segmentId.high, 28);
  header.writeUInt32LE(facts.slot, 32);
  header.writeUInt32LE(facts.hasUnknownLoss ? 1 : 0, 36);
  header.write(facts.storeId, 40, 16, 'latin1');
  return header;
}

/** Returns where they end. */
function encodeEntries(extent: WholeExtent, target: Buffer, start: number): number {
  const { count, positions, bytesBefore, firstOffsets } = extent;
  // Hundreds of thousands at a time: whole numbers at once (little-endian, as all platforms that there are).
  const words = new Uint32Array(target.buffer, target.byteOffset + start, count * ENTRY_WORDS);
  for (let i = 0, at = 0; i < count; i++, at += ENTRY_WORDS) {
    const firstOffset = firstOffsets[i] as number;
    words[at] = positions[i] as number;
    words[at + 1] = bytesBefore[i] as number;
    words[at + 2] = firstOffset % HIGH;
    words[at + 3] = firstOffset / HIGH;
  }
  return start + count * ENTRY_BYTES;
}

function writeRow(
  directory: Buffer,
  at: number,
  extent: WholeExtent,
  nameAt: number,
  entries: { readonly position: number; readonly checksum: number },
): void {
  directory.writeUInt32LE(nameAt, at);
  directory.writeUInt32LE(extent.topic.length, at + 4);
  directory.writeUInt32LE(extent.partition, at + 8);
  directory.writeUInt32LE(extent.count, at + 12);
  directory.writeUInt32LE(entries.checksum, at + 16);
  writeU64(directory, extent.firstOffset, at + 24);
  writeU64(directory, extent.nextOffset, at + 32);
  writeU64(directory, extent.minTimeMs, at + 40);
  writeU64(directory, extent.maxTimeMs, at + 48);
  writeU64(directory, extent.bytes, at + 56);
  writeU64(directory, entries.position, at + 64);
}

/** Where the entries of a row are, and how to judge them. */
export interface EntriesPlace {
  readonly position: number;
  readonly count: number;
  readonly bytes: number;
  readonly checksum: number;
}

/** The directory of a sidecar, searched in place. */
export class SidecarDirectory {
  readonly facts: SidecarFacts;
  readonly rows: number;
  readonly #directory: Buffer;
  readonly #hashes: Uint32Array;

  private constructor(facts: SidecarFacts, rows: number, directory: Buffer) {
    this.facts = facts;
    this.rows = rows;
    this.#directory = directory;
    this.#hashes = new Uint32Array(rows);
    for (let i = 0; i < rows; i++) this.#hashes[i] = directory.readUInt32LE(i * 4);
  }

  /** How many bytes header and directory take together, told from the header; undefined if it is not one. */
  static bytesOf(header: Buffer): number | undefined {
    if (header.length < SIDECAR_HEADER_BYTES || header.toString('latin1', 0, 8) !== MAGIC) return undefined;
    if (header.readUInt32LE(8) !== VERSION) return undefined;
    return SIDECAR_HEADER_BYTES + header.readUInt32LE(12) * (4 + ROW_BYTES) + header.readUInt32LE(16);
  }

  /** undefined: damaged, or of another version. */
  static decode(bytes: Buffer): SidecarDirectory | undefined {
    const expected = SidecarDirectory.bytesOf(bytes);
    if (expected === undefined || bytes.length < expected) return undefined;
    const directory = bytes.subarray(SIDECAR_HEADER_BYTES, expected);
    if (crc32(directory, crc32(bytes.subarray(0, 60))) !== bytes.readUInt32LE(60)) return undefined;
    const facts: SidecarFacts = {
      segmentId: { low: bytes.readUInt32LE(24), high: bytes.readUInt32LE(28) },
      slot: bytes.readUInt32LE(32),
      end: bytes.readUInt32LE(20),
      hasUnknownLoss: bytes.readUInt32LE(36) === 1,
      storeId: bytes.toString('latin1', 40, 56),
    };
    return new SidecarDirectory(facts, bytes.readUInt32LE(12), directory);
  }

  /** The row of a partition; -1 if the segment holds nothing of it. */
  find(topic: string, partition: number): number {
    const wanted = extentHash(topic, partition);
    let low = 0;
    let high = this.rows;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#hashes[middle] as number) < wanted) low = middle + 1;
      else high = middle;
    }
    for (let row = low; row < this.rows && this.#hashes[row] === wanted; row++) {
      const at = this.#rowAt(row);
      if (this.#directory.readUInt32LE(at + 8) === partition && this.#topicAt(at) === topic) return row;
    }
    return -1;
  }

  get bytes(): number {
    return this.#directory.length;
  }

  hashOf(row: number): number {
    return this.#hashes[row] as number;
  }

  summary(row: number): ExtentSummary {
    const at = this.#rowAt(row);
    const bytes = this.#directory;
    return {
      topic: this.#topicAt(at),
      partition: bytes.readUInt32LE(at + 8),
      firstOffset: readU64(bytes, at + 24),
      nextOffset: readU64(bytes, at + 32),
      minTimeMs: readU64(bytes, at + 40),
      maxTimeMs: readU64(bytes, at + 48),
      bytes: readU64(bytes, at + 56),
    };
  }

  entriesPlace(row: number): EntriesPlace {
    const at = this.#rowAt(row);
    const count = this.#directory.readUInt32LE(at + 12);
    return {
      position: readU64(this.#directory, at + 64),
      count,
      bytes: count * ENTRY_BYTES,
      checksum: this.#directory.readUInt32LE(at + 16),
    };
  }

  #rowAt(row: number): number {
    return this.rows * 4 + row * ROW_BYTES;
  }

  #topicAt(rowAt: number): string {
    const nameAt = this.rows * (4 + ROW_BYTES) + this.#directory.readUInt32LE(rowAt);
    return this.#directory.toString('latin1', nameAt, nameAt + this.#directory.readUInt32LE(rowAt + 4));
  }
}

/** undefined: damaged. */
export function decodeEntries(bytes: Buffer, place: EntriesPlace): ExtentEntries | undefined {
  if (bytes.length !== place.bytes || crc32(bytes) !== place.checksum) return undefined;
  const positions = new Uint32Array(place.count);
  const bytesBefore = new Uint32Array(place.count);
  const firstOffsets = new Float64Array(place.count);
  const words = new Uint32Array(new Uint8Array(bytes).buffer);
  for (let i = 0, at = 0; i < place.count; i++, at += ENTRY_WORDS) {
    positions[i] = words[at] as number;
    bytesBefore[i] = words[at + 1] as number;
    firstOffsets[i] = (words[at + 3] as number) * HIGH + (words[at + 2] as number);
  }
  return { count: place.count, positions, firstOffsets, bytesBefore };
}
