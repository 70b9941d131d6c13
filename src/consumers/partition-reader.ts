/**
 * Works off one assigned partition: finds where to begin, reads, feeds the lanes (or the batches), commits, until it is stopped.
 *
 * Invariants: what is committed never passes an unfinished record; nothing is delivered after `stop` was called; a record that was trimmed or
 * lost before it came to its turn is counted in `missed` and logged, never passed over in silence; damage stops the partition until the
 * operator skips it. One reader serves one assignment (one term); a new term needs a new reader.
 */
import type { Assignment, GroupStore, ReadResult, RecordStore } from '../core/contracts/engine.ts';
import type { Logger } from '../core/contracts/telemetry.ts';
import { asTandemError, TandemError } from '../core/errors.ts';
import { type Clock, delay } from '../core/ports/clock.ts';
import type { Random } from '../core/ports/random.ts';
import { commonOffsetOf, type Position } from '../core/position.ts';
import type { StoredBatch } from '../core/record-set.ts';
import { ABORT_GRACE_MS, Attempts } from './attempts.ts';
import { Committer } from './committer.ts';
import type { ConsumerConfig } from './consumer-config.ts';
import type { ConsumerTotals, PartitionPhase, PartitionStatus } from './consumer-status.ts';
import type { DeadLetters } from './dead-letters.ts';
import type { DeliveredRecord } from './delivered-record.ts';
import { decode, type Feed } from './feed.ts';
import { KeyLanes } from './key-lanes.ts';
import { PartitionSource } from './partition-source.ts';
import { backoffDelayMs, STORE_RETRY } from './retry.ts';
import type { Target } from './targets/target.ts';
import { UnfinishedOffsets } from './unfinished-offsets.ts';

export interface PartitionReaderOptions {
  readonly config: ConsumerConfig;
  readonly group: string;
  readonly topic: string;
  readonly assignment: Assignment;
  readonly target: Target;
  readonly feed: Feed;
  readonly store: RecordStore;
  readonly groups: GroupStore;
  readonly deadLetters: DeadLetters;
  readonly totals: ConsumerTotals;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly onGone: (reason: string) => void;
}

/** The event loop gets its turn after so long. */
const SLICE_MS = 8;
/** How many records between looks at the clock; a power of two. */
const LOOK_RECORDS = 16;
const IN_FLIGHT_BYTES_MAX = 16 * 1024 * 1024;

interface LostPosition {
  readonly position: Position;
  readonly error: TandemError;
}

export class PartitionReader {
  readonly assignment: Assignment;
  /** Resolves when the reader has ended by itself: the feed is over, the partition is damaged, the term is old, or it was stopped. */
  readonly ended: Promise<void>;
  readonly #options: PartitionReaderOptions;
  readonly #facts: { readonly [name: string]: unknown };
  readonly #source: PartitionSource;
  readonly #offsets = new UnfinishedOffsets();
  readonly #attempts: Attempts;
  readonly #lanes: KeyLanes;
  readonly #committer: Committer;
  /** Of the consumer, when the progress was last told. */
  #lettersSeen = 0;
  readonly #stopSignal = new AbortController();
  #position: Position | undefined;
  /** Where it was when the store said that this place is no longer there. */
  #lost: LostPosition | undefined;
  #trouble: string | undefined;
  #stopReason: string | undefined;
  #damagedUntil: number | undefined;
  #missed = 0;
  #sliceStartMs = 0;
  #stopping: Promise<void> | undefined;

