/** Writes the trail of the segment that is being written (trail-format.ts). Only what is durable in the segment may be added. */
import type { Logger } from '../../../core/contracts/telemetry.ts';
import type { Disk, DiskFile } from '../../../core/ports/disk.ts';
import type { Words } from './growing-columns.ts';
import { grownWords } from './growing-columns.ts';
import { IS_PARTITION, OriginTable } from './origin-table.ts';
import type { PartitionLog, ProducerState } from './partition-log.ts';
import type { Segment } from './segment.ts';
import { SEGMENT_HEADER_BYTES } from './segment-format.ts';
import { ROW_WORDS } from './segment-index.ts';
import { encodeFrame } from './trail-format.ts';
import type { TrailOrigin } from './trail-origin.ts';

const HIGH = 0x1_0000_0000;

/** What may be missing in the trail at any time, and has to be scanned instead: so many batches or bytes, and the flush in hand. */
export interface TrailPace {
  readonly batches: number;
  readonly bytes: number;
}

export const TRAIL_PACE: TrailPace = { batches: 1024, bytes: 1024 * 1024 };

export interface SegmentTrailOptions {
  readonly disk: Disk;
  readonly logger: Logger;
  readonly pace: TrailPace;
}

export class SegmentTrail {
  readonly #options: SegmentTrailOptions;
  readonly #segment: Segment;
  readonly #origins = new OriginTable();
  #knownOrigins = 0;
  #words: Words;
  #rows = 0;
  #from = SEGMENT_HEADER_BYTES;
  #baseTimeMs = 0;
  readonly #startOffsets = new Map<number, number>();
  #file: DiskFile | undefined;
  #fileBytes = 0;
  /** A frame could not be written: what follows it would be of no use. */
  #isBroken = false;
  /** Of the whole segment. */
  batches = 0;

  constructor(segment: Segment, options: SegmentTrailOptions) {
    this.#segment = segment;
    this.#options = options;
    this.#words = new Uint32Array(options.pace.batches * ROW_WORDS);
  }

  /** A batch that is durable. To be called in the order of positions. */
  add(
    log: PartitionLog,
    producer: ProducerState | undefined,
    { position, firstOffset, count, timeMs }: { position: number; firstOffset: number; count: number; timeMs: number },
    sequence: number,
  ): void {
    this.batches++;
    if (this.#isBroken) return;
    // Partitions have times of their own: the clock may have stepped back since another one's.
    if (this.#rows === 0) this.#baseTimeMs = Math.max(0, timeMs - HIGH / 2);
    const elapsedMs = timeMs - this.#baseTimeMs;
    if (elapsedMs < 0 || elapsedMs >= HIGH) {
      this.#isBroken = true;
      return;
    }
    const at = this.#rows++ * ROW_WORDS;
    this.#words = grownWords(this.#words, at + ROW_WORDS);
    const words = this.#words;
    words[at] = position;
    words[at + 1] = this.#originOf(log, producer, firstOffset);
    words[at + 2] = count;
    words[at + 3] = elapsedMs;
    words[at + 4] = sequence % HIGH;
    words[at + 5] = sequence / HIGH;
  }

  /** All that was added ends at `end`. Writes it down if there is enough of it. Never throws. */
  flushed(end: number): void {
    const { batches, bytes } = this.#options.pace;
    if (this.#rows >= batches || end - this.#from >= bytes) this.#write(end);
  }

  /** Nothing follows. */
  close(end: number): void {
    if (this.#file === undefined) return;
    this.#write(end);
    this.#file.close();
  }

  #originOf(log: PartitionLog, producer: ProducerState | undefined, firstOffset: number): number {
    const known: TrailOrigin = producer ?? log;
    if (known.trail === this) return known.trailOrigin;
    const partition = this.#partitionOrigin(log, firstOffset);
    if (producer === undefined) return partition;
    const found = this.#origins.find(partition, log.partition, producer.producerId);
    producer.trailOrigin = found < 0 ? this.#origins.add(partition, log.partition, producer.producerId) : found;
    producer.trail = this;
    return producer.trailOrigin;
  }

  #partitionOrigin(log: PartitionLog, firstOffset: number): number {
    if (log.trail === this) return log.trailOrigin;
    log.trailOrigin = this.#origins.add(IS_PARTITION, log.partition, log.topic);
    log.trail = this;
    this.#startOffsets.set(log.trailOrigin, firstOffset);
    return log.trailOrigin;
  }

  #write(end: number): void {
    if (this.#rows === 0 || this.#isBroken) return;
    const frame = encodeFrame({
      segmentId: this.#segment.id,
      from: this.#from,
      to: end,
      baseTimeMs: this.#baseTimeMs,
      words: this.#words,
      rows: this.#rows,
      origins: this.#origins,
      firstOrigin: this.#knownOrigins,
      startOffset: (origin) => this.#startOffsets.get(origin) as number,
    });
    try {
      this.#file ??= this.#options.disk.openSync(this.#segment.trailPath, 'create');
      this.#file.writeSync([frame], this.#fileBytes);
    } catch (error) {
      this.#isBroken = true;
      const consequence = 'a recovery of this segment takes longer';
      this.#options.logger.warn('trail_not_written', {
        file: this.#segment.trailPath,
        error: String(error),
        consequence,
      });
    }
    this.#fileBytes += frame.length;
    this.#knownOrigins = this.#origins.count;
    this.#startOffsets.clear();
    this.#from = end;
    this.#rows = 0;
  }
}
