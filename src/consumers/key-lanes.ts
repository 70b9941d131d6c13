/**
 * Order and concurrency of one partition's deliveries, and what happens to a record until it is finished.
 *
 * A lane is the records of one key (all keyless records are one lane; with concurrency 1 the whole partition is). The records of a lane are
 * delivered one after the other: the next one begins when the one before is finished, that is handled or stored as a dead letter.
 * At most `concurrency` calls of the target run at once; a record that waits for its next attempt holds its lane but no slot.
 *
 * Hot path: `take` with a target that answers synchronously makes no promise and touches no map.
 * Bounds: SPAN offsets ahead of the lowest unfinished one, `inFlightBytesMax` of records taken and not finished; then `take` says false.
 */
import type { Logger } from '../core/contracts/telemetry.ts';
import { asTandemError } from '../core/errors.ts';
import { type Clock, delay } from '../core/ports/clock.ts';
import type { Random } from '../core/ports/random.ts';
import type { Attempts } from './attempts.ts';
import type { ConsumerTotals } from './consumer-status.ts';
import type { DeadLetters } from './dead-letters.ts';
import type { HandlerRecord } from './handler-api.ts';
import { backoffDelayMs, type RetryConfig, STORE_RETRY } from './retry.ts';
import type { Failure, Outcome } from './targets/target.ts';
import type { UnfinishedOffsets } from './unfinished-offsets.ts';

export interface KeyLanesOptions {
  readonly consumer: string;
  readonly concurrency: number;
  readonly retry: RetryConfig;
  readonly inFlightBytesMax: number;
  readonly attempts: Attempts;
  readonly deadLetters: DeadLetters;
  readonly offsets: UnfinishedOffsets;
  readonly totals: ConsumerTotals;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** The lowest unfinished offset may have moved outside of `take`. */
  readonly onProgress: () => void;
  /** The target said that it is gone for good. */
  readonly onGone: (reason: string) => void;
}

/** A record and the offset that it finishes (a replayed record has a place of its own). */
interface Waiting {
  readonly record: HandlerRecord;
  readonly offset: number;
}

type Lane = Waiting[];

const YIELD_RECORDS = 256;

export class KeyLanes {
  readonly #options: KeyLanesOptions;
  readonly #lanes = new Map<string | undefined, Lane>();
  readonly #slotWaiters: (() => void)[] = [];
  readonly #stopped = new AbortController();
  #isStopped = false;
  #running = 0;
  #unfinishedBytes = 0;
  #wakeReader: (() => void) | undefined;
  #wakeIdle: (() => void)[] = [];
  /** Why records wait for another attempt, by lane. */
  readonly #troubles = new Map<Lane, string>();

  constructor(options: KeyLanesOptions) {
    this.#options = options;
  }

  /** The newest reason for which a record waits for its next attempt; undefined: none waits. */
  get trouble(): string | undefined {
    return [...this.#troubles.values()].at(-1);
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  get isIdle(): boolean {
    return this.#lanes.size === 0;
  }

  /** Begins or queues one record. False: no room now, offer it again after `room()`. Offsets come in order. */
  take(record: HandlerRecord, offset: number): boolean {
    const { concurrency, offsets, inFlightBytesMax, totals } = this.#options;
    if (this.#isStopped || this.#running >= concurrency || !offsets.hasRoomFor(offset)) return false;
    if (this.#lanes.size > 0) {
      if (concurrency === 1 || this.#unfinishedBytes >= inFlightBytesMax) return false;
      const lane = this.#lanes.get(record.key);
      if (lane !== undefined) {
        lane.push({ record, offset });
        this.#unfinishedBytes += record.data.length;
        return true;
      }
    }
    const answer = this.#options.attempts.deliver(record, 1);
    if (answer === undefined) {
      offsets.finish(offset);
      totals.handled++;
    } else this.#open({ record, offset }, answer);
    return true;
  }

  /** Resolves when `take` may have room, or after `stop`. One waiter. */
  room(): Promise<void> {
    if (this.#isStopped) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wakeReader = resolve;
    });
  }

  /** Resolves when no record is in hand. */
  idle(): Promise<void> {
    if (this.isIdle) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wakeIdle.push(resolve);
    });
  }

  /** No call begins any more, waits end; calls that run are left to finish. What is not finished stays unfinished. Idempotent. */
  stop(): void {
    this.#isStopped = true;
    this.#stopped.abort();
    this.#wake();
  }

  #open(first: Waiting, answer: Outcome | Promise<Outcome>): void {
    const lane: Lane = [];
    this.#lanes.set(this.#options.concurrency === 1 ? undefined : first.record.key, lane);
    this.#running++;
    this.#unfinishedBytes += first.record.data.length;
    // Never rejects.
    void this.#work(lane, first, answer);
  }

