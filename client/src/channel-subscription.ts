/**
 * One channel, followed over as many links as it takes.
 *
 *   asking   a `subscribe` is under way, or there is no link: what comes for the channel belongs to an earlier request and is dropped
 *   live     records come
 *   resting  the reader is behind by BUFFER_MAX records: unsubscribed, to ask again from there when it has caught up. A WebSocket of a browser
 *            cannot be left unread, so this is the only bound on memory
 *   ended    closed by its user, or by an error that will not pass
 *
 * Delivered is each record once and in order per partition: a repeat (by partition and offset) is dropped, and what is missing is told as a gap,
 * in its place between the records. Who has no `onGap` is ended by a gap, since going on would hide it.
 */
import type { Gap, ReceivedRecord, SubscribeOptions, Subscription } from './api.ts';
import { clientError, TandemClientError } from './errors.ts';
import { notify } from './notify.ts';
import { fromBase64 } from './payload.ts';

/** What a subscription needs from its client. */
export interface SubscriptionOwner {
  /** Sends `subscribe` if there is a link. */
  ask(subscription: ChannelSubscription): void;
  unsubscribe(subscription: ChannelSubscription): void;
  ended(subscription: ChannelSubscription): void;
}

interface RecordParams {
  readonly term: number;
  readonly channel: string;
  readonly position: string;
  readonly partition: number;
  readonly offset: number;
  readonly time: number;
  readonly key?: string;
  readonly headers?: { readonly [name: string]: string };
  readonly data?: string;
  readonly base64?: string;
}

type Item =
  | { readonly record: ReceivedRecord; readonly gap?: undefined }
  | { readonly gap: Gap; readonly record?: undefined };

const BUFFER_MAX = 1024;

export class ChannelSubscription implements Subscription {
  readonly channel: string;
  readonly closed: Promise<void>;
  readonly #owner: SubscriptionOwner;
  readonly #options: SubscribeOptions;
  readonly #settleClosed: PromiseWithResolvers<void> = Promise.withResolvers();
  #state: 'asking' | 'live' | 'resting' | 'ended' = 'asking';
  /** From where the next `subscribe` asks. */
  #from: string;
  #hasBegun = false;
  /** After the last record that was handed out. */
  #handedPosition: string | undefined;
  readonly #nextOffsets = new Map<number, number>();
  #buffer: Item[] = [];
  #isPumping = false;
  #wakeReader: (() => void) | undefined;

  constructor(channel: string, options: SubscribeOptions, owner: SubscriptionOwner) {
    this.channel = channel;
    this.closed = this.#settleClosed.promise;
    // Who does not look at it must not be told as an unhandled rejection.
    this.closed.catch(() => {});
    this.#owner = owner;
    this.#options = options;
    this.#from = options.from ?? 'now';
  }

  get position(): string | undefined {
    return this.#handedPosition;
  }

