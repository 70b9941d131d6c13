/**
 * How much of each sealed segment lives, as far as compaction needs to know. Looking at it costs a look at every partition of every
 * segment, so it is done a little at a time: a share of each round, beginning where the last one ended. What is known may be old;
 * records that were dead stay dead, so less may live than it says, never more.
 */
import type { Clock } from '../../core/ports/clock.ts';
import type { Candidate } from './compaction-choice.ts';
import type { LocalStore } from './local-store.ts';
import type { ExtentSummary } from './log/extent.ts';
import type { Segment } from './log/segment.ts';
import type { CopyInput, LiveRow } from './log/segment-copy.ts';
import type { SidecarDirectory } from './log/sidecar-format.ts';
import { ownerSlot } from './ownership.ts';
import type { Topics } from './topics.ts';

export interface SegmentLivenessOptions {
  readonly store: LocalStore;
  readonly topics: Topics;
  readonly clock: Clock;
  readonly slot: number;
  readonly slots: number;
  readonly segmentBytes: number;
}

export type Liveness = Pick<Candidate, 'bytes' | 'liveBytes' | 'isMovable'>;

const UNKNOWN: Liveness = { bytes: 0, liveBytes: 0, isMovable: false };
/** Others get their turn after so many rows or so much time. */
const ROWS_PER_TURN = 1000;
const TURN_MS = 2;
/** Of each round. */
const ROUND_MS = 100;

export class SegmentLiveness {
  readonly #options: SegmentLivenessOptions;
  readonly #known = new WeakMap<Segment, Liveness>();
  /** What was found to live where so much was thought to. */
  readonly #corrections = new WeakMap<Segment, { readonly estimate: number; readonly liveBytes: number }>();
  #next = 0;
  #rowsOfTurn = 0;
  #turnMs = 0;

  constructor(options: SegmentLivenessOptions) {
    this.#options = options;
  }

  of(segment: Segment): Liveness {
    return this.#known.get(segment) ?? UNKNOWN;
  }

  put(segment: Segment, liveness: Liveness): void {
    this.#known.set(segment, liveness);
  }

  /** So much really lives. Counts until something in the segment is trimmed. Returns whether more was thought to be free. */
  correct(segment: Segment, liveBytes: number): boolean {
    const known = this.of(segment);
    if (liveBytes <= known.liveBytes) return false;
    this.#corrections.set(segment, { estimate: known.liveBytes, liveBytes });
    this.put(segment, { ...known, liveBytes });
    return true;
  }

  /** Looks at some of the segments, all of them if there is time. */
  async examine(segments: readonly Segment[], signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const startMs = clock.monotonicMs();
    for (let i = 0; i < segments.length && clock.monotonicMs() - startMs < ROUND_MS && !signal.aborted; i++) {
      this.#next = (this.#next + 1) % segments.length;
      const segment = segments[this.#next] as Segment;
      if (segment.directory === undefined) continue;
      const liveness = await this.#examine(segment.directory);
      const { estimate, liveBytes } = this.#corrections.get(segment) ?? { estimate: -1, liveBytes: 0 };
      this.put(segment, liveness.liveBytes === estimate ? { ...liveness, liveBytes } : liveness);
    }
  }

  /** What of a segment that was movable lives now. */
  async inputOf(segment: Segment): Promise<CopyInput> {
    const directory = segment.directory as SidecarDirectory;
    const rows: LiveRow[] = [];
    for (let row = 0; row < directory.rows; row++) {
      const { topic, partition, nextOffset } = directory.summary(row);
      const firstOffset = this.#options.store.firstOffsetOf(topic, partition);
      if (firstOffset < nextOffset) rows.push({ row, firstOffset });
      const pause = this.#pause();
      if (pause !== undefined) await pause;
    }
    return { segment, directory, rows };
  }

  async #examine(directory: SidecarDirectory): Promise<Liveness> {
    const bytes = directory.facts.end;
    const stuck = { bytes, liveBytes: bytes, isMovable: false };
    // Batches are lost of which nothing is known: whoever asks for them must be told, and where.
    if (directory.facts.hasUnknownLoss || directory.rows === 0) return stuck;
    let liveBytes = 0;
    for (let row = 0; row < directory.rows; row++) {
      const summary = directory.summary(row);
      const live = this.#liveBytes(summary);
      liveBytes += live;
      const isDense = liveBytes * 2 >= bytes && bytes * 2 > this.#options.segmentBytes;
      if (live > 0 && (isDense || !this.#isOwn(summary))) return stuck;
      const pause = this.#pause();
      if (pause !== undefined) await pause;
    }
    return { bytes, liveBytes, isMovable: true };
  }

  /** About, where the partition begins in the middle of it: batches differ in size, and the one with its first offset lives whole. */
  #liveBytes({ topic, partition, firstOffset, nextOffset, bytes }: ExtentSummary): number {
    const first = this.#options.store.firstOffsetOf(topic, partition);
    if (first <= firstOffset) return bytes;
    return first >= nextOffset ? 0 : Math.ceil((bytes * (nextOffset - first)) / (nextOffset - firstOffset));
  }

  #isOwn({ topic, partition }: ExtentSummary): boolean {
    const { topics, slot, slots } = this.#options;
    const info = topics.lookUp(topic);
    return info !== undefined && ownerSlot(topic, info.initialPartitions, partition, slots) === slot;
  }

  #pause(): Promise<void> | undefined {
    const { clock } = this.#options;
    if (this.#rowsOfTurn === 0) this.#turnMs = clock.monotonicMs();
    if (++this.#rowsOfTurn < ROWS_PER_TURN && clock.monotonicMs() - this.#turnMs < TURN_MS) return undefined;
    this.#rowsOfTurn = 0;
    return new Promise((resolve) => clock.soon(resolve));
  }
}
