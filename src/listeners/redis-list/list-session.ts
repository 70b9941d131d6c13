/**
 * One session of a taker: takes items into its processing list, publishes them under the list's producer, and removes what is stored.
 *
 * Exactly once: an item's producer sequence is its place in the processing list (list-scripts.ts), which no crash changes. It leaves that
 * list only after ingest has said that it is stored; whoever attaches next publishes what lies there again, under the same sequences, into
 * the same partition, and the store drops what it has. Whatever goes wrong ends the session; the next one begins from what Redis says.
 *
 * If the store knows a higher sequence than Redis can have given out, Redis has lost writes (a failover, a restart without its last second):
 * sequences from there on may mean other items. What lies in the list is a beginning of what was stored; after it a new producer begins, so
 * that nothing is dropped as a repeat that is none. What Redis forgot to have handed out is then stored twice; only Redis knew.
 */
import type { RecordStore } from '../../core/contracts/engine.ts';
import type { AckSink, Ingest, Lane } from '../../core/contracts/ingest.ts';
import type { TandemError } from '../../core/errors.ts';
import type { Clock } from '../../core/ports/clock.ts';
import { type RedisConnection, RedisProblem } from '../../core/ports/redis-connection.ts';
import { ALIVE_MS, type Attachment, type AttachOptions, type ListEnd, type TakerScripts } from './list-scripts.ts';

/** Items that one call takes: what one taker gets before others have their turn, and how long the server is busy with it. */
const TAKE_MAX = 256;
const TAKE_BYTES_MAX = 1024 * 1024;
/** Taken and not yet stored. */
const UNFINISHED_MAX = 4096;
const UNFINISHED_BYTES_MAX = 8 * 1024 * 1024;
/** Between signs of life. */
const BEAT_MS = 2000;
/** How long one wait for an item lasts: it must be over before the taker counts as dead. */
const WAIT_MS = ALIVE_MS / 2;
/** A server without memory refuses to wait; it is asked so often instead. */
const REFUSED_WAIT_MS = 100;

export interface ListCounts {
  taken: number;
  refused: number;
  adopted: number;
}

export interface ListSessionOptions {
  readonly list: string;
  readonly from: ListEnd;
  readonly scripts: TakerScripts;
  readonly attach: AttachOptions;
  readonly ingest: Ingest;
  readonly store: RecordStore;
  readonly clock: Clock;
  readonly counts: ListCounts;
  /** For waiting: nothing else can be said on it meanwhile. */
  readonly openWaiting: () => Promise<RedisConnection>;
  readonly onRefused: (count: number, limit: number) => void;
  /** Attached, and what lay there is stored: all is well. */
  readonly onSound: () => void;
}

/** held: another one holds the name and lives. gone: there was nothing to adopt. renew: a new producer must begin. */
export type SessionEnd = 'held' | 'gone' | 'renew' | 'stopped' | 'emptied';

export class ListSession implements AckSink {
  readonly #options: ListSessionOptions;
  #isStopping = false;
  #mustRenew = false;
  /** What an earlier session left is stored first: a store that refuses must not keep more than that from other takers. */
  #isRecovering = true;
  #stored = 0;
  /** In hand: published and not yet removed. The first `#done` of them are stored. */
  #known = 0;
  #done = 0;
  #sizes: number[] = [];
  #nextSize = 0;
  #unfinishedBytes = 0;
  #failure: unknown;
  #epoch = '';
  /** The list had more than one call takes. */
  #hasMore = false;
  #isSaturationWatched = false;
  #waiting: RedisConnection | undefined;
  #isWaiting = false;
  #lastStepMs = 0;
  #wake: (() => void) | undefined;

  constructor(options: ListSessionOptions) {
    this.#options = options;
  }

  /** Taken and not yet removed. */
  get unfinished(): number {
    return this.#known;
  }

  /** Takes no more; `run` resolves when what was taken is stored and removed. */
  stop(): void {
    this.#isStopping = true;
    this.#waiting?.close();
    this.#wake?.();
  }

