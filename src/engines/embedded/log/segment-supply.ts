/**
 * Makes segment files, one ahead of need, so that a full segment does not make appends wait for a new one. They are taken in the order of
 * their sequences: recovery relies on a segment being older than those after it.
 */
import type { Logger } from '../../../core/contracts/telemetry.ts';
import type { Clock } from '../../../core/ports/clock.ts';
import type { Disk, DiskFile } from '../../../core/ports/disk.ts';
import type { Random } from '../../../core/ports/random.ts';
import type { Segment } from './segment.ts';
import { segmentAt } from './segment.ts';
import { encodeSegmentHeader, newSegmentId, SEGMENT_VERSION } from './segment-format.ts';

/**
 * Files grow by so much at a time, or by some flushes if those are large, ahead of what is written: an fdatasync within need not write
 * metadata, and recovery, which looks at all that is behind the last batch, has little to look at.
 */
export const GROWTH_BYTES: number = 1024 * 1024;
export const GROWTH_FLUSHES = 3;
export const GROWTH_BYTES_MAX: number = 4 * GROWTH_BYTES;

export interface SegmentSupplyOptions {
  readonly disk: Disk;
  readonly folder: string;
  readonly slot: number;
  readonly slots: number;
  readonly storeId: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Above all that there are. */
  readonly firstSequence: number;
}

export interface NewSegment {
  readonly segment: Segment;
  readonly file: DiskFile;
}

export class SegmentSupply {
  readonly #options: SegmentSupplyOptions;
  #nextSequence: number;
  #ready: NewSegment | undefined;
  #inHand: Promise<void> | undefined;
  #takenSequence = 0;

  constructor(options: SegmentSupplyOptions) {
    this.#options = options;
    this.#nextSequence = options.firstSequence;
  }

  /** An empty segment: the one made ahead, or one made now (then it throws the disk's error). */
  take(): NewSegment {
    const ready = this.#ready;
    this.#ready = undefined;
    if (ready !== undefined) return ready;
    const { segment, head } = this.#next();
    this.#takenSequence = segment.name.last;
    return { segment, file: this.#options.disk.createSync(segment.path, GROWTH_BYTES, head) };
  }

  /** Has one ready soon. A failure shows when one is needed. */
  prepare(): void {
    if (this.#ready !== undefined || this.#inHand !== undefined) return;
    const { segment, head } = this.#next();
    this.#inHand = this.#options.disk
      .create(segment.path, GROWTH_BYTES, head)
      .then((file) => {
        if (segment.name.last > this.#takenSequence) {
          this.#ready = { segment, file };
          return;
        }
        // Too late: a later one is in use.
        file.close();
        return this.#options.disk.remove(segment.path);
      })
      .catch((error: unknown) => {
        this.#options.logger.warn('segment_not_prepared', { file: segment.path, error: String(error) });
      })
      .finally(() => {
        this.#inHand = undefined;
      });
  }

  /** Resolves when nothing is being made. */
  async ready(): Promise<void> {
    await this.#inHand;
  }

  /** Removes the one made ahead. */
  async close(): Promise<void> {
    await this.#inHand;
    const ready = this.#ready;
    this.#ready = undefined;
    if (ready === undefined) return;
    ready.file.close();
    await this.#options.disk.remove(ready.segment.path);
  }

  #next(): { segment: Segment; head: Buffer } {
    const { folder, slot, slots, storeId, clock, random } = this.#options;
    const sequence = this.#nextSequence++;
    const id = newSegmentId(random);
    const head = encodeSegmentHeader({
      version: SEGMENT_VERSION,
      slot,
      slots,
      sequence,
      id,
      storeId,
      createdMs: clock.nowMs(),
    });
    const name = { first: sequence, last: sequence, generation: 0 };
    return { segment: { ...segmentAt(folder, slot, name, id), isWarm: true }, head };
  }
}
