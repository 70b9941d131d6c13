/**
 * One channel of one session: from its beginning through the hand-over to live.
 *
 *   opening    registered with the feed; where it begins is being found out
 *   replaying  has its own cursor; gets the records between the cursor and the feed, chunk by chunk, as its transport takes them
 *   ahead      begins after what the feed has sent so far; goes on when the feed moves
 *   live       has no cursor; the feed's position is its own
 *
 * A chunk never goes beyond the feed's position, and the switch to live is made in the same step in which the cursors are found equal: no
 * gap, no record twice. Memory: one chunk, and what was read for it while the transport keeps up.
 */
import type { PushEncoder, SessionQueue, SubscribeAnswer } from '../core/contracts/push.ts';
import { asTandemError, type TandemError } from '../core/errors.ts';
import { encodeCursor, type Position } from '../core/position.ts';
import type { TandemRecord } from '../core/record.ts';
import type { StoredBatch } from '../core/record-set.ts';
import type { Beginning } from './beginning.ts';
import type { Feed, HandingOver } from './feed.ts';
import type { StagingSession } from './live-group.ts';
import { jumpTo } from './partition-reader.ts';
import type { PushContext } from './push-context.ts';
import { takeRun } from './record-run.ts';
import { retrying } from './retrying.ts';

/** Read at once, and about as much encoded: what one step of a replay costs. */
const REPLAY_CHUNK_BYTES: number = 64 * 1024;

/** What a subscription needs from its session. */
export interface SubscribingSession extends StagingSession {
  readonly encoder: PushEncoder;
  readonly queue: SessionQueue;
  /** Calls `step` of the subscription when the transport takes more. */
  replay(subscription: Subscription): void;
  end(error: TandemError): void;
}

export class Subscription implements HandingOver {
  readonly channel: string;
  readonly session: SubscribingSession;
  readonly queue: SessionQueue;
  groupIndex = -1;
  isClosed = false;
  readonly #context: PushContext;
  #feed: Feed | undefined;
  #state: 'opening' | 'replaying' | 'ahead' | 'live' = 'opening';
  #cursor: Map<number, Position> | undefined;
  /** Read ahead of the cursor, by partition; given up when the transport is backed up. */
  #inHand: Map<number, readonly StoredBatch[]> | undefined;
  /** By partition, the epoch in which the feed was found while the store was in the cursor's. */
  #staleFeed: Map<number, string> | undefined;
  /** The next step is not the first in a row: it waits for its turn even if it need not read. */
  #isContinued = false;
  /** Where the search for a partition to read begins: partitions take turns. */
  #turn = 0;

  constructor(context: PushContext, session: SubscribingSession, channel: string) {
    this.#context = context;
    this.session = session;
    this.queue = session.queue;
    this.channel = channel;
  }

  get encoder(): PushEncoder {
    return this.session.encoder;
  }

