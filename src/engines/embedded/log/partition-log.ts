/** One partition as its owner knows it. Offsets below `nextOffset` are durable; those the flush in hand assigns are not visible yet. */
import type { GrowingExtent } from './extent.ts';
import type { ProducerWindow } from './producer-window.ts';
import type { Extent, Segment } from './segment.ts';
import type { TrailOrigin } from './trail-origin.ts';

export interface ProducerState extends TrailOrigin {
  readonly producerId: string;
  /** Durable. */
  window: ProducerWindow;
  /** As it will be when the flush in hand is durable. */
  pending: ProducerWindow | undefined;
  seenMs: number;
  /** Not in the state database as it is here. */
  isDirty: boolean;
}

export class PartitionLog implements TrailOrigin {
  readonly topic: string;
  readonly partition: number;
  epoch: string;
  term: number;
  firstOffset: number;
  nextOffset: number;
  /** The offset after those of the flush in hand. */
  assignedOffset: number;
  lastTimeMs: number;
  /** Sealed, by first offset. */
  extents: Extent[];
  /** In the journal's active segment. */
  active: GrowingExtent | undefined = undefined;
  trail: object | undefined = undefined;
  trailOrigin = 0;
  readonly watchers = new Set<() => void>();
  /** By id; the one unseen for longest first. */
  readonly producers = new Map<string, ProducerState>();

  constructor(
    topic: string,
    partition: number,
    facts: { readonly epoch: string; readonly firstOffset: number; readonly term: number },
    extents: Extent[],
  ) {
    const first = extents[0];
    const last = extents.at(-1);
    this.topic = topic;
    this.partition = partition;
    this.epoch = facts.epoch;
    this.term = facts.term;
    this.firstOffset = Math.max(facts.firstOffset, first?.firstOffset ?? 0);
    this.nextOffset = Math.max(this.firstOffset, last?.nextOffset ?? 0);
    this.assignedOffset = this.nextOffset;
    this.lastTimeMs = last?.maxTimeMs ?? 0;
    this.extents = extents;
    this.dropTrimmed();
  }

  /** Forgets extents that hold nothing from `firstOffset` on. */
  dropTrimmed(): void {
    let dead = 0;
    while (dead < this.extents.length && (this.extents[dead] as Extent).nextOffset <= this.firstOffset) dead++;
    if (dead > 0) this.extents = this.extents.slice(dead);
  }

  /** `extent`, if there is one, has what lives of those in `segments`. */
  replaceExtents(segments: ReadonlySet<Segment>, extent: Extent | undefined): void {
    const kept = this.extents.filter(({ segment }) => !segments.has(segment));
    if (kept.length === this.extents.length) return;
    if (extent !== undefined) kept.push(extent);
    this.extents = kept.sort((a, b) => a.firstOffset - b.firstOffset);
    this.dropTrimmed();
  }

  /** Bytes of batches that hold something from `firstOffset` on, and some before in their extents. */
  get bytes(): number {
    let bytes = this.active?.bytes ?? 0;
    for (const extent of this.extents) bytes += extent.bytes;
    return bytes;
  }

  wake(): void {
    for (const wake of this.watchers) wake();
  }
}
