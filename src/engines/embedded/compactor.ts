/**
 * Compaction: gives back the space of trimmed records that share segments with living ones, and keeps the number of segments low.
 * Live batches of neighbouring segments are copied into one new segment (log/segment-copy.ts, compaction-choice.ts), which takes
 * their place. Runs after retention, in the background, at a bounded pace; nothing waits for it.
 *
 *   1. `<first>-<last>-<generation>.seg.draft` is written and forced. A death leaves a draft, which the next start removes.
 *   2. It is renamed to `.seg`: from here on it stands for the old ones (log/segment-format.ts). A death leaves both; the next start
 *      reads the new one whole, seals it, and removes the old ones (recovery.ts).
 *   3. Its sidecar is put beside it, which forces the names too. This is tried until it succeeds; meanwhile the old ones are used.
 *   4. The partitions known in memory move over. Reads in the middle of an old file are done again by position (local-store.ts).
 *   5. The old files are removed.
 *
 * Not compacted: what holds live records of partitions that another slot owns now (after a change of the number of slots: that
 * process reads the old files; until they are trimmed), and what has damage among its live records, which is reported and stays in
 * its place. Producers and epochs are in the state database: a segment is sealed only when that has its producers.
 */
import type { Logger } from '../../core/contracts/telemetry.ts';
import type { Clock } from '../../core/ports/clock.ts';
import { delay } from '../../core/ports/clock.ts';
import type { Disk, DiskFile } from '../../core/ports/disk.ts';
import type { Random } from '../../core/ports/random.ts';
import type { Candidate } from './compaction-choice.ts';
import { chooseRun } from './compaction-choice.ts';
import { journalFolder } from './journal-folders.ts';
import type { LocalStore } from './local-store.ts';
import type { Segment } from './log/segment.ts';
import { segmentAt } from './log/segment.ts';
import type { CopyInput, CopyOptions, CopyRefusal, LiveExtents } from './log/segment-copy.ts';
import { findLiveBatches, refusalOf, SegmentCopy } from './log/segment-copy.ts';
import { encodeSegmentHeader, newSegmentId, parseFileName, replaces, SEGMENT_VERSION } from './log/segment-format.ts';
import { encodeSidecar, SidecarDirectory } from './log/sidecar-format.ts';
import { journalOwner } from './ownership.ts';
import { Pace } from './pace.ts';
import { SegmentLiveness } from './segment-liveness.ts';
import type { StoreTerm } from './store-term.ts';
import type { Topics } from './topics.ts';

export interface CompactorOptions {
  readonly store: LocalStore;
  readonly topics: Topics;
  readonly term: StoreTerm;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly dataDir: string;
  readonly storeId: string;
  readonly slot: number;
  readonly slots: number;
  readonly segmentBytes: number;
}

/** Of reading and writing together. */
const BYTES_PER_SECOND = 64 * 1024 * 1024;
const RETRY_MS = 1000;

export class Compactor {
  readonly #options: CompactorOptions;
  readonly #liveness: SegmentLiveness;
  readonly #copyOptions: CopyOptions;
  readonly #stop = new AbortController();
  /** Damaged: they stay as they are. */
  readonly #refused = new WeakSet<Segment>();
  /** They cannot be joined to the ones before them. */
  readonly #apart = new WeakSet<Segment>();
  #inHand: Promise<void> | undefined;
  readonly counters = { runs: 0, segments: 0, copiedBytes: 0, freedBytes: 0, refused: 0 };

