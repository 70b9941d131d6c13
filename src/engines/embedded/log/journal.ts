/**
 * The journal of a slot: a sequence of segments of which the last is written. Appends of all topics that come while a flush is in
 * hand, or in the same turn, share the next flush: one write, one fdatasync, then all are answered.
 *
 * Order: at most one flush is in hand; a flush is written only after the one before it is durable (recovery-scan.ts relies on it).
 * Small flushes on a fast disk are forced to the medium synchronously, since handing the call to a thread costs more than the call;
 * others on a thread, so that this process goes on reading its sockets.
 *
 * A write that fails for lack of space is taken back (the file ends again where it did, with zeros after it) and its appends are
 * rejected; the next append tries again. After any other failure of a write or of fdatasync nobody can tell what is on the medium:
 * the journal fails for good, and a new process recovers it. It fails for good too when it finds that another process has claimed the
 * store under a higher term: a flush in hand is answered only after it has looked, when it is durable (store-term.ts says why that is enough).
 */
import type { AppendBatch, AppendResult } from '../../../core/contracts/engine.ts';
import type { Logger } from '../../../core/contracts/telemetry.ts';
import { TandemError } from '../../../core/errors.ts';
import type { Clock } from '../../../core/ports/clock.ts';
import type { DiskFile } from '../../../core/ports/disk.ts';
import { FlushBuffer } from './flush-buffer.ts';
import type { GroupSources } from './flush-group.ts';
import { appendBytes, FlushGroup } from './flush-group.ts';
import type { PartitionLog } from './partition-log.ts';
import type { PendingAppend } from './pending-append.ts';
import type { Segment } from './segment.ts';
import { SEGMENT_HEADER_BYTES } from './segment-format.ts';
import type { SegmentSupply } from './segment-supply.ts';
import { GROWTH_BYTES, GROWTH_BYTES_MAX, GROWTH_FLUSHES } from './segment-supply.ts';
import type { SegmentTrailOptions } from './segment-trail.ts';
import { SegmentTrail } from './segment-trail.ts';

const GROUP_BYTES_MAX = 16 * 1024 * 1024;
/** Bounds what recovery has to read of a segment's trail; a flush may go beyond it. */
const SEGMENT_BATCHES_MAX = 64 * 1024;
const SYNC_BYTES_MAX = 64 * 1024;
const SYNC_MS_MAX = 0.3;
/** What handing fdatasync to a thread adds, about; taken off to compare. */
const THREAD_MS = 0.04;
/** The estimate follows the median by such steps: a rare slow call does not move it. */
const STEP_MS = 0.01;
const SYNC_MS_CEILING = 0.5;
const NO_LOGS: ReadonlySet<PartitionLog> = new Set();

/** The term under which this process writes, and the highest one that any process has claimed. */
export interface JournalTerm {
  readonly own: number;
  /** Looks, each time. */
  claimed(): number;
}

export interface JournalOptions {
  readonly term: JournalTerm;
  readonly supply: SegmentSupply;
  readonly sources: GroupSources;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly segmentBytes: number;
  readonly trail: SegmentTrailOptions;
  /** The segment is full: no byte will be added. `logs` have their active extents in it. */
  readonly onSealed: (segment: Segment, end: number, logs: ReadonlySet<PartitionLog>) => void;
  /** The journal has failed for good. */
  readonly onFailed: (error: TandemError) => void;
}

export class Journal {
  readonly #options: JournalOptions;
  readonly #buffer = new FlushBuffer();
  readonly #runFlush = (): void => this.#flush();
  #segment: Segment;
  #file: DiskFile;
  #trail: SegmentTrail;
  #position = SEGMENT_HEADER_BYTES;
  /** Of the file: what lies between it and the position is zeros. */
  #sizeBytes = GROWTH_BYTES;
  #flushNumber = 0;
  #logs = new Set<PartitionLog>();
  #pending: PendingAppend[] = [];
  #isScheduled = false;
  #isFlushing = false;
  #syncMs = 0.1;
  #failure: TandemError | undefined;
  #isDiskFull = false;
  #whenIdle: (() => void)[] = [];
  readonly counters = { flushes: 0, records: 0, bytes: 0, diskFull: 0, syncSeconds: 0 };

  constructor(options: JournalOptions) {
    this.#options = options;
    const { segment, file } = options.supply.take();
    this.#segment = segment;
    this.#file = file;
    this.#trail = new SegmentTrail(segment, options.trail);
  }

  get segment(): Segment {
    return this.#segment;
  }
  get position(): number {
    return this.#position;
  }

