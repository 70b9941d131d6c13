/**
 * A segment is one file of a journal: a header of 64 bytes, then batches (batch-format.ts) up to its end, then, while it is being
 * written, zeros up to the size that it was given beforehand.
 *
 * Name: `<sequence, 10 digits>.seg`, or, of one that compaction has made (compactor.ts), `<first>-<last>-<generation>.seg`: it stands
 * for all segments with those sequences and of earlier generations. So one renaming puts it in their place: as soon as it has its
 * name they count no more, and whoever finds them beside it removes them.
 *
 *    0  8 bytes  'TANDMSEG'
 *    8  u32      version, 1
 *   12  u32      slot of the journal
 *   16  u64      sequence within the journal
 *   24  u64      segment id, random; repeated in every batch
 *   32  16 bytes store id (ASCII): names the state database that belonged to it
 *   48  u64      when it was created, Unix milliseconds
 *   56  u32      how many slots there were: with the slot it says whose partitions these are
 *   60  u32      CRC-32 of bytes [0, 60)
 */
import { crc32 } from 'node:zlib';
import type { Random } from '../../../core/ports/random.ts';
import type { SegmentId } from './batch-format.ts';
import { readU64, writeU64 } from './batch-format.ts';

export const SEGMENT_HEADER_BYTES = 64;
export const SEGMENT_VERSION = 1;
const MAGIC = 'TANDMSEG';

export interface SegmentHeader {
  readonly version: number;
  readonly slot: number;
  readonly slots: number;
  readonly sequence: number;
  readonly id: SegmentId;
  /** 16 characters. */
  readonly storeId: string;
  readonly createdMs: number;
}

export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
  bytes.write(MAGIC, 0, 'latin1');
  bytes.writeUInt32LE(header.version, 8);
  bytes.writeUInt32LE(header.slot, 12);
  writeU64(bytes, header.sequence, 16);
  bytes.writeUInt32LE(header.id.low, 24);
  bytes.writeUInt32LE(header.id.high, 28);
  bytes.write(header.storeId.padEnd(16, ' ').slice(0, 16), 32, 'latin1');
  writeU64(bytes, header.createdMs, 48);
  bytes.writeUInt32LE(header.slots, 56);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 60)), 60);
  return bytes;
}

/** undefined: this is not (or no longer) the header of a segment. */
export function decodeSegmentHeader(bytes: Buffer): SegmentHeader | undefined {
  if (bytes.length < SEGMENT_HEADER_BYTES || bytes.toString('latin1', 0, 8) !== MAGIC) return undefined;
  if (crc32(bytes.subarray(0, 60)) !== bytes.readUInt32LE(60)) return undefined;
  return {
    version: bytes.readUInt32LE(8),
    slot: bytes.readUInt32LE(12),
    slots: bytes.readUInt32LE(56),
    sequence: readU64(bytes, 16),
    id: { low: bytes.readUInt32LE(24), high: bytes.readUInt32LE(28) },
    storeId: bytes.toString('latin1', 32, 48),
    createdMs: readU64(bytes, 48),
  };
}

/** Never with a zero first byte, so that looking for it in a run of zeros is fast. */
export function newSegmentId(random: Random): SegmentId {
  const bytes = Buffer.from(random.id(8), 'hex');
  return { low: (bytes.readUInt32LE(0) | 1) >>> 0, high: bytes.readUInt32LE(4) };
}

/** What the name of a segment says. Sequences are given once and in order: a segment is older than those with higher ones. */
export interface SegmentName {
  readonly first: number;
  /** As the header has it. */
  readonly last: number;
  /** 0: as it was written; otherwise one more than the highest of those it stands for. */
  readonly generation: number;
}

const NAME = /^(\d{10})(?:-(\d{10})-(\d{1,9}))?\.(seg|idx|trail)$/;

export const segmentFileName = (name: SegmentName): string => `${stemOf(name)}.seg`;
export const sidecarFileName = (name: SegmentName): string => `${stemOf(name)}.idx`;
export const trailFileName = (name: SegmentName): string => `${stemOf(name)}.trail`;

function stemOf({ first, last, generation }: SegmentName): string {
  const stem = digits(first);
  return generation === 0 ? stem : `${stem}-${digits(last)}-${generation}`;
}

const digits = (sequence: number): string => String(sequence).padStart(10, '0');

/** What `segmentFileName` or one of the others made a name of; undefined for other names. */
export function parseFileName(fileName: string, extension: 'seg' | 'idx' | 'trail'): SegmentName | undefined {
  const match = fileName.endsWith(extension) ? NAME.exec(fileName) : null;
  if (match === null || match[4] !== extension) return undefined;
  const first = Number(match[1]);
  return match[2] === undefined
    ? { first, last: first, generation: 0 }
    : { first, last: Number(match[2]), generation: Number(match[3]) };
}

/** It had all its batches, durably, before it had its name: what is missing in it is damage, not an unfinished flush. */
export const isWhole = ({ generation }: SegmentName): boolean => generation > 0;

/** Whether `outer` stands for `inner`, which then counts no more. */
export function replaces(outer: SegmentName, inner: SegmentName): boolean {
  if (outer.generation === 0 || outer.first > inner.first || outer.last < inner.last) return false;
  return outer.last - outer.first > inner.last - inner.first || outer.generation > inner.generation;
}

/** Those that count: no other one of `names` stands for them. Oldest first. */
export function namesInForce(names: readonly SegmentName[]): SegmentName[] {
  const made = names.filter(({ generation }) => generation > 0);
  return names.filter((name) => !made.some((other) => replaces(other, name))).sort((a, b) => a.last - b.last);
}