  /** Once. Errors: RedisProblem, and the TandemError with which ingest refused. */
  async run(): Promise<SessionEnd> {
    const { scripts, attach, ingest, store, onSound } = this.#options;
    const attachment = await scripts.attach(attach);
    if (typeof attachment === 'string') return attachment;
    const { topic, partition, producer, stored, held, limit } = attachment;
    this.#stored = stored;
    this.#mustRenew = attach.mode !== 'adopt' && (topic !== attach.fresh.topic || limit !== attach.fresh.limit);
    const { epoch } = await store.state({ topic, partition });
    this.#epoch = epoch;
    const sequence = stored + 1;
    const lane = await ingest.openLane({ topic, partition, producer: { id: producer, sequence }, sink: this });
    try {
      if (lane.lastSequence > stored + held) this.#mustRenew = true;
      await this.#work(lane, attachment, onSound);
      await this.#removeStored();
      if (this.#isStopping || attach.mode === 'adopt') await scripts.release();
    } finally {
      this.#waiting?.close();
      // The next session's repeats must come after what this one has under way.
      while (lane.inFlight > 0) await this.#pause(BEAT_MS);
      lane.close();
    }
    if (this.#isStopping) return 'stopped';
    return attach.mode === 'adopt' ? 'emptied' : 'renew';
  }

  stored(_partition: number, _firstOffset: number, count: number): void {
    if (this.#failure === undefined) this.#done += count;
  }

  refused(error: TandemError): void {
    this.#failure ??= error;
  }

  flushed(): void {
    this.#wake?.();
  }

  /** Until it has to end and has nothing in hand. */
  async #work(lane: Lane, { limit }: Attachment, onSound: () => void): Promise<void> {
    const { clock } = this.#options;
    for (let isFirst = true; this.#failure === undefined; isFirst = false) {
      const room = this.#room();
      const isTaking = room > 0 && (this.#hasMore || this.#known === 0);
      const isBeatDue = clock.monotonicMs() - this.#lastStepMs >= BEAT_MS;
      if (isFirst || isBeatDue || isTaking || this.#done > 0) await this.#step(lane, room, limit);
      if (this.#done > 0 || (this.#hasMore && this.#room() > 0)) continue;
      if (this.#known === 0) {
        if (this.#isRecovering) {
          this.#isRecovering = false;
          onSound();
          continue;
        }
        if (this.#isEnding) {
          // The server may have moved an item before it knew that nobody waits any more.
          await this.#step(lane, 0, limit);
          if (this.#known === 0) return;
          continue;
        }
        if (room > 0) this.#waitForItem();
      }
      if (this.#failure === undefined) await this.#pause(BEAT_MS);
    }
  }

  get #isEnding(): boolean {
    return this.#isStopping || this.#mustRenew || this.#options.attach.mode === 'adopt';
  }

  /** How many items may be taken now. */
  #room(): number {
    const { ingest } = this.#options;
    if (this.#isEnding || this.#isRecovering) return 0;
    if (ingest.isSaturated) {
      this.#watchSaturation();
      return 0;
    }
    if (this.#unfinishedBytes >= UNFINISHED_BYTES_MAX) return 0;
    return Math.min(TAKE_MAX, UNFINISHED_MAX - this.#known);
  }

  #watchSaturation(): void {
    if (this.#isSaturationWatched) return;
    this.#isSaturationWatched = true;
    this.#options.ingest.whenReady(() => {
      this.#isSaturationWatched = false;
      this.#wake?.();
    });
  }

  /** Removes what is stored, takes up to `takeMax`, publishes what is new. */
  async #step(lane: Lane, takeMax: number, limit: number): Promise<void> {
    const { scripts, from, counts, onRefused, clock } = this.#options;
    const done = this.#done;
    this.#lastStepMs = clock.monotonicMs();
    const known = this.#known - done;
    const step = { done, known, takeMax, bytesMax: TAKE_BYTES_MAX, epoch: this.#epoch };
    const result = await scripts.step(step, from);
    if (result === undefined) throw new RedisProblem('another process has taken this place over');
    this.#epoch = '';
    this.#forget(done);
    if (result.stored !== this.#stored) throw new RedisProblem('the server has lost writes: it counts differently');
    if (result.refused > 0) onRefused(result.refused, limit);
    let bytes = 0;
    for (const item of result.items) {
      lane.addData(item);
      this.#sizes.push(item.length);
      bytes += item.length;
    }
    this.#unfinishedBytes += bytes;
    this.#known += result.items.length;
    counts.taken += result.items.length;
    const isFull = result.items.length + result.refused >= takeMax || bytes >= TAKE_BYTES_MAX;
    this.#hasMore = takeMax > 0 && isFull;
  }

  #forget(count: number): void {
    this.#done -= count;
    this.#known -= count;
    this.#stored += count;
    for (let i = 0; i < count; i++) this.#unfinishedBytes -= this.#sizes[this.#nextSize++] ?? 0;
    if (this.#nextSize * 2 <= this.#sizes.length) return;
    this.#sizes = this.#sizes.slice(this.#nextSize);
    this.#nextSize = 0;
  }

  /** After a refusal: so that less has to be published again. */
  async #removeStored(): Promise<void> {
    if (this.#failure === undefined) return;
    const { scripts, from } = this.#options;
    const known = this.#known - this.#done;
    if (this.#done > 0) await scripts.step({ done: this.#done, known, takeMax: 0, bytesMax: 0, epoch: '' }, from);
    throw this.#failure;
  }

  /** Until something has happened, at most `ms`. */
  async #pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#options.clock.after(ms, resolve);
    this.#wake = resolve;
    await promise;
    this.#wake = undefined;
    timer.cancel();
  }

  /** The server moves the next item into the processing list, where the next step finds it. Wakes the loop; never rejects. */
  #waitForItem(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    void this.#awaitItem()
      .catch((thrown: unknown) => {
        if (!this.#isStopping) this.#failure ??= thrown;
      })
      .finally(() => {
        this.#isWaiting = false;
        this.#wake?.();
      });
  }

  async #awaitItem(): Promise<void> {
    const { list, from, scripts, openWaiting, clock } = this.#options;
    this.#waiting ??= await openWaiting();
    if (this.#isStopping) return this.#waiting.close();
    const end = from === 'left' ? 'LEFT' : 'RIGHT';
    const move = ['BLMOVE', list, scripts.processingKey, end, 'LEFT', String(WAIT_MS / 1000)];
    try {
      await this.#waiting.call(move, WAIT_MS);
    } catch (thrown) {
      if (!(thrown instanceof RedisProblem && thrown.code === 'OOM')) throw thrown;
      await new Promise<void>((resolve) => clock.after(REFUSED_WAIT_MS, resolve));
    }
  }
}
