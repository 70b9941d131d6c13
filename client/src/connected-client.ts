/** The client: joins the connection, what is published and what is subscribed to. */

import { parseAddresses } from './addresses.ts';
import type {
  ClientOptions,
  ClientState,
  CloseOptions,
  PublishOptions,
  PublishReceipt,
  SubscribeOptions,
  Subscription,
  TandemClient,
} from './api.ts';
import { BackOff } from './back-off.ts';
import { ChannelSubscription, type SubscriptionOwner } from './channel-subscription.ts';
import { Connection, type ConnectionOwner } from './connection.ts';
import { clientError, type TandemClientError } from './errors.ts';
import { type Link, type LinkEnd, type RpcAnswer, TermGate } from './link.ts';
import { notify } from './notify.ts';
import { Publisher } from './publisher.ts';
import { requireWebSocket } from './socket.ts';

/** WebSocket close code: a message was larger than the node takes. */
const TOO_LARGE = 1009;

export class ConnectedClient implements TandemClient, ConnectionOwner, SubscriptionOwner {
  readonly #options: ClientOptions;
  readonly #terms = new TermGate();
  readonly #connection: Connection;
  readonly #publisher: Publisher;
  readonly #subscriptions = new Map<string, ChannelSubscription>();
  /** By the id of the `subscribe` under way. */
  readonly #asked = new Map<number, ChannelSubscription>();
  readonly #backOff = new BackOff();
  readonly #retries = new Set<ReturnType<typeof setTimeout>>();
  /** Why nothing can be asked of it any more. */
  #end: TandemClientError | undefined;
  #closing: Promise<void> | undefined;

  /** Errors: TANDEM_CLIENT_INVALID. */
  constructor(options: ClientOptions) {
    const { addresses, token, producer } = options;
    requireWebSocket();
    const timeoutMs = positive('timeoutMs', options.timeoutMs ?? 3000);
    this.#options = options;
    this.#publisher = new Publisher({
      producer,
      inFlightMax: positive('inFlightMax', options.inFlightMax ?? 1000),
      queueMax: positive('queueMax', options.queueMax ?? 10_000),
      queueBytesMax: positive('queueBytesMax', options.queueBytesMax ?? 64 * 1024 * 1024),
      deadlineMs: positive('deadlineMs', options.deadlineMs ?? 30_000),
      leave: (error) => this.#connection.leave(error),
    });
    this.#connection = new Connection(
      {
        addresses: parseAddresses(addresses),
        token,
        timeoutMs,
        unreachableMs: positive('unreachableMs', options.unreachableMs ?? Number.POSITIVE_INFINITY),
        terms: this.#terms,
      },
      this,
    );
    this.#connection.start();
  }

  get term(): number {
    return this.#terms.term;
  }

  get pending(): number {
    return this.#publisher.count;
  }

  publish(topic: string, data: string | Uint8Array, options: PublishOptions = {}): Promise<PublishReceipt> {
    if (this.#end !== undefined) return Promise.reject(this.#end);
    return this.#publisher.publish(topic, data, options);
  }

  flush(): Promise<void> {
    return this.#publisher.flushed();
  }

  subscribe(channel: string, options: SubscribeOptions = {}): Subscription {
    if (this.#end !== undefined) throw this.#end;
    if (this.#subscriptions.has(channel))
      throw clientError('TANDEM_CLIENT_INVALID', `there is a subscription to ${channel}; use another client`);
    const subscription = new ChannelSubscription(channel, options, this);
    this.#subscriptions.set(channel, subscription);
    this.ask(subscription);
    return subscription;
  }

  close(options: CloseOptions = {}): Promise<void> {
    this.#closing ??= this.#close(options);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close({ flush = true, timeoutMs = 5000 }: CloseOptions): Promise<void> {
    const isOver = this.#end !== undefined;
    this.#end ??= clientError('TANDEM_CLIENT_CLOSED');
    if (flush && !isOver) await within(timeoutMs, this.#publisher.flushed());
    this.#stop(this.#end, undefined);
    await this.#connection.close();
    if (!isOver) notify(this.#options.onState, { state: 'closed' });
  }

  #stop(error: TandemClientError, reason: TandemClientError | undefined): void {
    for (const timer of this.#retries) clearTimeout(timer);
    this.#publisher.end(error);
    for (const subscription of [...this.#subscriptions.values()]) {
      if (reason === undefined) subscription.close();
      else subscription.fail(reason);
    }
  }

  // -------------------------------------------------------------- for the connection

  stateChanged(state: ClientState): void {
    notify(this.#options.onState, state);
  }

  connected(link: Link): void {
    for (const subscription of this.#subscriptions.values()) this.ask(subscription);
    this.#publisher.connected(link);
  }

  answered(answer: RpcAnswer): void {
    if (this.#publisher.answered(answer)) return;
    const subscription = this.#asked.get(answer.id);
    if (subscription === undefined) return;
    this.#asked.delete(answer.id);
    const { error, result } = answer;
    if (error === undefined) {
      this.#backOff.reset();
      subscription.began(result as Parameters<ChannelSubscription['began']>[0]);
    } else if (error.retryable) this.#askLater(subscription);
    else subscription.fail(error);
  }

  notified(method: string, params: unknown): void {
    const { channel } = params as { readonly channel: string };
    if (method === 'record')
      this.#subscriptions.get(channel)?.record(params as Parameters<ChannelSubscription['record']>[0]);
    else if (method === 'gap')
      this.#subscriptions.get(channel)?.gap(params as Parameters<ChannelSubscription['gap']>[0]);
  }

  disconnected({ closeCode, error, positions }: LinkEnd): void {
    this.#asked.clear();
    for (const timer of this.#retries) clearTimeout(timer);
    this.#retries.clear();
    this.#publisher.disconnected(closeCode === TOO_LARGE, error);
    for (const subscription of [...this.#subscriptions.values()])
      subscription.interrupted(error, positions[subscription.channel]);
  }

  failed(error: TandemClientError): void {
    this.#end = error;
    this.#stop(error, error);
    notify(this.#options.onState, { state: 'closed', error });
  }

  // -------------------------------------------------------------- for subscriptions

  ask(subscription: ChannelSubscription): void {
    const { link } = this.#connection;
    const { request } = subscription;
    if (link !== undefined && request !== undefined) this.#asked.set(link.request('subscribe', request), subscription);
  }

  unsubscribe({ channel }: ChannelSubscription): void {
    this.#connection.link?.request('unsubscribe', JSON.stringify({ channel }));
  }

  ended(subscription: ChannelSubscription): void {
    if (this.#subscriptions.get(subscription.channel) !== subscription) return;
    this.#subscriptions.delete(subscription.channel);
    this.unsubscribe(subscription);
  }

  #askLater(subscription: ChannelSubscription): void {
    const timer = setTimeout(() => {
      this.#retries.delete(timer);
      this.ask(subscription);
    }, this.#backOff.next());
    this.#retries.add(timer);
  }
}

function positive(name: string, value: number): number {
  if (!(value > 0)) throw clientError('TANDEM_CLIENT_INVALID', `${name} must be above 0`);
  return value;
}

/** Resolves with the promise, or after `timeoutMs`. */
async function within(timeoutMs: number, promise: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([promise, late]);
  clearTimeout(timer);
}
