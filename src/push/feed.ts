/**
 * One topic as this worker's sessions see it: follows all partitions, and sends each flush to the live subscriptions, however many.
 *
 * The feed's position is one cursor, common to all live subscriptions: a flush moves it first and is then sent. A subscription in its
 * hand-over is registered here from its beginning (`handingOver`), has a cursor of its own, and becomes live in the very step in which its
 * cursor equals the feed's: so it has everything up to there, and gets everything from there on.
 * What the feed cannot read any more (trimmed before it was read, another epoch) it tells with a gap message; a damaged log ends it and
 * its sessions with the error. Order: per partition by offset; between partitions none.
 */
import type { ChannelPolicy, PushEncoder } from '../core/contracts/push.ts';
import { asTandemError, type TandemError } from '../core/errors.ts';
import { type Cursor, encodeCursor, type Position } from '../core/position.ts';
import type { TandemRecord } from '../core/record.ts';
import { type Flush, GapFlush, RecordFlush } from './flush.ts';
import type { JoinedDelivery } from './joined-delivery.ts';
import { LiveGroup, type LiveMember, type StagingSession } from './live-group.ts';
import { PartitionReader } from './partition-reader.ts';
import type { PushContext } from './push-context.ts';
import { RecentFlushes } from './recent-flushes.ts';
import { retrying } from './retrying.ts';

export interface FeedMember extends LiveMember {
  readonly encoder: PushEncoder;
  /** The session ends with the error. */
  feedFailed(error: TandemError): void;
}

export interface HandingOver extends FeedMember {
  /** The feed has moved. */
  feedMoved(): void;
  /** The topic has a new partition, from which nothing was sent yet. */
  partitionAdded(partition: number, position: Position): void;
}

export interface FeedOwner {
  /** The feed has something to flush. */
  ready(feed: Feed): void;
  /** Nobody is subscribed any more. */
  left(feed: Feed): void;
  failed(feed: Feed): void;
}

export class Feed {
  readonly channel: string;
  readonly policy: ChannelPolicy;
  readonly recent = new RecentFlushes();
  isClosed = false;
  readonly #context: PushContext;
  readonly #owner: FeedOwner;
  readonly #readers: PartitionReader[] = [];
  readonly #groups = new Map<PushEncoder, LiveGroup>();
  readonly #handingOver = new Set<HandingOver>();
  /** Sent up to here. */
  #position: ReadonlyMap<number, Position> = new Map();
  #positionText: string | undefined;
  #growing: Promise<void> | undefined;

  constructor(context: PushContext, channel: string, owner: FeedOwner) {
    this.#context = context;
    this.channel = channel;
    this.policy = context.policyFor(channel);
    this.#owner = owner;
  }

  // -------------------------------------------------------------- where it stands

  get position(): Cursor {
    return this.#position;
  }

  get positionText(): string {
    this.#positionText ??= encodeCursor(this.#position);
    return this.#positionText;
  }

  get isUnused(): boolean {
    return this.#groups.size === 0 && this.#handingOver.size === 0;
  }

