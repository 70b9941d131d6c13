/**
 * The push contract: how listeners hand sessions over and what push needs from their connections.
 * A channel is a topic's name; a subscription carries all its partitions.
 */
import type { TandemError } from '../errors.ts';
import type { TandemRecord } from '../record.ts';

/** Makes the bytes of one delivery. One instance per protocol, shared by all its sessions: results are cached by identity and reused. */
export interface PushEncoder {
  /**
   * The whole message, framing included, in one contiguous buffer. `position()` is the cursor text after this record; call it at once or not
   * at all.
   */
  encode(channel: string, record: TandemRecord, position: () => string): Buffer;
  /** A message that tells the client that records of the channel are missed; without it the gap would be silent. */
  encodeGap(channel: string, gap: PushGap): Buffer;
}

export interface PushGap {
  /** Deliveries go on from here; what lies before it and was not delivered is missed. */
  readonly position: string;
  /** Records missed; null: not known. */
  readonly missed: number | null;
  /** `slow`: dropped for a slow client (policy `drop-oldest`). `lost`: trimmed, or another epoch began. */
  readonly reason: 'slow' | 'lost';
}

/** The connection under a session. */
export interface Transport {
  readonly encoder: PushEncoder;
  /** Bytes accepted by `write` that the kernel has not taken yet. */
  readonly bufferedBytes: number;
  /** Whole messages, possibly many; at most one call per session and flush. The bytes are shared: not to be changed. Must not throw. */
  write(bytes: Buffer): void;
  /** Calls once when `bufferedBytes` is 0 again. Asked only while it is not, and not again before the call. */
  whenDrained(callback: () => void): void;
  /** Ends the connection and tells the client why and from where to resume (channel -> position). Idempotent. */
  end(error: TandemError, positions: ReadonlyMap<string, string>): void;
}

/** `now`: only what is stored from here on. `start`: from the oldest record. Otherwise a position that a client got earlier. */
export type SubscribeFrom = 'now' | 'start' | { readonly position: string };

export interface SubscribeAnswer {
  readonly channel: string;
  /** Where deliveries begin. */
  readonly position: string;
  /** False: the asked position is lost (other epoch, trimmed); deliveries begin at `position` and what lies between is missed. */
  readonly isComplete: boolean;
}

export interface PushSession {
  /**
   * `answer` is called exactly once, before the first delivery of this subscription. Resubscribing a channel replaces it. Right checks are the
   * caller's. Errors, without an answer then: TANDEM_TOPIC_UNKNOWN, TANDEM_POSITION_MALFORMED, TANDEM_SUBSCRIPTIONS_LIMIT, TANDEM_DRAINING,
   * TANDEM_SUBSCRIPTION_UNKNOWN (replaced, unsubscribed or closed before it began), and what the store cannot recover from.
   */
  subscribe(channel: string, from: SubscribeFrom, answer: (answer: SubscribeAnswer) => void): Promise<void>;
  /** Errors: TANDEM_SUBSCRIPTION_UNKNOWN. */
  unsubscribe(channel: string): void;
  /** Ends the transport with `error` and the position of every subscription, then closes. For a listener that drains. Idempotent. */
  end(error: TandemError): void;
  /** The connection is gone: drop everything. Idempotent. */
  close(): void;
}

export interface Push {
  openSession(transport: Transport): PushSession;
}

// ---------------------------------------------------------------- between push and the queue of a session

/**
 * What happens when a session cannot take what its channel sends. `disconnect`: ends with TANDEM_SESSION_SLOW and the positions to resume
 * from. `drop-oldest`: forgets the oldest waiting records and says so (`encodeGap`). `latest-per-key`: keeps only the newest waiting record of
 * each key, in order of the latest update (records without a key all stay); disconnects if even those are too many.
 */
export type SlowClientPolicy = 'disconnect' | 'drop-oldest' | 'latest-per-key';

export interface ChannelPolicy {
  readonly policy: SlowClientPolicy;
  /** Bytes of the channel that may wait for one session. In its transport is at most one flush (and one chunk of a replay) besides. */
  readonly queueBytesMax: number;
}

/** Consecutive messages of one channel, encoded once and shared by all sessions of an encoder. Never changes. */
export interface Delivery {
  readonly channel: string;
  readonly count: number;
  /** What the client misses if a message is dropped: 1 record; of a gap message, the records that it tells of; null: not known. */
  readonly recordsPerMessage: number | null;
  /** All messages in one piece. */
  readonly bytes: Buffer;
  /** Where message `index` ends in `bytes`; 0 for -1. */
  endOf(index: number): number;
  /** The key of the record of message `index`. */
  keyOf(index: number): string | undefined;
  /** The cursor text after message `index`; -1: before the first. */
  positionAfter(index: number): string;
}

/** The bounded way out of one session. */
export interface SessionQueue {
  /** Writes at once and returns true, unless the transport is backed up or something waits: then nothing happens. */
  offer(bytes: Buffer): boolean;
  /** Lets a delivery wait, within the policy. */
  add(delivery: Delivery, policy: ChannelPolicy): void;
  /** The transport takes more, whatever waits here. For replays, which wait for it between chunks. */
  readonly isWritable: boolean;
  /** Calls once: with room in the transport for one more chunk (`write` it, at the latest when it is read), or after `close`. One at a time. */
  whenWritable(callback: () => void): void;
  /** Writes one chunk of a replay. */
  write(bytes: Buffer): void;
  /** If records of the channel wait: the cursor text after the last that was handed to the transport. */
  handedPosition(channel: string): string | undefined;
  /** Forgets what waits for the channel. */
  forget(channel: string): void;
  /** Bytes that wait here, without the transport's. */
  readonly waitingBytes: number;
  close(): void;
}

export interface SessionQueues {
  /** `onSlow` is called at most once, when the policy is to disconnect; the queue closes when it returns. */
  open(transport: Transport, onSlow: () => void): SessionQueue;
}
