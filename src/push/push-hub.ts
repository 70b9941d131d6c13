/**
 * The push stage of one worker: sessions, feeds, and the flush that joins them.
 *
 * Feeds that have something are flushed together in the next check phase of the event loop: everything that became readable in a tick goes
 * out in one write per session, and a loop over many sessions gathers the next batch by itself. With one feed in a flush each session
 * gets the feed's shared bytes; with several, sessions with several channels get theirs joined (and shared, if their channels are the same).
 * A feed opens with its first subscription and closes some seconds after its last.
 */
import type { TopicCatalog } from '../core/contracts/engine.ts';
import type { ChannelPolicy, Push, SessionQueues, Transport } from '../core/contracts/push.ts';
import type { Logger, MetricSample, MetricSource } from '../core/contracts/telemetry.ts';
import { TandemError } from '../core/errors.ts';
import type { Limits } from '../core/limits.ts';
import type { Clock, Timer } from '../core/ports/clock.ts';
import { Feed, type FeedOwner } from './feed.ts';
import type { Flush } from './flush.ts';
import { JoinedDelivery } from './joined-delivery.ts';
import { type PushContext, PushCounters, type ReadableStore } from './push-context.ts';
import { samplesOf } from './push-metrics.ts';
import { ClientSession, type SessionOwner } from './push-session.ts';
import { ReplayTurns } from './replay-turns.ts';
import { retrying } from './retrying.ts';

export interface PushOptions {
  readonly topics: Pick<TopicCatalog, 'find'>;
  readonly store: ReadableStore;
  readonly limits: Pick<Limits, 'subscriptionsPerSessionMax'>;
  readonly policyFor: (channel: string) => ChannelPolicy;
  readonly queues: SessionQueues;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long a flush waits for more; 0: only for what is ready in the same tick. */
  readonly flushWindowMs?: number;
}

export interface PushHub extends Push, MetricSource {
  /** Ends all sessions with TANDEM_DRAINING and their positions, and all feeds. Idempotent. */
  close(): void;
}

/** A feed without subscriptions stays so long: clients that reconnect find it. */
const FEED_GRACE_MS = 5_000;
/** How soon new partitions of a topic are found. */
const REFRESH_MS = 3_000;

export function createPush(options: PushOptions): PushHub {
  return new Hub(options);
}

interface FeedFlush {
  readonly feed: Feed;
  readonly flush: Flush;
}

class Hub implements PushHub, FeedOwner, SessionOwner {
  readonly #context: PushContext;
  readonly #flushWindowMs: number;
  readonly #sessions = new Set<ClientSession>();
  readonly #feeds = new Map<string, Promise<Feed>>();
  #due: Feed[] = [];
  #refreshTimer: Timer | undefined;
  #isClosed = false;

  constructor({ flushWindowMs = 0, ...options }: PushOptions) {
    this.#flushWindowMs = flushWindowMs;
    this.#context = { ...options, turns: new ReplayTurns(options.clock), counters: new PushCounters() };
  }

