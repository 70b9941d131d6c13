/**
 * Follows the end of one partition for a feed: a wake-up, a bounded read, then nothing until the feed has taken what was read.
 * Where the epoch changed and nothing before the position with it, the position goes on under the new one.
 * A position that is lost under it (trimmed, another epoch) becomes a jump, which the feed tells everybody; what passes is retried; what does
 * not (a damaged log) fails the feed.
 */
import type { PartitionState, ReadResult } from '../core/contracts/engine.ts';
import { asTandemError, type TandemError } from '../core/errors.ts';
import { delay } from '../core/ports/clock.ts';
import { commonOffsetOf, type Position } from '../core/position.ts';
import type { TandemRecord, TopicPartition } from '../core/record.ts';
import type { StoredBatch } from '../core/record-set.ts';
import type { PushContext } from './push-context.ts';
import { takeRun } from './record-run.ts';
import { retrying } from './retrying.ts';

/** Of one partition in one flush. */
const FLUSH_BYTES = 256 * 1024;
const REREAD_MS = 20;

export interface Jump {
  readonly to: Position;
  /** Records that can no longer be read; null: not known. */
  readonly missed: number | null;
}

export interface ReaderOwner {
  /** The reader has records, a jump or another epoch. */
  ready(): void;
  failed(error: TandemError): void;
}

export class PartitionReader {
  readonly place: TopicPartition;
  /** Read and handed to the feed up to here. */
  position: Position;
  jump: Jump | undefined;
  readonly #context: PushContext;
  readonly #owner: ReaderOwner;
  readonly #stopWatch: () => void;
  #batches: readonly StoredBatch[] = [];
  #readOffset: number;
  #isReading = false;
  #isWoken = false;
  #isClosed = false;

  constructor(context: PushContext, place: TopicPartition, position: Position, owner: ReaderOwner) {
    this.#context = context;
    this.place = place;
    this.position = position;
    this.#readOffset = position.offset;
    this.#owner = owner;
    this.#stopWatch = context.store.watch(place, () => this.wake());
  }

  /** There may be more to read. */
  wake(): void {
    this.#isWoken = true;
    this.readOn();
  }

  get hasRecords(): boolean {
    return this.#readOffset > this.position.offset;
  }

  /** Appends what is due to `target`. */
  take(target: TandemRecord[]): void {
    const range = { fromOffset: this.position.offset, beforeOffset: this.#readOffset, bytesMax: FLUSH_BYTES };
    const offset = takeRun(this.#batches, range, target);
    this.position = { epoch: this.position.epoch, offset };
    if (!this.hasRecords) this.#batches = [];
  }

  takeJump(): Jump | undefined {
    const { jump } = this;
    if (jump === undefined) return undefined;
    this.position = jump.to;
    this.#readOffset = jump.to.offset;
    this.jump = undefined;
    this.#isWoken = true;
    return jump;
  }

  /** Reads if it was woken and the feed has taken everything. */
  readOn(): void {
    if (this.#isReading || this.#isClosed || !this.#isWoken || this.hasRecords || this.jump !== undefined) return;
    this.#isReading = true;
    this.#isWoken = false;
    this.#read().then(
      (isReady) => this.#finished(isReady),
      (error: unknown) => {
        if (!this.#isClosed) this.#owner.failed(asTandemError(error));
      },
    );
  }

  close(): void {
    this.#isClosed = true;
    this.#stopWatch();
  }

  #finished(isReady: boolean): void {
    this.#isReading = false;
    if (this.#isClosed) return;
    if (isReady) this.#owner.ready();
    else this.readOn();
  }

  async #read(): Promise<boolean> {
    const { clock, store } = this.#context;
    try {
      return this.#keep(
        await retrying(
          clock,
          () => !this.#isClosed,
          () => store.read(this.place, this.position, FLUSH_BYTES),
        ),
      );
    } catch (thrown) {
      const error = asTandemError(thrown);
      if (error.code !== 'TANDEM_POSITION_LOST' && error.code !== 'TANDEM_POSITION_AHEAD') throw error;
      const state = await retrying(
        clock,
        () => !this.#isClosed,
        () => store.state(this.place),
      );
      const jump = jumpTo(this.position, state, error);
      if (jump.missed !== 0) {
        this.jump = jump;
        return true;
      }
      // It can be read after all: the owner changed in between.
      await delay(clock, REREAD_MS);
      this.#isWoken = true;
      return false;
    }
  }

  #keep(result: ReadResult): boolean {
    const isRenewed = result.epoch !== this.position.epoch;
    if (isRenewed) this.position = { epoch: result.epoch, offset: this.position.offset };
    const last = result.batches.at(-1);
    if (last === undefined) return isRenewed;
    const end = last.firstOffset + last.set.count;
    this.#batches = result.batches;
    this.#readOffset = Math.max(end, this.position.offset);
    if (end < result.nextOffset) this.#isWoken = true;
    return this.hasRecords || isRenewed;
  }
}

/**
 * Where reading goes on when `from` is lost: at the oldest record that can be read, so that no readable one is missed, or where the two histories
 * part, if that is known; at the end if the position lay beyond it.
 */
export function jumpTo(from: Position, state: PartitionState, lost: TandemError): Jump {
  const { epoch, firstOffset, nextOffset } = state;
  if (epoch !== from.epoch)
    return { to: { epoch, offset: Math.max(firstOffset, commonOffsetOf(lost, epoch)) }, missed: null };
  if (from.offset < firstOffset) return { to: { epoch, offset: firstOffset }, missed: firstOffset - from.offset };
  if (from.offset > nextOffset) return { to: { epoch, offset: nextOffset }, missed: null };
  return { to: from, missed: 0 };
}
