/**
 * One client's subscriptions. Replays of its channels take turns, one chunk at a time, each only when the transport is empty, so that a slow
 * client holds one chunk, whatever it asked for.
 */
import type {
  PushEncoder,
  PushSession,
  SessionQueue,
  SubscribeAnswer,
  SubscribeFrom,
  Transport,
} from '../core/contracts/push.ts';
import { asTandemError, TandemError } from '../core/errors.ts';
import { decodeCursor } from '../core/position.ts';
import { findBeginning } from './beginning.ts';
import type { Feed } from './feed.ts';
import type { JoinedDelivery } from './joined-delivery.ts';
import type { PushContext } from './push-context.ts';
import { type SubscribingSession, Subscription } from './subscription.ts';

export interface SessionOwner {
  /** The feed of a channel, opened if need be. Errors: TANDEM_TOPIC_UNKNOWN and the store's. */
  openFeed(channel: string): Promise<Feed>;
  closed(session: ClientSession): void;
}

export class ClientSession implements PushSession, SubscribingSession {
  readonly queue: SessionQueue;
  staged: JoinedDelivery | undefined;
  readonly #context: PushContext;
  readonly #owner: SessionOwner;
  readonly #transport: Transport;
  readonly #subscriptions = new Map<string, Subscription>();
  /** Those that wait for their next chunk; undefined: no replay runs. */
  #replays: Subscription[] | undefined;
  #isClosed = false;

  constructor(context: PushContext, owner: SessionOwner, transport: Transport) {
    this.#context = context;
    this.#owner = owner;
    this.#transport = transport;
    this.queue = context.queues.open(transport, () => this.end(new TandemError('TANDEM_SESSION_SLOW')));
  }

  get encoder(): PushEncoder {
    return this.#transport.encoder;
  }

  get subscriptionCount(): number {
    return this.#subscriptions.size;
  }

  async subscribe(channel: string, from: SubscribeFrom, answer: (answer: SubscribeAnswer) => void): Promise<void> {
    const asked = typeof from === 'string' ? from : decodeCursor(from.position);
    if (this.#isClosed) throw endedEarly(channel);
    const countMax = this.#context.limits.subscriptionsPerSessionMax;
    if (this.#subscriptions.size >= countMax && !this.#subscriptions.has(channel))
      throw new TandemError('TANDEM_SUBSCRIPTIONS_LIMIT', { detail: `${countMax}` });
    this.#subscriptions.get(channel)?.close();
    const subscription = new Subscription(this.#context, this, channel);
    this.#subscriptions.set(channel, subscription);
    try {
      const feed = await this.#owner.openFeed(channel);
      if (subscription.isClosed) throw endedEarly(channel);
      subscription.attach(feed);
      const beginning = await findBeginning({
        context: this.#context,
        feed,
        asked,
        isWanted: () => !subscription.isClosed,
      });
      if (subscription.isClosed) throw endedEarly(channel);
      subscription.begin(feed, beginning, answer);
    } catch (thrown) {
      this.#remove(subscription);
      throw asTandemError(thrown);
    }
  }

  unsubscribe(channel: string): void {
    const subscription = this.#subscriptions.get(channel);
    if (subscription === undefined) throw new TandemError('TANDEM_SUBSCRIPTION_UNKNOWN', { detail: channel });
    this.#remove(subscription);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const subscription of this.#subscriptions.values()) subscription.close();
    this.#subscriptions.clear();
    this.staged = undefined;
    this.#replays = undefined;
    this.queue.close();
    this.#owner.closed(this);
  }

  /** Ends the connection with the error and the positions of everything that was handed out. */
  end(error: TandemError): void {
    if (this.#isClosed) return;
    const positions = this.#positions();
    this.#context.counters.endedSessions++;
    this.close();
    this.#transport.end(error, positions);
  }

  /** Gives the subscription its turn, after those that wait already. */
  replay(subscription: Subscription): void {
    if (this.#replays !== undefined) {
      this.#replays.push(subscription);
      return;
    }
    this.#replays = [subscription];
    this.#runReplays().catch((error: unknown) => this.end(asTandemError(error)));
  }

  /** Writes what the channels of one flush have for this session, in one piece. */
  sendStaged(): void {
    const { staged } = this;
    if (staged === undefined) return;
    if (this.queue.offer(staged.bytes)) {
      this.staged = undefined;
      return;
    }
    // If one of them ends the session, `#positions` sees that those after it have not been handed out.
    for (const { delivery, policy } of staged.parts()) if (!this.#isClosed) this.queue.add(delivery, policy);
    this.staged = undefined;
  }

  async #runReplays(): Promise<void> {
    while (this.#replays !== undefined) {
      const subscription = this.#replays.shift();
      if (subscription === undefined) break;
      if (!this.queue.isWritable) await new Promise<void>((resolve) => this.queue.whenWritable(resolve));
      if (await subscription.step()) this.#replays?.push(subscription);
    }
    this.#replays = undefined;
  }

  #positions(): Map<string, string> {
    const positions = new Map<string, string>();
    for (const [channel, subscription] of this.#subscriptions) {
      const position = this.queue.handedPosition(channel) ?? subscription.positionText;
      if (position !== undefined) positions.set(channel, position);
    }
    for (const { delivery } of this.staged?.parts() ?? []) {
      const { channel } = delivery;
      const isInQueue = this.queue.handedPosition(channel) !== undefined;
      if (!isInQueue && positions.has(channel)) positions.set(channel, delivery.positionAfter(-1));
    }
    return positions;
  }

  #remove(subscription: Subscription): void {
    subscription.close();
    if (this.#subscriptions.get(subscription.channel) === subscription)
      this.#subscriptions.delete(subscription.channel);
  }
}

const endedEarly = (channel: string): TandemError =>
  new TandemError('TANDEM_SUBSCRIPTION_UNKNOWN', { detail: `${channel} was ended before it began` });