  /** `term`: whoever appends has the right to do so under that. */
  append(log: PartitionLog, batch: AppendBatch, term: number): Promise<AppendResult> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#pending.push({ log, batch, term, resolve, reject });
      this.#schedule();
    });
  }

  /** Resolves when all appends in hand are answered. */
  idle(): Promise<void> {
    if (!this.#isFlushing && this.#pending.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  /** Fails for good, with TANDEM_TERM_FENCED, if a higher term than this process's is claimed: for a process that has nothing to write. */
  checkTerm(): void {
    if (this.#lookUpClaim() !== undefined || this.#isFlushing) return;
    this.#finish();
  }

  /** Ends the last segment; nothing may be in hand. Returns it if nothing was ever written to it. */
  close(): Segment | undefined {
    const isEmpty = this.#position === SEGMENT_HEADER_BYTES;
    if (this.#failure === undefined && !isEmpty) this.#seal();
    else this.#file.close();
    return isEmpty && this.#failure === undefined ? this.#segment : undefined;
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isFlushing) return;
    this.#isScheduled = true;
    queueMicrotask(this.#runFlush);
  }

  #flush(): void {
    this.#isScheduled = false;
    if (this.#pending.length === 0) return;
    const claimed = this.#lookUpClaim();
    if (claimed === undefined) {
      this.#finish();
      return;
    }
    const { appends, bytes } = this.#takeGroup();
    let group: FlushGroup;
    try {
      this.#ensureRoom(bytes);
      group = this.#beginGroup();
    } catch (error) {
      group = this.#beginGroup();
      const reason = this.#writeError(error);
      for (const append of appends) group.refuse(append, reason);
      this.#finish();
      return;
    }
    for (const append of appends) group.assign(append, claimed);
    if (group.isEmpty) {
      this.#answer(group);
      this.#finish();
      return;
    }
    this.#isFlushing = true;
    try {
      this.#grow(this.#buffer.byteLength);
      this.#file.writeSync(this.#buffer.pieces(), this.#position);
    } catch (error) {
      this.#revoke(group, error);
      return;
    }
    this.#force(group);
  }

  #takeGroup(): { appends: PendingAppend[]; bytes: number } {
    let bytes = 0;
    let count = 0;
    const pending = this.#pending;
    while (count < pending.length) {
      const next = appendBytes(pending[count] as PendingAppend);
      if (count > 0 && bytes + next > GROUP_BYTES_MAX) break;
      bytes += next;
      count++;
    }
    if (count === pending.length) this.#pending = [];
    else this.#pending = pending.splice(count);
    return { appends: pending, bytes };
  }

  #beginGroup(): FlushGroup {
    const place = { segmentId: this.#segment.id, flushStart: this.#position, flushNumber: ++this.#flushNumber };
    return new FlushGroup(this.#options.sources, this.#buffer, place, this.#options.clock.nowMs());
  }

  #force(group: FlushGroup): void {
    const { clock } = this.#options;
    const startMs = clock.monotonicMs();
    if (this.#buffer.byteLength <= SYNC_BYTES_MAX && this.#syncMs < SYNC_MS_MAX) {
      try {
        this.#file.dataSyncSync();
      } catch (error) {
        this.#revoke(group, error);
        return;
      }
      this.#confirm(group, clock.monotonicMs() - startMs);
      return;
    }
    this.#file.dataSync((error) => {
      if (error === null) this.#confirm(group, Math.max(0, clock.monotonicMs() - startMs - THREAD_MS));
      else this.#revoke(group, error);
    });
  }

  #confirm(group: FlushGroup, syncMs: number): void {
    // Large flushes take longer by nature: what counts is how long a small one takes.
    if (syncMs < this.#syncMs) this.#syncMs -= STEP_MS;
    else if (this.#buffer.byteLength <= SYNC_BYTES_MAX)
      this.#syncMs = Math.min(SYNC_MS_CEILING, this.#syncMs + STEP_MS);
    if (this.#isDiskFull) this.#options.logger.info('disk_has_space', { file: this.#segment.path });
    this.#isDiskFull = false;
    const { counters } = this;
    counters.flushes++;
    counters.records += group.records;
    counters.bytes += this.#buffer.byteLength;
    counters.syncSeconds += syncMs / 1000;
    this.#position += this.#buffer.byteLength;
    const changed = this.#answer(group);
    for (const log of changed) this.#logs.add(log);
    if (this.#position > this.#options.segmentBytes / 4 || this.#trail.batches > SEGMENT_BATCHES_MAX / 4)
      this.#options.supply.prepare();
    this.#finish();
    for (const log of changed) log.wake();
    if (changed.size === 0) return;
    group.noteIn(this.#trail);
    this.#trail.flushed(this.#position);
  }

  /** The flush is durable: answers it, unless the right to write is lost by now. Returns the partitions that have new records. */
  #answer(group: FlushGroup): ReadonlySet<PartitionLog> {
    const claimed = this.#lookUpClaim();
    if (claimed !== undefined) return group.confirm(claimed);
    group.revoke(this.#failure as TandemError);
    return NO_LOGS;
  }

  /** The highest claimed term; undefined: it is above this process's own (or cannot be read), and the journal has failed for good. */
  #lookUpClaim(): number | undefined {
    if (this.#failure !== undefined) return undefined;
    const { term } = this.#options;
    try {
      const claimed = term.claimed();
      if (claimed <= term.own) return claimed;
      const detail = `${term.own} is below ${claimed}: this process writes no more`;
      this.#fail(new TandemError('TANDEM_TERM_FENCED', { detail, data: { term: claimed } }));
    } catch (error) {
      this.#fail(this.#writeError(error));
    }
    return undefined;
  }

  #revoke(group: FlushGroup, error: unknown): void {
    const reason = this.#writeError(error);
    if (reason.code === 'TANDEM_DISK_FULL') this.#takeBack();
    else this.#fail(reason);
    group.revoke(this.#failure ?? reason);
    this.#finish();
  }

  /** Nothing of the failed flush may be found later: the place is zeros again. */
  #takeBack(): void {
    try {
      this.#file.truncateSync(this.#position);
      this.#file.truncateSync(this.#sizeBytes);
    } catch (error) {
      this.#fail(this.#writeError(error));
    }
  }

  #finish(): void {
    this.#isFlushing = false;
    if (this.#failure !== undefined) this.#rejectPending(this.#failure);
    if (this.#pending.length > 0) {
      this.#schedule();
      return;
    }
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  #rejectPending(error: TandemError): void {
    for (const { reject } of this.#pending.splice(0)) reject(error);
  }

  #ensureRoom(bytes: number): void {
    const isFull = this.#position + bytes > this.#options.segmentBytes || this.#trail.batches >= SEGMENT_BATCHES_MAX;
    if (this.#position === SEGMENT_HEADER_BYTES || !isFull) return;
    const next = this.#options.supply.take();
    this.#seal();
    this.#segment = next.segment;
    this.#file = next.file;
    this.#trail = new SegmentTrail(next.segment, this.#options.trail);
    this.#position = SEGMENT_HEADER_BYTES;
    this.#sizeBytes = GROWTH_BYTES;
    this.#flushNumber = 0;
  }

  /** Makes room for a flush, and for some more. */
  #grow(flushBytes: number): void {
    const end = this.#position + flushBytes;
    if (end <= this.#sizeBytes) return;
    const aheadBytes = Math.min(GROWTH_BYTES_MAX, GROWTH_FLUSHES * flushBytes);
    const sizeBytes = Math.ceil((end + aheadBytes) / GROWTH_BYTES) * GROWTH_BYTES;
    this.#file.truncateSync(sizeBytes);
    this.#sizeBytes = sizeBytes;
  }

  #seal(): void {
    const logs = this.#logs;
    this.#logs = new Set();
    try {
      this.#file.truncateSync(this.#position);
    } catch (error) {
      // The zeros after the end cost nothing and mean nothing.
      this.#options.logger.warn('segment_not_cut', { file: this.#segment.path, error: String(error) });
    }
    this.#file.close();
    this.#trail.close(this.#position);
    this.#options.onSealed(this.#segment, this.#position, logs);
  }

  #writeError(error: unknown): TandemError {
    if (error instanceof TandemError) return error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOSPC' || code === 'EDQUOT') {
      if (!this.#isDiskFull)
        this.#options.logger.warn('disk_full', { file: this.#segment.path, consequence: 'appends are refused' });
      this.#isDiskFull = true;
      this.counters.diskFull++;
      return new TandemError('TANDEM_DISK_FULL', { detail: this.#segment.path, cause: error });
    }
    return new TandemError('TANDEM_STORE_FAILED', { detail: `${this.#segment.path}: ${String(error)}`, cause: error });
  }

  #fail(error: TandemError): void {
    if (this.#failure !== undefined) return;
    const { code } = error;
    this.#failure =
      code === 'TANDEM_STORE_FAILED' || code === 'TANDEM_TERM_FENCED'
        ? error
        : new TandemError('TANDEM_STORE_FAILED', { detail: error.message, cause: error });
    this.#options.logger.error('journal_failed', { file: this.#segment.path, error: String(error.cause ?? error) });
    this.#options.onFailed(this.#failure);
  }
}
