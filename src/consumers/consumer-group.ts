/**
 * One consumer in this process: its membership of the group, one reader for each partition that it is assigned, and what the operator asks.
 *
 * A partition has one reader at a time: the next one (another term, a resume, a skip) begins when the one before has ended.
 * A paused consumer is a member of its group, so that its partitions and lag are known, and has no readers. Pausing and stopping concern this
 * process: whoever starts the next one says whether it begins paused. Committed offsets stay.
 */
import type { Assignment, Membership } from '../core/contracts/engine.ts';
import { asTandemError, TandemError } from '../core/errors.ts';
import { delay } from '../core/ports/clock.ts';
import type { Position } from '../core/position.ts';
import { ABORT_GRACE_MS } from './attempts.ts';
import type { ConsumerConfig } from './consumer-config.ts';
import type { ConsumerParts } from './consumer-parts.ts';
import { type ConsumerStatus, newTotals, type PartitionPhase, type PartitionStatus } from './consumer-status.ts';
import { liveFeed } from './feed.ts';
import { PartitionReader } from './partition-reader.ts';
import { Replay, type ReplayResult } from './replay.ts';
import { backoffDelayMs, STORE_RETRY } from './retry.ts';
import type { Target } from './targets/target.ts';

export interface SkipResult {
  readonly partition: number;
  readonly fromOffset: number;
  readonly toOffset: number;
}

const PAUSED = 'paused by the operator';

export class ConsumerGroup {
  readonly config: ConsumerConfig;
  readonly totals = newTotals();
  readonly #parts: ConsumerParts;
  readonly #readers = new Map<number, PartitionReader>();
  readonly #ending = new Map<number, Promise<void>>();
  readonly #drained = new AbortController();
  #phase: PartitionPhase = 'running';
  #reason: string | undefined;
  #target: Target | undefined;
  #membership: Membership | undefined;
  #joining: Promise<void> | undefined;
  #replay: Replay | undefined;
  #replayTail: Promise<unknown> = Promise.resolve();

  constructor(config: ConsumerConfig, parts: ConsumerParts, isPaused: boolean) {
    this.config = config;
    this.#parts = parts;
    if (!isPaused) return;
    this.#phase = 'paused';
    this.#reason = PAUSED;
  }