  /** Works a lane off until it is empty or stopped. Holds a slot at the start and at the end. */
  async #work(lane: Lane, first: Waiting, answer: Outcome | Promise<Outcome>): Promise<void> {
    const { attempts, clock } = this.#options;
    let waiting: Waiting | undefined = first;
    let outcome: Outcome | Promise<Outcome> = answer;
    for (let count = 1; waiting !== undefined; count++) {
      if (outcome instanceof Promise) outcome = await outcome;
      if (outcome !== undefined && !(await this.#recover(lane, waiting.record, outcome))) break;
      this.#finish(waiting, outcome === undefined);
      if (this.#isStopped) break;
      waiting = lane.shift();
      if (waiting === undefined) break;
      if (count % YIELD_RECORDS === 0) await new Promise<void>((resolve) => clock.soon(resolve));
      outcome = attempts.deliver(waiting.record, 1);
    }
    this.#close(lane, first.record.key);
  }

  /** Tries again until the record is handled or stored as a dead letter. False: stopped before that. */
  async #recover(lane: Lane, record: HandlerRecord, first: Failure): Promise<boolean> {
    const { attempts, retry, random, totals, onGone } = this.#options;
    let failure: Outcome = first;
    for (let attempt = 1; failure !== undefined; attempt++) {
      if (this.#isStopped) return false;
      totals.failedAttempts++;
      if (failure.isGone === true) {
        this.stop();
        onGone(failure.reason);
        return false;
      }
      if (attempt >= retry.attemptsMax) return this.#bury(lane, record, failure, attempt);
      if (!(await this.#backOff(lane, backoffDelayMs(retry, attempt, random, failure.retryAfterMs), failure.reason)))
        return false;
      failure = await attempts.deliver(record, attempt + 1);
    }
    totals.handled++;
    return true;
  }

  /** Stores the dead letter, however long it takes: the record is not finished before. False: stopped before that. */
  async #bury(lane: Lane, record: HandlerRecord, failure: Failure, attempts: number): Promise<boolean> {
    const { consumer, deadLetters, random, totals, logger } = this.#options;
    const { topic, partition, offset } = record;
    const place = { consumer, topic, partition, offset };
    for (let attempt = 1; ; attempt++) {
      try {
        await deadLetters.bury(consumer, record, failure, attempts);
        totals.deadLettered++;
        logger.warn('record_dead_lettered', { ...place, attempts, reason: failure.reason });
        return true;
      } catch (thrown) {
        const error = asTandemError(thrown);
        logger.error('dead_letter_refused', { ...place, attempt, code: error.code, reason: error.message });
        const reason = `the dead letter could not be stored: ${error.message}`;
        if (!(await this.#backOff(lane, backoffDelayMs(STORE_RETRY, attempt, random), reason))) return false;
      }
    }
  }

  /** Gives the slot away while waiting. False: stopped meanwhile (a slot is held then too). */
  async #backOff(lane: Lane, delayMs: number, reason: string): Promise<boolean> {
    const { signal } = this.#stopped;
    this.#troubles.set(lane, reason);
    this.#releaseSlot();
    try {
      await delay(this.#options.clock, delayMs, signal);
    } catch {
      // Stopped: the only reason for which a delay rejects.
    }
    await this.#slot();
    this.#troubles.delete(lane);
    return !this.#isStopped;
  }

  #slot(): Promise<void> {
    if (this.#running < this.#options.concurrency || this.#isStopped) {
      this.#running++;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.#slotWaiters.push(resolve);
    });
  }

  #releaseSlot(): void {
    const next = this.#slotWaiters.shift();
    if (next !== undefined) next();
    else this.#running--;
    this.#wake();
  }

  #finish({ record, offset }: Waiting, isFirstAttempt: boolean): void {
    const { offsets, totals, onProgress } = this.#options;
    if (isFirstAttempt) totals.handled++;
    this.#unfinishedBytes -= record.data.length;
    offsets.finish(offset);
    onProgress();
    this.#wake();
  }

  #close(lane: Lane, key: string | undefined): void {
    this.#lanes.delete(this.#options.concurrency === 1 ? undefined : key);
    for (const { record } of lane) this.#unfinishedBytes -= record.data.length;
    this.#releaseSlot();
    if (this.isIdle) for (const resolve of this.#wakeIdle.splice(0)) resolve();
  }

  #wake(): void {
    this.#wakeReader?.();
    this.#wakeReader = undefined;
  }
}