  constructor(options: CompactorOptions) {
    const { disk, clock } = options;
    this.#options = options;
    this.#liveness = new SegmentLiveness(options);
    const pace = new Pace(clock, BYTES_PER_SECOND, this.#stop.signal);
    this.#copyOptions = { disk, clock, spend: (bytes) => pace.spend(bytes) };
  }

  /** Compacts what is worth it; resolves when nothing is left to do for now. One run at a time. Never rejects. */
  run(): Promise<void> {
    this.#inHand ??= this.#run()
      .catch((error: unknown) => {
        if (!this.#stop.signal.aborted) this.#options.logger.warn('compaction_failed', { error: String(error) });
      })
      .finally(() => {
        this.#inHand = undefined;
      });
    return this.#inHand;
  }

  /** Leaves off what is in hand. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#inHand;
  }

  async #run(): Promise<void> {
    const { store, slot, slots } = this.#options;
    // Before that the other slots may still be recovering.
    if (!store.isInUse || this.#stop.signal.aborted) return;
    const own = (): Segment[] => store.segments.filter(({ journal }) => journalOwner(journal, slots) === slot);
    await this.#liveness.examine(own(), this.#stop.signal);
    for (const journal of new Set(own().map((segment) => segment.journal)))
      while (!this.#stop.signal.aborted) {
        const segments = own().filter((segment) => segment.journal === journal);
        const run = chooseRun(this.#candidates(segments), this.#options.segmentBytes);
        if (run.length === 0 || !(await this.#compact(run))) break;
      }
  }

  #candidates(segments: Segment[]): Candidate[] {
    return segments
      .sort((a, b) => a.name.last - b.name.last)
      .map((segment) => {
        const { bytes, liveBytes, isMovable } = this.#liveness.of(segment);
        return {
          segment,
          bytes,
          liveBytes,
          isMovable: isMovable && !segment.isInHand && !this.#refused.has(segment),
          startsRun: this.#apart.has(segment),
        };
      });
  }

  /** false: leave it for this time. */
  async #compact(run: readonly Segment[]): Promise<boolean> {
    const output = this.#outputOf(run);
    if (output === undefined) return false;
    for (const segment of run) segment.isInHand = true;
    try {
      const inputs: CopyInput[] = [];
      for (const segment of run) inputs.push(await this.#liveness.inputOf(segment));
      if (inputs.every(({ rows }) => rows.length === 0)) return false;
      const live = await findLiveBatches(this.#copyOptions, inputs);
      const corrected = live.sources.filter(({ segment, liveBytes }) => this.#liveness.correct(segment, liveBytes));
      if (corrected.length > 0) return true;
      const copy = await this.#writeDraft(output, live);
      await this.#putInPlace(run, output, copy);
      return true;
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal === undefined) throw error;
      this.#refuse(refusal);
      return true;
    } finally {
      // What was replaced stays in hand for good.
      if (output.directory === undefined) for (const segment of run) segment.isInHand = false;
    }
  }

  /** undefined: between them there is a segment that is none of them. */
  #outputOf(run: readonly Segment[]): Segment | undefined {
    const { disk, dataDir, random } = this.#options;
    const [{ journal }] = run as [Segment];
    const name = {
      first: Math.min(...run.map((segment) => segment.name.first)),
      last: Math.max(...run.map((segment) => segment.name.last)),
      generation: 1 + Math.max(...run.map((segment) => segment.name.generation)),
    };
    const folder = journalFolder(dataDir, journal);
    const found = disk.listSync(folder).flatMap((file) => parseFileName(file, 'seg') ?? []);
    if (found.filter((other) => replaces(name, other)).length !== run.length) return undefined;
    return segmentAt(folder, journal, name, newSegmentId(random));
  }

  async #writeDraft(output: Segment, live: LiveExtents): Promise<SegmentCopy> {
    const { disk, clock, storeId } = this.#options;
    const head = encodeSegmentHeader({
      version: SEGMENT_VERSION,
      slot: output.journal,
      slots: live.slots,
      sequence: output.name.last,
      id: output.id,
      storeId,
      createdMs: clock.nowMs(),
    });
    const draft = draftOf(output);
    await disk.remove(draft);
    let file: DiskFile | undefined;
    try {
      file = await disk.create(draft, head.length, head);
      const copy = new SegmentCopy(this.#copyOptions, file, output.id);
      await copy.run(live.sources);
      return copy;
    } catch (error) {
      await disk.remove(draft);
      throw error;
    } finally {
      file?.close();
    }
  }

  async #putInPlace(run: readonly Segment[], output: Segment, copy: SegmentCopy): Promise<void> {
    const { disk, store, logger, term } = this.#options;
    const { end, extents } = copy;
    term.require();
    disk.renameSync(draftOf(output), output.path);
    if (!(await this.#seal(output, copy))) return;
    this.#liveness.put(output, { bytes: end, liveBytes: end, isMovable: true });
    const bytes = run.reduce((sum, segment) => sum + (segment.directory?.facts.end ?? 0), 0);
    await store.replace(run, output);
    const { counters } = this;
    counters.runs++;
    counters.segments += run.length;
    counters.copiedBytes += end;
    counters.freedBytes += bytes - end;
    logger.info('segments_compacted', {
      file: output.path,
      segments: run.length,
      partitions: extents.size,
      bytesBefore: bytes,
      bytes: end,
    });
  }

  /** false: the engine closes before it succeeds; the next start does it. */
  async #seal(output: Segment, { end, extents }: SegmentCopy): Promise<boolean> {
    const { disk, clock, logger, storeId } = this.#options;
    const facts = { segmentId: output.id, slot: output.journal, storeId, end, hasUnknownLoss: false };
    const pieces = encodeSidecar(facts, extents.values());
    for (;;) {
      try {
        await disk.replace(output.sidecarPath, pieces);
        output.directory = SidecarDirectory.decode(Buffer.concat(pieces.slice(0, 2)));
        return output.directory !== undefined;
      } catch (error) {
        logger.warn('sidecar_not_written', { file: output.sidecarPath, error: String(error) });
        if (this.#stop.signal.aborted) return false;
        await delay(clock, RETRY_MS, this.#stop.signal);
      }
    }
  }

  #refuse({ kind, segment, fields }: CopyRefusal): void {
    const { logger } = this.#options;
    if (kind === 'apart') {
      this.#apart.add(segment);
      logger.debug('segments_not_joined', { file: segment.path, ...fields });
      return;
    }
    this.#refused.add(segment);
    this.counters.refused++;
    logger.error('log_damaged', { ...fields, consequence: 'the segment is not compacted' });
  }
}

const draftOf = ({ path }: Segment): string => `${path}.draft`;