  /** Follows partitions 0 to `partitions` - 1, new ones from their beginning; `isFirst`: from their end. */
  async follow(partitions: number, isFirst: boolean = false): Promise<void> {
    while (this.#growing !== undefined) await this.#growing;
    this.#growing = this.#grow(partitions, isFirst).finally(() => {
      this.#growing = undefined;
    });
    await this.#growing;
  }

  async #grow(partitions: number, isFirst: boolean): Promise<void> {
    const { clock, store } = this.#context;
    const from = this.#readers.length;
    const places = Array.from({ length: Math.max(0, partitions - from) }, (_, i) => ({
      topic: this.channel,
      partition: from + i,
    }));
    const isWanted = (): boolean => !this.isClosed;
    const states = await Promise.all(places.map((place) => retrying(clock, isWanted, () => store.state(place))));
    if (this.isClosed) return;
    places.forEach((place, i) => {
      const { epoch, nextOffset } = states[i] as (typeof states)[number];
      // From 0 even if that is trimmed already: the reader finds out, and the sessions are told.
      this.#add(place, { epoch, offset: isFirst ? nextOffset : 0 });
    });
  }

  /** Looks at a partition anew, for a subscription that knows more of it. */
  wake(partition: number): void {
    this.#readers[partition]?.wake();
  }

  close(): void {
    this.isClosed = true;
    for (const reader of this.#readers) reader.close();
  }

  // -------------------------------------------------------------- members

  /** Registers a subscription that is not live yet. */
  register(member: HandingOver): void {
    this.#handingOver.add(member);
    this.#context.counters.replayingSubscriptions++;
  }

  /** From registered to live. The caller has just seen that the member's cursor equals `position`. */
  makeLive(member: HandingOver): void {
    this.#deregister(member);
    let group = this.#groups.get(member.encoder);
    if (group === undefined) {
      group = new LiveGroup(member.encoder);
      this.#groups.set(member.encoder, group);
    }
    group.add(member);
    this.#context.counters.liveSubscriptions++;
  }

  leave(member: HandingOver): void {
    if (this.#handingOver.has(member)) this.#deregister(member);
    else {
      const group = this.#groups.get(member.encoder);
      group?.remove(member);
      if (group?.size === 0) this.#groups.delete(member.encoder);
      this.#context.counters.liveSubscriptions--;
    }
    if (this.isUnused) this.#owner.left(this);
  }

  #deregister(member: HandingOver): void {
    this.#handingOver.delete(member);
    this.#context.counters.replayingSubscriptions--;
    if (this.#handingOver.size === 0) this.recent.clear();
  }

  // -------------------------------------------------------------- flushing

  /** What is due, with the position moved beyond it; undefined: nothing. Throws TANDEM_LOG_CORRUPT, the position unmoved. */
  takeFlush(): Flush | undefined {
    if (this.isClosed) return undefined;
    const before = this.#renewed();
    const after = new Map(before);
    const records: TandemRecord[] = [];
    for (const reader of this.#readers) {
      const { partition } = reader.place;
      if (reader.hasRecords) {
        reader.take(records);
        after.set(partition, reader.position);
      } else if (records.length === 0 && reader.jump !== undefined) return this.#takeJump(reader, before);
    }
    if (records.length === 0) return undefined;
    this.#moveTo(after);
    const flush = new RecordFlush(this.channel, before, records);
    if (this.#handingOver.size > 0) this.recent.add(flush);
    return flush;
  }

  /** Sends to every live session at once. */
  send(flush: Flush): void {
    for (const group of [...this.#groups.values()]) {
      this.#count(flush, group);
      group.send(flush.encodedBy(group.encoder), this.policy);
    }
  }

  /** Sends to sessions with this channel alone; the others are staged, to be written once for all their channels. */
  stage(flush: Flush, root: JoinedDelivery, staged: StagingSession[]): void {
    for (const group of [...this.#groups.values()]) {
      this.#count(flush, group);
      group.stage(flush.encodedBy(group.encoder), this.policy, root, staged);
    }
  }

  /** After the flush is sent: hand-overs go on, and so does reading. */
  flushed(): void {
    for (const member of [...this.#handingOver]) member.feedMoved();
    let isReady = false;
    for (const reader of this.#readers) {
      if (reader.hasRecords || reader.jump !== undefined) isReady = true;
      else reader.readOn();
    }
    if (isReady) this.#owner.ready(this);
  }

  /** Ends the feed and the sessions that follow it; `unsent`: a flush that was taken and did not reach all of them. */
  fail(thrown: unknown, unsent?: Flush): void {
    if (this.isClosed) return;
    if (unsent !== undefined) this.#moveTo(unsent.before);
    const error = asTandemError(thrown);
    const { logger } = this.#context;
    logger.error('push_feed_failed', { channel: this.channel, code: error.code, message: error.message });
    this.close();
    this.#owner.failed(this);
    const live = [...this.#groups.values()].flatMap((group) => group.members() as FeedMember[]);
    for (const member of [...this.#handingOver, ...live]) member.feedFailed(error);
  }

  #moveTo(position: Cursor): void {
    this.#position = position;
    this.#positionText = undefined;
  }

  /** The same places under the epochs that the readers have been told since: what lies before is the same in both. */
  #renewed(): Cursor {
    let renewed: Map<number, Position> | undefined;
    for (const { place, position } of this.#readers) {
      const { partition } = place;
      const own = this.#position.get(partition) as Position;
      if (own.epoch === position.epoch) continue;
      renewed ??= new Map(this.#position);
      renewed.set(partition, { epoch: position.epoch, offset: own.offset });
    }
    if (renewed !== undefined) {
      this.#moveTo(renewed);
      this.recent.clear();
    }
    return this.#position;
  }

  #count(flush: Flush, group: LiveGroup): void {
    this.#context.counters.liveDeliveries += flush.recordCount * group.size;
  }

  #takeJump(reader: PartitionReader, before: Cursor): Flush {
    const jump = reader.takeJump() as NonNullable<PartitionReader['jump']>;
    const { partition } = reader.place;
    this.#moveTo(new Map(before).set(partition, jump.to));
    this.recent.clear();
    this.#context.counters.lostPositions++;
    const { logger } = this.#context;
    logger.warn('push_feed_position_lost', { channel: this.channel, partition, missed: jump.missed });
    return new GapFlush(this.channel, before, this.#position, jump.missed);
  }

  #add(place: { readonly topic: string; readonly partition: number }, position: Position): void {
    this.#moveTo(new Map(this.#position).set(place.partition, position));
    const owner = { ready: () => this.#owner.ready(this), failed: (error: TandemError) => this.fail(error) };
    this.#readers.push(new PartitionReader(this.#context, place, position, owner));
    for (const member of this.#handingOver) member.partitionAdded(place.partition, position);
  }
}
