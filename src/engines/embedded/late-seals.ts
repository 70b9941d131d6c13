/**
 * Does what recovery has left to do (recovery.ts): removes files of no use, and seals the segments that a dead process has left, when the slot serves again: a little at a time, so
 * that nobody who is served notices.
 *
 * What recovery took from the trail it has not looked at. So first every batch is read and checked against its checksums, as a scan would have
 * done; damage is logged with file, place and the offsets that are lost (reads that come upon it answer TANDEM_LOG_CORRUPT). Then the
 * producers go to the state database, the file is cut at its end, and the sidecar takes the place of index and trail. A death in between costs
 * the next recovery what this one has cost.
 */
import type { Logger } from '../../core/contracts/telemetry.ts';
import { TandemError } from '../../core/errors.ts';
import type { Clock, Timer } from '../../core/ports/clock.ts';
import { delay } from '../../core/ports/clock.ts';
import type { Disk, DiskFile } from '../../core/ports/disk.ts';
import { isBodyIntact, readBatchHeader } from './log/batch-format.ts';
import type { Segment } from './log/segment.ts';
import type { SegmentIndex } from './log/segment-index.ts';
import { encodeSidecar, SidecarDirectory } from './log/sidecar-format.ts';
import { Pace } from './pace.ts';
import type { ProducerRow, ProducerStates } from './producers.ts';
import type { LeftToDo, RecoveryReport, UnsealedSegment } from './recovery.ts';

export interface LateSealsOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly producers: ProducerStates;
  readonly storeId: string;
  /** Damage is added to it. */
  readonly report: RecoveryReport;
}

const BYTES_PER_SECOND = 64 * 1024 * 1024;
const PIECE_BYTES = 128 * 1024;
const PRODUCERS_PER_TURN = 100;
const RETRY_MS = 1000;

export class LateSeals {
  readonly #options: LateSealsOptions;
  readonly #hurry = new AbortController();
  readonly #pace: Pace;
  #waiting: LeftToDo = { unsealed: [], leftOvers: [] };
  #timer: Timer | undefined;
  #inHand: Promise<void> | undefined;

  constructor(options: LateSealsOptions) {
    this.#options = options;
    this.#pace = new Pace(options.clock, BYTES_PER_SECOND, this.#hurry.signal);
  }

  /** Begins after `delayMs`. */
  begin(leftToDo: LeftToDo, delayMs: number): void {
    if (leftToDo.unsealed.length + leftToDo.leftOvers.length === 0) return;
    this.#waiting = leftToDo;
    this.#timer = this.#options.clock.after(delayMs, () => void this.finish());
  }

  /** Resolves when all are sealed, or have failed to be for reasons that only time mends. Never rejects. */
  finish(): Promise<void> {
    this.#timer?.cancel();
    this.#inHand ??= this.#run();
    return this.#inHand;
  }

  /** Leaves off the checking, which reads can do too, and seals. What fails now is left to the next start. */
  async close(): Promise<void> {
    this.#hurry.abort(new TandemError('TANDEM_DRAINING'));
    await this.finish();
  }

  async #run(): Promise<void> {
    const { disk, logger } = this.#options;
    for (const path of this.#waiting.leftOvers)
      await disk
        .remove(path)
        .catch((error: unknown) => logger.warn('left_over_not_removed', { file: path, error: String(error) }));
    for (const unsealed of this.#waiting.unsealed) {
      await this.#check(unsealed);
      while (!(await this.#seal(unsealed)) && !this.#hurry.signal.aborted)
        await delay(this.#options.clock, RETRY_MS, this.#hurry.signal).catch(() => {});
    }
  }

  async #check({ segment, end }: UnsealedSegment): Promise<void> {
    const { disk, logger } = this.#options;
    const index = segment.index as SegmentIndex;
    let file: DiskFile | undefined;
    try {
      file = disk.openSync(segment.path, 'read');
      for (let row = 0; row < index.rows; ) {
        const from = index.positionOf(row);
        const next = rowsWithin(index, row, PIECE_BYTES);
        const to = next < index.rows ? index.positionOf(next) : end;
        await this.#pace.spend(to - from);
        const bytes = Buffer.allocUnsafeSlow(to - from);
        const read = bytes.subarray(0, await file.read(bytes, from));
        for (; row < next; row++) this.#checkRow(segment, index, row, { bytes: read, from, end: to });
      }
    } catch (error) {
      if (!this.#hurry.signal.aborted) logger.warn('segment_not_checked', { file: segment.path, error: String(error) });
    } finally {
      file?.close();
    }
  }

  #checkRow(
    segment: Segment,
    index: SegmentIndex,
    row: number,
    piece: { readonly bytes: Buffer; readonly from: number; readonly end: number },
  ): void {
    const position = index.positionOf(row);
    const at = position - piece.from;
    const header = readBatchHeader(piece.bytes, at, segment.id);
    if (header !== undefined && index.isRow(row, header) && isBodyIntact(piece.bytes, at, header)) return;
    this.#options.report.damages++;
    const nextBytePosition = row + 1 < index.rows ? index.positionOf(row + 1) : piece.end;
    this.#options.logger.error('log_damaged', {
      file: segment.path,
      bytePosition: position,
      nextBytePosition,
      ...index.recordsOf(row),
    });
  }

  /** False: try again later. */
  async #seal({ segment, end }: UnsealedSegment): Promise<boolean> {
    const { disk, producers, storeId, logger } = this.#options;
    const index = segment.index as SegmentIndex;
    try {
      await this.#persist(index);
      await this.#cut(segment.path, end);
      const facts = { segmentId: segment.id, slot: segment.journal, storeId, end, hasUnknownLoss: false };
      const pieces = encodeSidecar(facts, index.extents());
      await disk.replace(segment.sidecarPath, pieces);
      segment.directory = SidecarDirectory.decode(Buffer.concat(pieces.slice(0, 2)));
      segment.index = undefined;
      producers.dropIndex(index);
      await disk.remove(segment.trailPath);
      return true;
    } catch (error) {
      logger.warn('sidecar_not_written', { file: segment.sidecarPath, error: String(error) });
      return false;
    }
  }

  async #persist(index: SegmentIndex): Promise<void> {
    const { producers } = this.#options;
    let rows: ProducerRow[] = [];
    for (const row of producers.rowsOf(index)) {
      if (rows.length === PRODUCERS_PER_TURN) {
        producers.persistRows(rows, true);
        rows = [];
        await this.#turn();
      }
      rows.push(row);
    }
    producers.persistRows(rows);
    await this.#turn();
  }

  #cut(path: string, end: number): Promise<void> {
    const file = this.#options.disk.openSync(path, 'write');
    return new Promise<void>((resolve, reject) => {
      file.truncateSync(end);
      file.dataSync((error) => (error === null ? resolve() : reject(error)));
    }).finally(() => file.close());
  }

  #turn(): Promise<void> {
    return new Promise((resolve) => this.#options.clock.soon(resolve));
  }
}

/** The first row after `row` that does not fit; at least one fits. */
function rowsWithin(index: SegmentIndex, row: number, bytes: number): number {
  const start = index.positionOf(row);
  let next = row + 1;
  while (next < index.rows && index.positionOf(next) - start <= bytes) next++;
  return next;
}
