/**
 * Makes a process quick at recovery before it has to be: scans a segment that is made up in memory, so that the code which reads
 * batches is compiled when a slot falls vacant. Measured: a cold process takes about 40 ms for a tail of 15,000 small batches.
 */
import type { BatchHeader } from './log/batch-format.ts';
import { GrowingExtent } from './log/extent.ts';
import { FlushBuffer } from './log/flush-buffer.ts';
import { advanceWindow, EMPTY_WINDOW } from './log/producer-window.ts';
import { scanSegment } from './log/recovery-scan.ts';
import { SEGMENT_HEADER_BYTES } from './log/segment-format.ts';

const BATCHES = 3000;
const SCANS = 4;
const SEGMENT_ID = { low: 1, high: 1 };

/** Takes some tens of milliseconds; touches no file. */
export function warmUpRecovery(): void {
  const bytes = madeUpSegment();
  for (let i = 0; i < SCANS; i++) {
    const extents = new Map<string, GrowingExtent>();
    let window = EMPTY_WINDOW;
    scanSegment(bytes, SEGMENT_ID, (batch: BatchHeader, position: number) => {
      const extent = extents.get(batch.topic) ?? new GrowingExtent(batch.topic, 0, batch.firstOffset, batch.timeMs);
      extents.set(batch.topic, extent);
      extent.add(position, batch.totalBytes, batch.firstOffset, batch.count, batch.timeMs);
      window = advanceWindow(window, batch.sequence, batch.firstOffset, batch.count);
    });
  }
}

function madeUpSegment(): Buffer {
  const data = Buffer.alloc(65, 'w');
  const set = { count: 1, lengths: Uint32Array.of(64), data };
  const pieces: Buffer[] = [Buffer.alloc(SEGMENT_HEADER_BYTES)];
  const buffer = new FlushBuffer();
  let flushStart = SEGMENT_HEADER_BYTES;
  for (let i = 0; i < BATCHES; i++) {
    buffer.reset();
    const of = { topic: `warm-up-${i % 4}`, partition: 0, producerId: 'warm-up', timeMs: i, term: 1, set };
    buffer.add({ ...of, firstOffset: i, sequence: i + 1 }, { segmentId: SEGMENT_ID, flushStart, flushNumber: i + 1 });
    pieces.push(...buffer.pieces().map((piece) => Buffer.from(piece)));
    flushStart += buffer.byteLength;
  }
  return Buffer.concat(pieces);
}