  constructor(options: PartitionReaderOptions) {
    const { config, group, topic, assignment, target, feed, clock, logger } = options;
    this.#options = options;
    this.assignment = assignment;
    this.#facts = { group, topic, partition: assignment.partition, term: assignment.term };
    this.#source = new PartitionSource(options.store, { topic, partition: assignment.partition });
    this.#attempts = new Attempts({
      consumer: config.name,
      target,
      timeoutMs: config.timeoutMs,
      isReplay: feed.isReplay,
      totals: options.totals,
      clock,
    });
    const onFenced = (): void => this.#fence();
    this.#committer = new Committer({ groups: options.groups, group, topic, ...assignment, clock, logger, onFenced });
    this.#lanes = this.#makeLanes();
    this.ended = this.#run();
  }

  /** The lowest record that is not finished; undefined: the place to begin is not known yet. */
  get progress(): Position | undefined {
    return this.#position && { epoch: this.#position.epoch, offset: this.#offsets.lowest };
  }

  /** After the damage that stopped it; undefined: no damage stopped it. */
  get damagedUntil(): number | undefined {
    return this.#damagedUntil;
  }

  status(): PartitionStatus {
    const { committed } = this.#committer;
    const { nextOffset } = this.#source;
    const { partition, term } = this.assignment;
    const trouble = this.#lanes.trouble ?? this.#trouble ?? this.#committer.trouble;
    const reason = this.#stopReason ?? trouble;
    const state: PartitionPhase =
      this.#stopReason !== undefined ? 'stopped' : trouble !== undefined ? 'retrying' : 'running';
    const begun = committed ?? this.#position?.offset;
    const lagRecords = begun === undefined || nextOffset === null ? null : Math.max(nextOffset - begun, 0);
    const status = { partition, term, state, committed, nextOffset, lagRecords, missed: this.#missed };
    return reason === undefined ? status : { ...status, reason };
  }

  /** Asks the store where the partition ends, for `status`. Never rejects. */
  async refresh(): Promise<void> {
    const { store, topic, assignment } = this.#options;
    try {
      this.#source.nextOffset = (await store.state({ topic, partition: assignment.partition })).nextOffset;
    } catch {
      // The last known end is shown; the reader itself reports what is wrong with the store.
    }
  }

  /**
   * Delivers no more, lets running calls finish for `graceMs` (0: aborts them at once), commits what is finished. Resolves when all that is
   * done, at the latest ABORT_GRACE_MS after the abort. May be called again with a shorter grace.
   */
  stop(reason: string, graceMs: number): Promise<void> {
    this.#stopReason ??= reason;
    this.#source.stop();
    this.#lanes.stop();
    this.#stopSignal.abort();
    if (graceMs === 0) this.#attempts.abortAll(abortOf(reason));
    this.#stopping ??= this.#finish(reason, graceMs);
    return this.#stopping;
  }

  async #finish(reason: string, graceMs: number): Promise<void> {
    const { clock } = this.#options;
    const idle = Promise.all([this.#lanes.idle(), this.ended]).then(() => true);
    const within = async (ms: number): Promise<boolean> => {
      const cancel = new AbortController();
      const timeUp = delay(clock, ms, cancel.signal).then(
        () => false,
        () => false,
      );
      const isIdle = await Promise.race([idle, timeUp]);
      cancel.abort();
      return isIdle;
    };
    if (!(await within(graceMs))) {
      this.#attempts.abortAll(abortOf(reason));
      if (!(await within(ABORT_GRACE_MS + 1))) this.#options.logger.warn('consumer_work_abandoned', this.#facts);
    }
    if (this.#position !== undefined) this.#committer.advance(this.#offsets.lowest);
    await this.#committer.close();
  }

  #makeLanes(): KeyLanes {
    const { config, target, deadLetters, totals, clock, random, logger, onGone } = this.#options;
    return new KeyLanes({
      consumer: config.name,
      concurrency: target.deliverBatch === undefined ? config.concurrency : 1,
      retry: config.retry,
      inFlightBytesMax: IN_FLIGHT_BYTES_MAX,
      attempts: this.#attempts,
      deadLetters,
      offsets: this.#offsets,
      totals,
      clock,
      random,
      logger,
      onProgress: () => {
        const isBuried = totals.deadLettered !== this.#lettersSeen;
        this.#lettersSeen = totals.deadLettered;
        this.#committer.advance(this.#offsets.lowest, isBuried);
      },
      onGone,
    });
  }

  #fence(): void {
    void this.stop('another process has taken the partition over', 0);
  }

  // -------------------------------------------------------------- reading

  /** Never rejects. */
  async #run(): Promise<void> {
    // The constructor must be done before anything is called back.
    await Promise.resolve();
    for (let failures = 0; !this.#isStopping; ) {
      try {
        const position =
          this.#lost === undefined && this.#position !== undefined ? this.#position : await this.#locate();
        if (this.#isStopping || this.#options.feed.isOver(position.offset)) break;
        const result = await this.#source.next(position);
        if (result === undefined) break;
        failures = 0;
        this.#trouble = undefined;
        await this.#handle(result, position.offset);
      } catch (thrown) {
        if (!(await this.#recover(asTandemError(thrown), ++failures))) break;
      }
    }
    this.#source.stop();
    if (this.#position !== undefined) this.#committer.advance(this.#offsets.lowest);
    await this.#lanes.idle();
  }

  get #isStopping(): boolean {
    return this.#lanes.isStopped;
  }

  /** Where to begin, or to go on after the position was lost. */
  async #locate(): Promise<Position> {
    const { store, groups, group, topic, assignment, config } = this.#options;
    if (this.#lost !== undefined) return this.#relocate(this.#lost);
    const { partition } = assignment;
    const row = (await groups.committed(group, topic)).find((committed) => committed.partition === partition);
    if (row !== undefined) return this.#begin({ epoch: row.epoch, offset: row.offset }, true);
    const state = await store.state({ topic, partition });
    const isNow = config.start === 'now' && !this.#options.feed.isReplay;
    const position = { epoch: state.epoch, offset: isNow ? state.nextOffset : state.firstOffset };
    this.#committer.begin(position, false);
    // "now" must stay the same now after a crash.
    if (isNow) await this.#committer.commitNow();
    return this.#begin(position, isNow);
  }

  async #relocate({ position: lost, error }: LostPosition): Promise<Position> {
    const { store, topic, assignment, totals, logger } = this.#options;
    await this.#lanes.idle();
    const state = await store.state({ topic, partition: assignment.partition });
    const isAhead = error.code === 'TANDEM_POSITION_AHEAD';
    const isSameHistory = state.epoch === lost.epoch;
    const known = isSameHistory ? lost.offset : commonOffsetOf(error, state.epoch);
    const offset = isAhead ? state.nextOffset : Math.max(state.firstOffset, known);
    const missed = isSameHistory && !isAhead ? offset - lost.offset : 0;
    this.#missed += missed;
    totals.missed += missed;
    if (!isSameHistory || isAhead) totals.historiesLost++;
    logger.error('consumer_position_lost', { ...this.#facts, lost, continuesAt: offset, missed });
    this.#lost = undefined;
    const position = this.#begin({ epoch: state.epoch, offset }, false);
    this.#committer.advance(offset);
    return position;
  }

  #begin(position: Position, isCommitted: boolean): Position {
    this.#committer.begin(position, isCommitted);
    this.#offsets.reset(position.offset);
    this.#position = position;
    return position;
  }

  /** What to do about trouble with the store. False: the reader ends. */
  async #recover(error: TandemError, failures: number): Promise<boolean> {
    const { clock, random, logger } = this.#options;
    if (this.#isStopping) return false;
    switch (error.code) {
      case 'TANDEM_POSITION_LOST':
      case 'TANDEM_POSITION_AHEAD':
        if (this.#position === undefined) break;
        this.#lost = { position: this.#position, error };
        return true;
      case 'TANDEM_LOG_CORRUPT':
        this.#stopReason = error.message;
        this.#damagedUntil = Number(error.data?.['nextOffset'] ?? (this.#position?.offset ?? 0) + 1);
        logger.error('consumer_stopped_by_damage', { ...this.#facts, reason: error.message, ...error.data });
        return false;
      case 'TANDEM_TERM_FENCED':
        this.#fence();
        return false;
      default:
    }
    this.#trouble = error.message;
    if (failures === 1)
      logger.warn('consumer_read_refused', { ...this.#facts, code: error.code, reason: error.message });
    // A rejection means that it was stopped, which the caller sees.
    await delay(clock, backoffDelayMs(STORE_RETRY, failures, random), this.#stopSignal.signal).catch(() => {});
    return !this.#isStopping;
  }

  // -------------------------------------------------------------- delivering

  async #handle(result: ReadResult, fromOffset: number): Promise<void> {
    const { batches, epoch, nextOffset } = result;
    const last = batches.at(-1) as StoredBatch;
    const end = last.firstOffset + last.set.count;
    if (end < nextOffset) this.#source.readAhead({ epoch, offset: end });
    this.#sliceStartMs = this.#options.clock.monotonicMs();
    for (const batch of batches) {
      const first = Math.max(batch.firstOffset, fromOffset);
      const { records, damage } = decode(batch, first, epoch, this.#options.feed);
      if (this.#options.target.deliverBatch === undefined) await this.#deliverEach(records, first, epoch);
      else await this.#deliverBatches(records as DeliveredRecord[], first, epoch);
      if (this.#isStopping || this.#options.feed.isOver(first + records.length)) return;
      if (damage !== undefined) throw damage;
    }
    await this.#yield();
  }

  /** One by one through the lanes. Returns early when it is stopped. */
  async #deliverEach(records: readonly (DeliveredRecord | undefined)[], first: number, epoch: string): Promise<void> {
    const lanes = this.#lanes;
    const offsets = this.#offsets;
    for (let i = 0; i < records.length; i++) {
      const record = records[i];
      const offset = first + i;
      if (record === undefined) {
        while (!offsets.hasRoomFor(offset) && !lanes.isStopped) await lanes.room();
        if (lanes.isStopped) return;
        offsets.finish(offset);
      } else {
        while (!lanes.take(record, offset)) {
          await lanes.room();
          if (lanes.isStopped) return;
        }
      }
      if ((i & (LOOK_RECORDS - 1)) === 0 && this.#isSliceOver()) {
        this.#position = { epoch, offset: offset + 1 };
        await this.#yield();
        if (lanes.isStopped) return;
      }
    }
    this.#position = { epoch, offset: first + records.length };
  }

  async #deliverBatches(records: readonly DeliveredRecord[], first: number, epoch: string): Promise<void> {
    const { config, totals } = this.#options;
    const size = config.batchRecordsMax;
    for (let at = 0; at < records.length; at += size) {
      if (this.#isStopping) return;
      const part = records.slice(at, at + size);
      const answer = part.length === 1 ? NOT_TRIED : this.#attempts.deliverBatch(part);
      const outcome = answer instanceof Promise ? await answer : answer;
      if (outcome === undefined) {
        for (let i = 0; i < part.length; i++) this.#offsets.finish(first + at + i);
        totals.handled += part.length;
        this.#committer.advance(this.#offsets.lowest);
      } else {
        if (this.#isStopping) return;
        if (outcome !== NOT_TRIED) totals.failedAttempts++;
        await this.#deliverEach(part, first + at, epoch);
        await this.#lanes.idle();
      }
      this.#position = { epoch, offset: first + Math.min(at + size, records.length) };
      if (this.#isSliceOver()) await this.#yield();
    }
  }

  #isSliceOver(): boolean {
    return this.#options.clock.monotonicMs() - this.#sliceStartMs > SLICE_MS;
  }

  /** Lets sockets and timers have their turn, and reports progress. */
  async #yield(): Promise<void> {
    const { clock } = this.#options;
    this.#committer.advance(this.#offsets.lowest);
    await new Promise<void>((resolve) => clock.soon(resolve));
    this.#sliceStartMs = clock.monotonicMs();
  }
}

const abortOf = (reason: string): TandemError => new TandemError('TANDEM_DELIVERY_FAILED', { detail: reason });

const NOT_TRIED = { reason: 'a single record goes through the lanes' } as const;
