/** The records of one partition from a position on, one read ahead, waiting at the end for more. */
import type { ReadResult, RecordStore } from '../core/contracts/engine.ts';
import { asTandemError, type TandemError } from '../core/errors.ts';
import type { Position } from '../core/position.ts';
import type { TopicPartition } from '../core/record.ts';

/** One read: small enough that two of them per partition are cheap to hold, large enough that the cost of a read does not count. */
const READ_BYTES = 1024 * 1024;

/** A read as a value, so that one ahead of its use can fail without anybody looking. */
type ReadAnswer = { readonly result: ReadResult } | { readonly error: TandemError };

interface Ahead {
  readonly position: Position;
  readonly answer: Promise<ReadAnswer>;
}

export class PartitionSource {
  /** The partition's end as last seen; null: never seen. */
  nextOffset: number | null = null;
  readonly #store: RecordStore;
  readonly #place: TopicPartition;
  #isStopped = false;
  #ahead: Ahead | undefined;
  #unwatch: (() => void) | undefined;
  #isWoken = false;
  #wake: (() => void) | undefined;
  #endRead: (() => void) | undefined;

  constructor(store: RecordStore, place: TopicPartition) {
    this.#store = store;
    this.#place = place;
  }

  /** Resolves when there are records at `from`, or with undefined after `stop`. Errors: as `RecordStore.read`. */
  async next(from: Position): Promise<ReadResult | undefined> {
    this.#watch();
    while (!this.#isStopped) {
      const answer = await this.#unlessStopped(this.#take(from));
      if (answer === undefined) return undefined;
      if ('error' in answer) throw answer.error;
      this.nextOffset = answer.result.nextOffset;
      if (answer.result.batches.length > 0) return answer.result;
      await this.#woken();
    }
    return undefined;
  }

  /** Begins the read at `from` now; the next `next(from)` takes it. */
  readAhead(from: Position): void {
    if (!this.#isStopped) this.#ahead = { position: from, answer: this.#read(from) };
  }

  /** Ends `next`. Idempotent. */
  stop(): void {
    this.#isStopped = true;
    this.#unwatch?.();
    this.#endRead?.();
    this.#wake?.();
  }

  #take(from: Position): Promise<ReadAnswer> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    const fits = ahead?.position.offset === from.offset && ahead.position.epoch === from.epoch;
    return ahead !== undefined && fits ? ahead.answer : this.#read(from);
  }

  /** Not a race with one long-lived promise: that would keep every answer for as long as the source lives. */
  #unlessStopped(answer: Promise<ReadAnswer>): Promise<ReadAnswer | undefined> {
    return new Promise((resolve) => {
      this.#endRead = () => resolve(undefined);
      // Never rejects.
      void answer.then(resolve);
    });
  }

  async #read(from: Position): Promise<ReadAnswer> {
    // Cleared before the read: what is stored while it runs wakes again.
    this.#isWoken = false;
    try {
      return { result: await this.#store.read(this.#place, from, READ_BYTES) };
    } catch (thrown) {
      return { error: asTandemError(thrown) };
    }
  }

  #watch(): void {
    this.#unwatch ??= this.#store.watch(this.#place, () => {
      this.#isWoken = true;
      this.#wake?.();
    });
  }

  async #woken(): Promise<void> {
    if (this.#isWoken || this.#isStopped) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = undefined;
  }
}
