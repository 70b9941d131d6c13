/**
 * Reads a segment that was not sealed, from its first batch to its end, and tells the torn end of an unfinished flush from damage.
 *
 * A flush is written in one go and followed by one fdatasync before the next flush begins, and nothing of it is acknowledged
 * before. Every batch names where its flush began. So at the first place P that holds no valid batch:
 *   - if a batch further on belongs to a flush that began after P, then P had been made durable before: it is damage;
 *   - the same if a later segment of the journal holds a batch: the journal goes on in another segment only between two flushes;
 *   - the same if the segment's trail says that something durable stood there (trail-format.ts);
 *   - otherwise what follows P is the unfinished last flush: nothing of it was acknowledged, and the segment ends at P.
 * A batch counts at X if it is undamaged and begins a flush there (flush start = X) or continues the one before it (same flush
 * number): remains of a failed flush beyond a shorter later one do not.
 *
 * After damage, reading goes on at the next batch. A damaged batch whose header is undamaged is reported with its offsets; where the
 * header is damaged too, only the bytes are known.
 */
import type { BatchHeader, SegmentId } from './batch-format.ts';
import { BATCH_ALIGNMENT_BYTES, isBodyIntact, readBatchHeader } from './batch-format.ts';
import { SEGMENT_HEADER_BYTES } from './segment-format.ts';

export interface SegmentDamage {
  readonly from: number;
  readonly to: number;
  /** The batch that stood there, if its header can be read. */
  readonly header: BatchHeader | undefined;
}

export interface ScanResult {
  /** Where the next batch would have been written. */
  readonly end: number;
  /** Whether something unfinished stood there. */
  readonly isTorn: boolean;
  readonly damages: readonly SegmentDamage[];
  /** An unreadable header: batches may be lost of which nothing is known, even at the ends of partitions. */
  readonly hasUnknownLoss: boolean;
}

export interface ScanStart {
  /** The journal goes on in a later segment, or nothing can be unfinished for another reason. */
  readonly isFollowed?: boolean;
  /** `bytes` is the file from here on; a flush begins there. Absent: from its begin on. */
  readonly from?: number;
  /** All before it was durable. */
  readonly durableTo?: number;
}

/** Calls `visit` for each batch in order, damaged ones with readable headers included. */
export function scanSegment(
  bytes: Buffer,
  segmentId: SegmentId,
  visit: (header: BatchHeader, position: number) => void,
  { isFollowed = false, from = 0, durableTo = 0 }: ScanStart = {},
): ScanResult {
  const damages: SegmentDamage[] = [];
  let at = Math.max(from, SEGMENT_HEADER_BYTES);
  let before: BatchHeader | undefined;
  let mayFollowAnything = false;
  let hasUnknownLoss = false;
  for (;;) {
    const header = readBatchHeader(bytes, at - from, segmentId);
    const isExpected = header !== undefined && (mayFollowAnything || continues(header, at, before));
    if (header !== undefined && isExpected && isBodyIntact(bytes, at - from, header)) {
      visit(header, at);
    } else {
      const rest = bytes.subarray(at - from);
      const isTorn = !isZero(rest);
      const mustBe = at < durableTo && rest.length > 0;
      if (!isTorn && !mustBe) return { end: at, isTorn, damages, hasUnknownLoss };
      const next = findBatch(rest, segmentId, at, () => true);
      const isForced = mustBe || isFollowed || findBatch(rest, segmentId, at, (h) => h.flushStart > at) !== undefined;
      if (!isForced) return { end: at, isTorn, damages, hasUnknownLoss };
      const to = next ?? from + bytes.length;
      if (header === undefined || !isExpected || at + header.totalBytes > to) {
        damages.push({ from: at, to, header: undefined });
        hasUnknownLoss = true;
        mayFollowAnything = true;
        before = undefined;
        at = to;
        continue;
      }
      damages.push({ from: at, to: at + header.totalBytes, header });
      visit(header, at);
    }
    mayFollowAnything = false;
    before = header;
    at += header.totalBytes;
  }
}

/** At a speed near that of memory. */
export function isZero(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += ZEROS.length) {
    const piece = bytes.subarray(at, at + ZEROS.length);
    if (!piece.equals(ZEROS.subarray(0, piece.length))) return false;
  }
  return true;
}

function continues(header: BatchHeader, at: number, before: BatchHeader | undefined): boolean {
  if (header.flushStart === at) return true;
  return before !== undefined && header.flushStart === before.flushStart && header.flushNumber === before.flushNumber;
}

/**
 * The position of the first readable header after `after`, where `bytes` begin, that `accepts`. Found by the segment id, at a speed near that
 * of memory.
 */
function findBatch(
  bytes: Buffer,
  segmentId: SegmentId,
  after: number,
  accepts: (header: BatchHeader) => boolean,
): number | undefined {
  const needle = Buffer.alloc(8);
  needle.writeUInt32LE(segmentId.low, 0);
  needle.writeUInt32LE(segmentId.high, 4);
  let at = BATCH_ALIGNMENT_BYTES + SEGMENT_ID_AT;
  for (;;) {
    const found = bytes.indexOf(needle, at);
    if (found < 0) return undefined;
    const begin = found - SEGMENT_ID_AT;
    if (begin % BATCH_ALIGNMENT_BYTES === 0) {
      const header = readBatchHeader(bytes, begin, segmentId);
      if (header !== undefined && header.flushStart <= after + begin && accepts(header)) return after + begin;
    }
    at = found + 1;
  }
}

const SEGMENT_ID_AT = 48;
const ZEROS = Buffer.alloc(64 * 1024);