  /** Loads the target and joins the group. A target that does not load stops the consumer; a store that refuses is asked again. Never rejects. */
  async start(): Promise<void> {
    const { logger, loadTarget } = this.#parts;
    try {
      this.#target ??= await loadTarget(this.config);
    } catch (thrown) {
      const reason = asTandemError(thrown).message;
      logger.error('consumer_stopped', { consumer: this.config.name, reason });
      if (this.#phase === 'running') this.#phase = 'stopped';
      this.#reason = reason;
      return;
    }
    if (this.#target.deliverBatch !== undefined && this.config.concurrency > 1)
      logger.warn('concurrency_ignored', {
        consumer: this.config.name,
        reason: 'a batch handler has one call at a time',
      });
    const first = Promise.withResolvers<void>();
    this.#joining ??= this.#join(first.resolve);
    await Promise.race([first.promise, this.#joining]);
  }

  /** Neither paused nor stopped. */
  get isRunning(): boolean {
    return this.#phase === 'running';
  }

  /** Resolves when nothing of this consumer, replays included, runs any more and what is finished is committed. Idempotent. */
  async pause(): Promise<void> {
    this.#phase = 'paused';
    this.#reason = PAUSED;
    this.#replay?.stop(this.#graceMs);
    await this.#endAll(PAUSED, this.#graceMs);
    await this.#replayTail;
  }

  /** Goes on after `pause`, or after the consumer stopped. */
  async resume(): Promise<void> {
    this.#phase = 'running';
    this.#reason = undefined;
    if (this.#target === undefined) await this.start();
    this.#reconcile();
  }

  /** Errors: TANDEM_DELIVERY_FAILED (paused or stopped), and what the engine rejects with. One replay at a time; a second call waits. */
  replay(countMax: number): Promise<ReplayResult> {
    const run = this.#replayTail.then(() => this.#replayNow(countMax));
    this.#replayTail = run.catch(() => {});
    return run;
  }

  /**
   * Goes on at `toOffset` (default: after the damage that stopped the partition); what lies between is missed. A paused or stopped consumer
   * goes on there when it is resumed. Errors: TANDEM_PARTITION_UNKNOWN (not this process's), TANDEM_INPUT_MALFORMED (not ahead, or neither
   * damage nor an offset), TANDEM_POSITION_AHEAD, and what the engine rejects with.
   */
  async skip(partition: number, toOffset?: number): Promise<SkipResult> {
    this.#assignmentOf(partition);
    const { nextOffset } = await this.#parts.store.state({ topic: this.config.topic, partition });
    while (this.#ending.has(partition)) await this.#ending.get(partition);
    const assignment = this.#assignmentOf(partition);
    const reader = this.#readers.get(partition);
    const target = toOffset ?? reader?.damagedUntil;
    if (target === undefined)
      throw new TandemError('TANDEM_INPUT_MALFORMED', {
        detail: 'no damage has stopped the partition: name the offset',
      });
    if (target > nextOffset)
      throw new TandemError('TANDEM_POSITION_AHEAD', { detail: `the next offset is ${nextOffset}` });
    this.#readers.delete(partition);
    const skipped = this.#skipNow(assignment, reader, target);
    this.#endWith(
      partition,
      skipped.then(
        () => {},
        () => {},
      ),
    );
    return skipped;
  }

  async status(): Promise<ConsumerStatus> {
    const { name, topic, to } = this.config;
    await Promise.all([...this.#readers.values()].map((reader) => reader.refresh()));
    const partitions = await this.#partitionStatuses();
    const status = { name, topic, to, state: this.#phase, partitions, totals: { ...this.totals } };
    return this.#reason === undefined ? status : { ...status, reason: this.#reason };
  }

  /** What is known without asking the store, for metrics; asks it for the next time. */
  lags(): PartitionStatus[] {
    return [...this.#readers.values()].map((reader) => {
      void reader.refresh();
      return reader.status();
    });
  }

  /** Finishes running calls for `deadlineMs` at most, commits, leaves the group. Never rejects. Idempotent. */
  async drain(deadlineMs: number): Promise<void> {
    this.#drained.abort();
    this.#replay?.stop(deadlineMs);
    await this.#endAll('this worker is shutting down', deadlineMs);
    await this.#replayTail;
    await this.#joining;
    await this.#membership?.leave().catch(() => {});
  }

  // -------------------------------------------------------------- group

  get #graceMs(): number {
    return this.config.timeoutMs + ABORT_GRACE_MS;
  }

  async #join(tried: () => void): Promise<void> {
    const { groups, clock, random, logger } = this.#parts;
    const { name, topic } = this.config;
    for (let failures = 1; !this.#drained.signal.aborted; failures++) {
      try {
        this.#membership = await groups.join(name, topic, () => this.#follow());
        if (this.#phase === 'retrying') this.#phase = 'running';
        if (this.#phase === 'running') this.#reason = undefined;
        this.#reconcile();
        return;
      } catch (thrown) {
        const error = asTandemError(thrown);
        if (failures === 1)
          logger.warn('consumer_join_refused', { consumer: name, topic, code: error.code, reason: error.message });
        if (this.#phase === 'running') this.#phase = 'retrying';
        if (this.#phase === 'retrying') this.#reason = error.message;
        tried();
      }
      // It rejects when drained, which ends the loop.
      await delay(clock, backoffDelayMs(STORE_RETRY, failures, random), this.#drained.signal).catch(() => {});
    }
  }

  /** Resolves when the work on what is not assigned any more has stopped. */
  async #follow(): Promise<void> {
    this.#reconcile();
    await Promise.all(this.#ending.values());
  }

  /** Ends readers whose assignment is gone, begins readers for new assignments. */
  #reconcile(): void {
    const isActive = this.#phase === 'running' && !this.#drained.signal.aborted;
    const wanted = new Map<number, Assignment>();
    if (isActive)
      for (const assignment of this.#membership?.assignments ?? []) wanted.set(assignment.partition, assignment);
    for (const [partition, reader] of this.#readers)
      if (wanted.get(partition)?.term !== reader.assignment.term) this.#end(reader, 'the partition has moved on', 0);
    for (const [partition, assignment] of wanted)
      if (!this.#readers.has(partition) && !this.#ending.has(partition)) this.#begin(assignment);
  }

  #begin(assignment: Assignment): void {
    const { config, totals } = this;
    const target = this.#target;
    if (target === undefined) return;
    const onGone = (reason: string): void => this.#stopForGood(reason);
    const options = { ...this.#parts, config, group: config.name, topic: config.topic, feed: liveFeed, totals, onGone };
    this.#readers.set(assignment.partition, new PartitionReader({ ...options, assignment, target }));
  }

  #stopForGood(reason: string): void {
    this.#parts.logger.error('consumer_stopped', { consumer: this.config.name, reason });
    this.#phase = 'stopped';
    this.#reason = reason;
    void this.#endAll(reason, this.#graceMs);
  }

  async #endAll(reason: string, graceMs: number): Promise<void> {
    for (const reader of [...this.#readers.values()]) this.#end(reader, reason, graceMs);
    await Promise.all(this.#ending.values());
  }

  #end(reader: PartitionReader, reason: string, graceMs: number): void {
    this.#readers.delete(reader.assignment.partition);
    this.#endWith(reader.assignment.partition, reader.stop(reason, graceMs));
  }

  #endWith(partition: number, ending: Promise<void>): void {
    const ended = ending.then(() => {
      this.#ending.delete(partition);
      this.#reconcile();
    });
    this.#ending.set(partition, ended);
  }

  // -------------------------------------------------------------- operator

  /** Errors: TANDEM_PARTITION_UNKNOWN. */
  #assignmentOf(partition: number): Assignment {
    const assignment = this.#membership?.assignments.find((assigned) => assigned.partition === partition);
    if (assignment !== undefined) return assignment;
    throw new TandemError('TANDEM_PARTITION_UNKNOWN', { detail: `partition ${partition} is not worked on here` });
  }

  async #skipNow(assignment: Assignment, reader: PartitionReader | undefined, toOffset: number): Promise<SkipResult> {
    const { groups, logger } = this.#parts;
    const { name, topic } = this.config;
    const { partition, term } = assignment;
    await reader?.stop('skipping', this.#graceMs);
    const from = reader?.progress ?? (await this.#committedPosition(partition));
    if (from.offset >= toOffset)
      throw new TandemError('TANDEM_INPUT_MALFORMED', { detail: `the consumer is at offset ${from.offset} already` });
    await groups.commit(name, topic, { partition, offset: toOffset, epoch: from.epoch }, term);
    this.totals.missed += toOffset - from.offset;
    logger.warn('consumer_skipped', { consumer: name, topic, partition, fromOffset: from.offset, toOffset });
    return { partition, fromOffset: from.offset, toOffset };
  }

  async #committedPosition(partition: number): Promise<Position> {
    const { groups, store } = this.#parts;
    const { name, topic } = this.config;
    const row = (await groups.committed(name, topic)).find((committed) => committed.partition === partition);
    if (row !== undefined) return { epoch: row.epoch, offset: row.offset };
    const { epoch, firstOffset } = await store.state({ topic, partition });
    return { epoch, offset: firstOffset };
  }

  async #replayNow(countMax: number): Promise<ReplayResult> {
    if (this.#drained.signal.aborted) throw new TandemError('TANDEM_DRAINING');
    if (this.#phase !== 'running' || this.#target === undefined)
      throw new TandemError('TANDEM_DELIVERY_FAILED', { detail: `the consumer is ${this.#phase}: resume it first` });
    const onGone = (reason: string): void => this.#stopForGood(reason);
    this.#replay = new Replay({ ...this.#parts, config: this.config, target: this.#target, countMax, onGone });
    try {
      return await this.#replay.run();
    } finally {
      this.#replay = undefined;
    }
  }

  async #partitionStatuses(): Promise<PartitionStatus[]> {
    const statuses = [...this.#readers.values()].map((reader) => reader.status());
    const idle = (this.#membership?.assignments ?? []).filter(({ partition }) => !this.#readers.has(partition));
    if (idle.length > 0) statuses.push(...(await this.#idleStatuses(idle)));
    return statuses.sort((a, b) => a.partition - b.partition);
  }

  /** Of partitions that are assigned and not worked on. */
  async #idleStatuses(assignments: readonly Assignment[]): Promise<PartitionStatus[]> {
    const { groups, store } = this.#parts;
    const { name, topic } = this.config;
    const rows = await groups.committed(name, topic).catch(() => []);
    return Promise.all(
      assignments.map(async ({ partition, term }) => {
        const end = await store.state({ topic, partition }).catch(() => undefined);
        const committed = rows.find((row) => row.partition === partition)?.offset ?? null;
        const nextOffset = end?.nextOffset ?? null;
        const lagRecords = end === undefined ? null : end.nextOffset - (committed ?? end.firstOffset);
        return { partition, term, state: this.#phase, committed, nextOffset, lagRecords, missed: 0 };
      }),
    );
  }
}
