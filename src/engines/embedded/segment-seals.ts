/**
 * What follows when a segment is full, while appends go on in the next one: its producers' states go to the state database, then its
 * sidecar is written. A crash in between costs a scan at the next start. A full disk makes it wait and try again.
 */
import type { Logger } from '../../core/contracts/telemetry.ts';
import { TandemError } from '../../core/errors.ts';
import type { Clock } from '../../core/ports/clock.ts';
import { delay } from '../../core/ports/clock.ts';
import type { Disk } from '../../core/ports/disk.ts';
import { partitionKey } from '../../core/record.ts';
import type { GrowingExtent } from './log/extent.ts';
import type { PartitionLog } from './log/partition-log.ts';
import type { Extent, Segment } from './log/segment.ts';
import { encodeSidecar, SidecarDirectory } from './log/sidecar-format.ts';
import type { ProducerStates } from './producers.ts';

/** How many segments after the active one are read without a thread. */
const WARM_SEGMENTS_MAX = 4;
const RETRY_MS = 1000;

export interface SegmentSealsOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly producers: ProducerStates;
  readonly storeId: string;
}

export class SegmentSeals {
  readonly #options: SegmentSealsOptions;
  readonly #warm: Segment[] = [];
  #inHand: Promise<void> = Promise.resolve();
  #isClosing = false;

  constructor(options: SegmentSealsOptions) {
    this.#options = options;
  }

  /** Makes the active extents of `logs` sealed ones; the rest follows in the background. */
  seal(segment: Segment, end: number, logs: ReadonlySet<PartitionLog>): void {
    const growing = new Map<string, GrowingExtent>();
    const extents: Extent[] = [];
    for (const log of logs) {
      const { active } = log;
      if (active === undefined) continue;
      growing.set(partitionKey(log.topic, log.partition), active);
      const extent = sealedExtent(segment, active);
      log.active = undefined;
      log.extents.push(extent);
      extents.push(extent);
    }
    this.#warm.push(segment);
    if (this.#warm.length > WARM_SEGMENTS_MAX) (this.#warm.shift() as Segment).isWarm = false;
    this.#inHand = this.#inHand.then(() => this.#finish(segment, end, growing, extents));
  }

  /** Resolves when nothing is left to do; what fails now is left to the next start. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#inHand;
  }

  async #finish(
    segment: Segment,
    end: number,
    growing: ReadonlyMap<string, GrowingExtent>,
    extents: readonly Extent[],
  ): Promise<void> {
    const { disk, clock, logger, producers, storeId } = this.#options;
    for (;;) {
      try {
        await producers.persist();
        const facts = { segmentId: segment.id, slot: segment.journal, storeId, end, hasUnknownLoss: false };
        const pieces = encodeSidecar(facts, growing.values());
        await disk.replace(segment.sidecarPath, pieces);
        segment.directory = SidecarDirectory.decode(Buffer.concat(pieces.slice(0, 2)));
        if (segment.directory !== undefined) for (const extent of extents) extent.entries = undefined;
        await disk.remove(segment.trailPath);
        return;
      } catch (error) {
        logger.warn('sidecar_not_written', { file: segment.sidecarPath, error: String(error) });
        // Fenced: whoever has claimed the store recovers the segment, and seals it.
        const isFenced = error instanceof TandemError && error.code === 'TANDEM_TERM_FENCED';
        if (isFenced || this.#isClosing) return;
        await delay(clock, RETRY_MS);
      }
    }
  }
}

function sealedExtent(segment: Segment, active: GrowingExtent): Extent {
  const { topic, partition, firstOffset, nextOffset, minTimeMs, maxTimeMs, bytes } = active;
  return { segment, topic, partition, firstOffset, nextOffset, minTimeMs, maxTimeMs, bytes, entries: active };
}