  openSession(transport: Transport): ClientSession {
    const session = new ClientSession(this.#context, this, transport);
    this.#sessions.add(session);
    this.#context.counters.sessions++;
    if (this.#isClosed) session.end(new TandemError('TANDEM_DRAINING'));
    return session;
  }

  metrics(): MetricSample[] {
    return samplesOf(this.#context.counters);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const session of [...this.#sessions]) session.end(new TandemError('TANDEM_DRAINING'));
    this.#refreshTimer?.cancel();
    for (const feed of this.#feeds.values())
      feed.then(
        (open) => open.close(),
        () => {},
      );
    this.#feeds.clear();
  }

  // -------------------------------------------------------------- for sessions

  async openFeed(channel: string): Promise<Feed> {
    if (this.#isClosed) throw new TandemError('TANDEM_DRAINING');
    const { topics, clock } = this.#context;
    const info = await retrying(
      clock,
      () => !this.#isClosed,
      () => topics.find(channel),
    );
    if (info === undefined) throw new TandemError('TANDEM_TOPIC_UNKNOWN', { detail: channel });
    let opening = this.#feeds.get(channel);
    if (opening === undefined) {
      opening = this.#startFeed(channel, info.partitions);
      this.#feeds.set(channel, opening);
      opening.catch(() => this.#feeds.delete(channel));
    }
    const feed = await opening;
    if (feed.position.size < info.partitions) await feed.follow(info.partitions);
    return feed.isClosed ? this.openFeed(channel) : feed;
  }

  closed(session: ClientSession): void {
    if (this.#sessions.delete(session)) this.#context.counters.sessions--;
  }

  async #startFeed(channel: string, partitions: number): Promise<Feed> {
    const feed = new Feed(this.#context, channel, this);
    await feed.follow(partitions, true);
    this.#context.counters.feeds++;
    this.#scheduleRefresh();
    return feed;
  }

  // -------------------------------------------------------------- for feeds

  ready(feed: Feed): void {
    if (this.#due.includes(feed)) return;
    this.#due.push(feed);
    if (this.#due.length > 1) return;
    if (this.#flushWindowMs === 0) this.#context.clock.soon(() => this.#flush());
    else this.#context.clock.after(this.#flushWindowMs, () => this.#flush());
  }

  left(feed: Feed): void {
    this.#context.clock.after(FEED_GRACE_MS, () => {
      if (!feed.isUnused || feed.isClosed) return;
      feed.close();
      this.failed(feed);
    });
  }

  /** The feed is closed: the next subscription opens another. */
  failed(feed: Feed): void {
    this.#feeds.delete(feed.channel);
    this.#context.counters.feeds--;
  }

  #flush(): void {
    const due = this.#due;
    this.#due = [];
    const failures: (() => void)[] = [];
    const flushes: FeedFlush[] = [];
    for (const feed of due) this.#take(feed, flushes, failures);
    this.#send(flushes, failures);
    // Only now: a failing feed ends sessions, with the positions of their other channels, which must have been sent what they name.
    for (const fail of failures) fail();
    for (const feed of due) if (!feed.isClosed) feed.flushed();
  }

  #take(feed: Feed, flushes: FeedFlush[], failures: (() => void)[]): void {
    try {
      const flush = feed.takeFlush();
      if (flush === undefined) return;
      flushes.push({ feed, flush });
      this.#context.counters.flushes++;
      this.#context.counters.flushedRecords += flush.recordCount;
    } catch (error) {
      failures.push(() => feed.fail(error));
    }
  }

  /** What an encoder throws ends its feed, not the worker. */
  #send(flushes: readonly FeedFlush[], failures: (() => void)[]): void {
    const root = new JoinedDelivery();
    const staged: ClientSession[] = [];
    for (const { feed, flush } of flushes) {
      try {
        if (flushes.length === 1) feed.send(flush);
        else feed.stage(flush, root, staged);
      } catch (error) {
        failures.push(() => feed.fail(error, flush));
      }
    }
    for (const session of staged) session.sendStaged();
  }

  // -------------------------------------------------------------- new partitions

  #scheduleRefresh(): void {
    if (this.#refreshTimer !== undefined || this.#isClosed) return;
    this.#refreshTimer = this.#context.clock.after(REFRESH_MS, () => {
      this.#refresh().then(
        () => this.#refreshed(),
        (error: unknown) => {
          this.#context.logger.warn('push_refresh_failed', { message: String(error) });
          this.#refreshed();
        },
      );
    });
  }

  #refreshed(): void {
    this.#refreshTimer = undefined;
    if (this.#feeds.size > 0) this.#scheduleRefresh();
  }

  async #refresh(): Promise<void> {
    for (const opening of [...this.#feeds.values()]) {
      const feed = await opening.catch(() => undefined);
      if (feed === undefined || feed.isClosed || this.#isClosed) continue;
      const info = await this.#context.topics.find(feed.channel);
      if (info !== undefined && info.partitions > feed.position.size) await feed.follow(info.partitions);
    }
  }
}
