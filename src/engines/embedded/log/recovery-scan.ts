/**
 * Reads a segment that was not sealed, from its first batch to its end, and tells the torn end of an unfinished flush from damage.
 *
 * A flush is written in one go and followed by one fdatasync before the next flush begins, and nothing of it is acknowledged
 * before. Every batch names where its flush began. So at the first place P that holds no valid batch:
 *   - if a batch further on belongs to a flush that began after P, then P had been made durable before: it is damage;
 *   - the same if a later segment of the journal holds a batch: the journal goes on in another segment only between two flushes;
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

/**
 * Calls `visit` for each batch in order, damaged ones with readable headers included. `bytes` is the whole file. `isFollowed`: the journal
 * goes on in a later segment.
 */
export function scanSegment(
  bytes: Buffer,
  segmentId: SegmentId,
  visit: (header: BatchHeader, position: number) => void,
  isFollowed: boolean = false,
): ScanResult {
  const damages: SegmentDamage[] = [];
  let at = SEGMENT_HEADER_BYTES;
  let before: BatchHeader | undefined;
  let mayFollowAnything = false;
  let hasUnknownLoss = false;
  for (;;) {
    const header = readBatchHeader(bytes, at, segmentId);
    const isExpected = header !== undefined && (mayFollowAnything || continues(header, at, before));
    if (header !== undefined && isExpected && isBodyIntact(bytes, at, header)) {
      visit(header, at);
    } else {
      const next = findBatch(bytes, segmentId, at, () => true);
      const isForced = isFollowed
        ? bytes.subarray(at).some((byte) => byte !== 0)
        : findBatch(bytes, segmentId, at, (h) => h.flushStart > at) !== undefined;
      if (!isForced) return { end: at, isTorn: bytes[at] !== undefined && bytes[at] !== 0, damages, hasUnknownLoss };
      const to = next ?? bytes.length;
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

function continues(header: BatchHeader, at: number, before: BatchHeader | undefined): boolean {
  if (header.flushStart === at) return true;
  return before !== undefined && header.flushStart === before.flushStart && header.flushNumber === before.flushNumber;
}

/** The position of the first readable header after `after` that `accepts`. Found by the segment id, at a speed near that of memory. */
function findBatch(
  bytes: Buffer,
  segmentId: SegmentId,
  after: number,
  accepts: (header: BatchHeader) => boolean,
): number | undefined {
  const needle = Buffer.alloc(8);
  needle.writeUInt32LE(segmentId.low, 0);
  needle.writeUInt32LE(segmentId.high, 4);
  let from = after + BATCH_ALIGNMENT_BYTES + SEGMENT_ID_AT;
  for (;;) {
    const found = bytes.indexOf(needle, from);
    if (found < 0) return undefined;
    const position = found - SEGMENT_ID_AT;
    if (position % BATCH_ALIGNMENT_BYTES === 0) {
      const header = readBatchHeader(bytes, position, segmentId);
      if (header !== undefined && header.flushStart <= position && accepts(header)) return position;
    }
    from = found + 1;
  }
}

const SEGMENT_ID_AT = 48;
