/**
 * The push contract: how listeners hand sessions over and what push needs from their connections.
 * A channel is a topic's name; a subscription carries all its partitions.
 */
import type { TandemError } from '../errors.ts';
import type { TandemRecord } from '../record.ts';

/** Makes the bytes of one delivery. One instance per protocol, shared by all its sessions: results are cached by identity and reused. */
export interface PushEncoder {
  /** The whole message, framing included, in one contiguous buffer. `position()` is the cursor text after this record. */
  encode(channel: string, record: TandemRecord, position: () => string): Buffer;
}

/** The connection under a session. */
export interface Transport {
  readonly encoder: PushEncoder;
  /** Bytes accepted by `write` that the kernel has not taken yet. */
  readonly bufferedBytes: number;
  /** Whole messages, possibly many. Must be called at most once per session and flush. */
  write(bytes: Buffer): void;
  /** Calls once when `bufferedBytes` is 0 again. */
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
   * caller's. Errors: TANDEM_TOPIC_UNKNOWN, TANDEM_POSITION_MALFORMED, TANDEM_SUBSCRIPTIONS_LIMIT.
   */
  subscribe(channel: string, from: SubscribeFrom, answer: (answer: SubscribeAnswer) => void): Promise<void>;
  /** Errors: TANDEM_SUBSCRIPTION_UNKNOWN. */
  unsubscribe(channel: string): void;
  /** The connection is gone: drop everything. Idempotent. */
  close(): void;
}

export interface Push {
  openSession(transport: Transport): PushSession;
}