  close(): void {
    this.#end(undefined);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ReceivedRecord, void, undefined> {
    if (this.#options.onRecord !== undefined)
      throw clientError('TANDEM_CLIENT_INVALID', 'a subscription has onRecord or a loop, not both');
    try {
      for (;;) {
        const item = this.#buffer.shift();
        if (item?.record !== undefined) {
          yield item.record;
          this.#handedPosition = item.record.position;
        } else if (item !== undefined) await this.#hear(item.gap);
        else if (this.#state === 'ended') break;
        else await this.#more();
        this.#wakeUp();
      }
      await this.closed;
    } catch (thrown) {
      this.#end(asClientError(thrown));
      throw thrown;
    } finally {
      this.close();
    }
  }

  // -------------------------------------------------------------- for the client

  /** The parameters of `subscribe`; undefined: it does not want to be asked for now. */
  get request(): string | undefined {
    if (this.#state !== 'asking') return undefined;
    return JSON.stringify({ channel: this.channel, from: this.#from });
  }

  began({ position, isComplete }: { readonly position: string; readonly isComplete: boolean }): void {
    if (this.#state !== 'asking') return;
    const isResumed = this.#hasBegun;
    this.#hasBegun = true;
    this.#state = 'live';
    this.#from = position;
    this.#handedPosition ??= position;
    if (!isComplete) {
      this.#nextOffsets.clear();
      this.#take({ gap: { channel: this.channel, position, missed: null, reason: 'lost' } });
    }
    notify(this.#options.onState, { state: 'live', position, isResumed });
  }

  record(params: RecordParams): void {
    if (this.#state !== 'live') return;
    const { partition, offset, position } = params;
    const wanted = this.#nextOffsets.get(partition);
    if (wanted !== undefined && offset < wanted) return;
    this.#nextOffsets.set(partition, offset + 1);
    this.#from = position;
    if (wanted !== undefined && offset > wanted)
      this.#take({ gap: { channel: this.channel, position, missed: offset - wanted, reason: 'skipped' } });
    this.#take({ record: received(params) });
  }

  gap({ position, missed, reason }: Gap): void {
    if (this.#state !== 'live') return;
    this.#from = position;
    this.#nextOffsets.clear();
    this.#take({ gap: { channel: this.channel, position, missed, reason } });
  }

  /** `position`: where the node said that it has stopped. */
  interrupted(error: TandemClientError, position: string | undefined): void {
    if (this.#state !== 'live') return;
    if (position !== undefined) this.#from = position;
    this.#state = 'asking';
    notify(this.#options.onState, { state: 'interrupted', error });
  }

  fail(error: TandemClientError): void {
    this.#end(error);
  }

  // -------------------------------------------------------------- inside

  #take(item: Item): void {
    if (this.#state === 'ended') return;
    if (this.#buffer.length > 0 || this.#isPumping || !this.#handOut(item)) {
      this.#buffer.push(item);
      this.#wakeReader?.();
      if (this.#buffer.length >= BUFFER_MAX && this.#state === 'live') {
        this.#state = 'resting';
        this.#owner.unsubscribe(this);
      }
    }
  }

  /** At once, without a promise where nobody needs one; false: the item has to wait. */
  #handOut(item: Item): boolean {
    const { onRecord } = this.#options;
    if (onRecord === undefined) return false;
    try {
      const pending = item.record === undefined ? this.#hear(item.gap) : onRecord(item.record);
      if (isPromise(pending)) void this.#pump(pending, item);
      else this.#handed(item);
    } catch (thrown) {
      this.#end(asClientError(thrown));
    }
    return true;
  }

  /** Waits for what was handed out, then hands out what has come meanwhile. */
  async #pump(pending: PromiseLike<unknown>, first: Item): Promise<void> {
    this.#isPumping = true;
    try {
      await pending;
      this.#handed(first);
      for (let item = this.#buffer.shift(); item !== undefined && this.#isOpen; item = this.#buffer.shift()) {
        const next = item.record === undefined ? this.#hear(item.gap) : this.#options.onRecord?.(item.record);
        if (isPromise(next)) await next;
        this.#handed(item);
        this.#wakeUp();
      }
    } catch (thrown) {
      this.#end(asClientError(thrown));
    }
    this.#isPumping = false;
  }

  get #isOpen(): boolean {
    return this.#state !== 'ended';
  }

  #handed({ record, gap }: Item): void {
    this.#handedPosition = record === undefined ? gap.position : record.position;
  }

  /** Errors: TANDEM_POSITION_LOST if nobody listens. */
  #hear(gap: Gap): unknown {
    const { onGap } = this.#options;
    if (onGap !== undefined) return onGap(gap);
    const many = gap.missed === null ? 'records' : `${gap.missed} records`;
    throw new TandemClientError(
      'TANDEM_POSITION_LOST',
      `${many} of ${this.channel} before ${gap.position} were missed (${gap.reason})`,
      { hint: 'Give onGap, and go on from the position of the gap if that is what you want.', data: { ...gap } },
    );
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wakeReader = () => {
        this.#wakeReader = undefined;
        resolve();
      };
    });
  }

  #wakeUp(): void {
    if (this.#state !== 'resting' || this.#buffer.length > BUFFER_MAX / 2) return;
    this.#state = 'asking';
    this.#owner.ask(this);
  }

  #end(error: TandemClientError | undefined): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    if (error === undefined) this.#buffer = [];
    if (error === undefined) this.#settleClosed.resolve();
    else this.#settleClosed.reject(error);
    this.#wakeReader?.();
    this.#owner.ended(this);
    notify(this.#options.onState, error === undefined ? { state: 'ended' } : { state: 'ended', error });
  }
}

function received(params: RecordParams): ReceivedRecord {
  const { channel, partition, offset, time, key, headers, data, base64 = '', position, term } = params;
  const payload = data ?? fromBase64(base64);
  return { channel, partition, offset, timeMs: time, key, headers, data: payload, position, term };
}

const isPromise = (value: unknown): value is PromiseLike<unknown> =>
  typeof (value as PromiseLike<unknown> | undefined)?.then === 'function';

/** What the user's functions throw stays what it is, as the cause. */
function asClientError(thrown: unknown): TandemClientError {
  if (thrown instanceof TandemClientError) return thrown;
  const error = new TandemClientError('TANDEM_CLIENT_INVALID', `onRecord or onGap failed: ${String(thrown)}`);
  error.cause = thrown;
  return error;
}
