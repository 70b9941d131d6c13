/**
 * Reads a segment that has no sidecar: the part of which its trail tells is not looked at, what comes after is scanned. Where there is no
 * trail, or where the segment contradicts it (its last batch is not where the trail says), all is scanned, and what the trail says was
 * durable must be there or is damage.
 */
import type { Disk, DiskFile } from '../../core/ports/disk.ts';
import type { BatchHeader } from './log/batch-format.ts';
import { LONGEST_BATCH_HEAD_BYTES, readBatchHeader } from './log/batch-format.ts';
import type { ScanResult } from './log/recovery-scan.ts';
import { scanSegment } from './log/recovery-scan.ts';
import type { Segment } from './log/segment.ts';
import { isWhole } from './log/segment-format.ts';
import { SegmentIndex } from './log/segment-index.ts';
import type { Trail } from './log/trail-format.ts';
import { readTrail } from './log/trail-format.ts';

/** What is found in a segment. */
export interface SegmentContents {
  readonly index: SegmentIndex;
  readonly result: ScanResult;
  /** Before it nothing was scanned. */
  readonly scannedFrom: number;
}

const ROWS_EXPECTED = 4096;

/** `isFollowed`: the journal goes on in a later segment. Throws the disk's errors. */
export function readUnsealed(disk: Disk, segment: Segment, isFollowed: boolean): SegmentContents {
  const file = disk.openSync(segment.path, 'read');
  try {
    const trail = trailOf(disk, segment);
    if (trail === undefined) return scan(file, segment, isFollowed, 0);
    if (!agrees(file, segment, trail)) return scan(file, segment, isFollowed, trail.to);
    const { index, to } = trail;
    const visit = (header: BatchHeader, position: number): void => index.addBatch(header, position);
    const result = scanSegment(readFrom(file, to), segment.id, visit, { isFollowed, from: to });
    return { index, result, scannedFrom: to };
  } finally {
    file.close();
  }
}

/** The whole contents of a segment, by scanning it. Throws the disk's errors. */
export function scanWhole(disk: Disk, segment: Segment): SegmentContents {
  const file = disk.openSync(segment.path, 'read');
  try {
    return scan(file, segment, false, 0);
  } finally {
    file.close();
  }
}

function scan(file: DiskFile, segment: Segment, isFollowed: boolean, durableTo: number): SegmentContents {
  const index = new SegmentIndex(ROWS_EXPECTED);
  const visit = (header: BatchHeader, position: number): void => index.addBatch(header, position);
  const start = { isFollowed: isFollowed || isWhole(segment.name), durableTo };
  return { index, result: scanSegment(readFrom(file, 0), segment.id, visit, start), scannedFrom: 0 };
}

function trailOf(disk: Disk, { trailPath, id }: Segment): Trail | undefined {
  try {
    const file = disk.openSync(trailPath, 'read');
    try {
      return readTrail(readFrom(file, 0), id);
    } finally {
      file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Whether the last batch of the trail stands where the trail ends. */
function agrees(file: DiskFile, { id }: Segment, { index, to }: Trail): boolean {
  const bytes = Buffer.alloc(LONGEST_BATCH_HEAD_BYTES);
  const row = index.rows - 1;
  const position = index.positionOf(row);
  const header = readBatchHeader(bytes.subarray(0, file.readSync(bytes, position)), 0, id);
  return header !== undefined && position + header.totalBytes === to && index.isRow(row, header);
}

function readFrom(file: DiskFile, position: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(Math.max(0, file.sizeSync() - position));
  return bytes.subarray(0, file.readSync(bytes, position));
}