  /** Where a client that has all that was handed out resumes; undefined: it has not begun. */
  get positionText(): string | undefined {
    if (this.#state === 'live') return this.#feed?.positionText;
    return this.#cursor === undefined || this.#state === 'opening' ? undefined : encodeCursor(this.#cursor);
  }

  /** Registers with the feed, before anything is known of where to begin. */
  attach(feed: Feed): void {
    this.#feed = feed;
    feed.register(this);
  }

  /** Begins: answers, then delivers. */
  begin(feed: Feed, beginning: Beginning, answer: (answer: SubscribeAnswer) => void): void {
    const cursor = beginning.cursor;
    // Partitions that came while the beginning was looked for were noted by `partitionAdded`.
    for (const [partition, position] of this.#cursor ?? []) if (!cursor.has(partition)) cursor.set(partition, position);
    for (const [partition, position] of feed.position) if (!cursor.has(partition)) cursor.set(partition, position);
    this.#cursor = cursor;
    this.#inHand = beginning.inHand;
    answer({ channel: this.channel, position: encodeCursor(cursor), isComplete: beginning.isComplete });
    if (this.isClosed) return;
    this.#state = 'replaying';
    if (this.#isEqual(feed)) this.#goLive(feed);
    else this.session.replay(this);
  }

  /** Delivers one chunk. True: there is more. Only after the transport was found writable. */
  async step(): Promise<boolean> {
    const feed = this.#feed;
    if (feed === undefined || this.isClosed || this.#state !== 'replaying') return false;
    const partition = this.#partitionToRead(feed);
    if (partition !== undefined) {
      this.#turn = partition + 1;
      await this.#read(partition);
    } else if (this.#isContinued) await this.#context.turns.run(async () => {});
    if (this.isClosed) return false;
    this.#deliver(feed);
    if (this.isClosed) return false;
    if (this.#isEqual(feed)) this.#goLive(feed);
    else if (this.#isBehind(feed) || this.#partitionToRead(feed) !== undefined) this.#isContinued = true;
    else this.#state = 'ahead';
    return this.#state === 'replaying';
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#inHand = undefined;
    this.queue.forget(this.channel);
    this.#feed?.leave(this);
  }

  // -------------------------------------------------------------- the feed's news

  feedMoved(): void {
    if (this.#state !== 'ahead' || this.isClosed) return;
    this.#state = 'replaying';
    this.#isContinued = false;
    this.session.replay(this);
  }

  feedFailed(error: TandemError): void {
    if (!this.isClosed) this.session.end(error);
  }

  partitionAdded(partition: number, position: Position): void {
    this.#cursor ??= new Map();
    this.#cursor.set(partition, position);
  }

  // -------------------------------------------------------------- the replay

  #goLive(feed: Feed): void {
    this.#state = 'live';
    this.#cursor = undefined;
    this.#inHand = undefined;
    feed.makeLive(this);
  }

  #isEqual(feed: Feed): boolean {
    for (const [partition, { epoch, offset }] of feed.position) {
      const own = this.#cursor?.get(partition);
      if (own === undefined || own.epoch !== epoch || own.offset !== offset) return false;
    }
    return true;
  }

  /** There is something between the cursor and the feed. In another epoch than the feed, the feed has to move first. */
  #isBehind(feed: Feed): boolean {
    for (const [partition, { epoch, offset }] of feed.position) {
      const own = this.#cursor?.get(partition);
      if (own !== undefined && own.epoch === epoch && own.offset < offset) return true;
    }
    return false;
  }

  /** The next partition whose records must come from the store. */
  #partitionToRead(feed: Feed): number | undefined {
    const count = feed.position.size;
    for (let i = 0; i < count; i++) {
      const partition = (this.#turn + i) % count;
      const own = this.#cursor?.get(partition);
      const target = feed.position.get(partition);
      if (own !== undefined && target !== undefined && this.#mustRead(feed, partition, own, target)) return partition;
    }
    return undefined;
  }

  #mustRead(feed: Feed, partition: number, own: Position, target: Position): boolean {
    // Under different epochs either the cursor or the feed is stale: only the store knows, whatever is in hand.
    if (own.epoch !== target.epoch) return this.#staleFeed?.get(partition) !== target.epoch;
    return own.offset < target.offset && !this.#hasInHand(partition, own) && !feed.recent.covers(partition, own);
  }

  #hasInHand(partition: number, own: Position): boolean {
    const last = this.#inHand?.get(partition)?.at(-1);
    return last !== undefined && last.firstOffset + last.set.count > own.offset;
  }

  async #read(partition: number): Promise<void> {
    const { clock, store, turns } = this.#context;
    const isWanted = (): boolean => !this.isClosed;
    const place = { topic: this.channel, partition };
    const from = this.#cursor?.get(partition);
    if (this.isClosed || from === undefined) return;
    // Taken before the read: a feed that moves to yet another epoch during it is not the stale one.
    const feedEpoch = this.#feed?.position.get(partition)?.epoch;
    try {
      const { batches, epoch } = await retrying(clock, isWanted, () =>
        turns.run(() => store.read(place, from, REPLAY_CHUNK_BYTES)),
      );
      if (this.isClosed) return;
      // The epoch has changed, and nothing before the cursor with it.
      if (epoch !== from.epoch) this.#cursor?.set(partition, { epoch, offset: from.offset });
      this.#inHand ??= new Map();
      this.#inHand.set(partition, batches);
      if (feedEpoch === undefined || feedEpoch === epoch) return;
      this.#staleFeed ??= new Map();
      this.#staleFeed.set(partition, feedEpoch);
      this.#feed?.wake(partition);
    } catch (thrown) {
      const error = asTandemError(thrown);
      if (error.code !== 'TANDEM_POSITION_LOST' && error.code !== 'TANDEM_POSITION_AHEAD') throw error;
      const state = await retrying(clock, isWanted, () => store.state(place));
      const { to, missed } = jumpTo(from, state, error);
      if (!this.isClosed && missed !== 0) this.#tellLost(partition, to, missed);
    }
  }

  /** The history under the replay is gone: says so and goes on where it can be read. */
  #tellLost(partition: number, to: Position, missed: number | null): void {
    this.#context.counters.lostPositions++;
    const cursor = this.#cursor as Map<number, Position>;
    cursor.set(partition, to);
    this.#inHand?.delete(partition);
    this.#feed?.wake(partition);
    const gap = { position: encodeCursor(cursor), missed, reason: 'lost' } as const;
    this.queue.write(this.encoder.encodeGap(this.channel, gap));
  }

  #deliver(feed: Feed): void {
    const cursor = this.#cursor as Map<number, Position>;
    const position = (): string => encodeCursor(cursor);
    const messages: Buffer[] = [];
    let bytes = 0;
    let failure: TandemError | undefined;
    const deliver = (record: TandemRecord): boolean => {
      const { partition, offset } = record;
      const own = cursor.get(partition);
      if (own === undefined || own.offset !== offset) return true;
      cursor.set(partition, { epoch: own.epoch, offset: offset + 1 });
      try {
        const message = this.encoder.encode(this.channel, record, position);
        messages.push(message);
        bytes += message.length;
      } catch (thrown) {
        // The cursor never passes what was not handed out.
        cursor.set(partition, own);
        failure = asTandemError(thrown);
      }
      return failure === undefined && bytes < REPLAY_CHUNK_BYTES;
    };
    this.#visit(feed, deliver);
    if (messages.length > 0) {
      this.#context.counters.replayedRecords += messages.length;
      this.queue.write(messages.length === 1 ? (messages[0] as Buffer) : Buffer.concat(messages));
      if (!this.queue.isWritable) this.#inHand = undefined;
    }
    if (failure !== undefined) throw failure;
  }

  /** Everything at hand between the cursor and the feed, until `visit` returns false. */
  #visit(feed: Feed, visit: (record: TandemRecord) => boolean): void {
    const cursor = this.#cursor as Map<number, Position>;
    for (const [partition, batches] of this.#inHand ?? []) {
      const own = cursor.get(partition);
      const target = feed.position.get(partition);
      if (own === undefined || target === undefined || own.epoch !== target.epoch || own.offset >= target.offset)
        continue;
      const records: TandemRecord[] = [];
      const range = { fromOffset: own.offset, beforeOffset: target.offset, bytesMax: REPLAY_CHUNK_BYTES };
      takeRun(batches, range, records);
      for (const record of records) if (!visit(record)) return;
    }
    const covered = new Set<number>();
    for (const [partition, own] of cursor) if (feed.recent.covers(partition, own)) covered.add(partition);
    if (covered.size > 0) feed.recent.visit((record) => !covered.has(record.partition) || visit(record));
  }
}
