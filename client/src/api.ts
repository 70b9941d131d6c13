/** What a program sees of the client: types only. */
import type { TandemClientError } from './errors.ts';

// ---------------------------------------------------------------- client

export interface ClientOptions {
  /** Of all nodes: `ws://host:9500` (or wss, http, https), in a list or separated by commas. */
  readonly addresses: string | readonly string[];
  readonly token?: string | undefined;
  /** A name of your own for the server's producer ids (`<producer>.<random>`; with sequences of your own, exactly it). `client` */
  readonly producer?: string | undefined;
  readonly onState?: ((state: ClientState) => void) | undefined;
  /** Records of a topic that are sent and not acknowledged yet; the next ones wait. 1000 */
  readonly inFlightMax?: number | undefined;
  /** Records that wait to be acknowledged, sent or not; above it `publish` rejects. 10000 */
  readonly queueMax?: number | undefined;
  /** The same in bytes, about. 64 MiB */
  readonly queueBytesMax?: number | undefined;
  /** A record that is not acknowledged in so long is rejected and not sent again. 30 s; Infinity: never */
  readonly deadlineMs?: number | undefined;
  /** A node that is silent for so long, though something was asked of it, is given up. 3 s */
  readonly timeoutMs?: number | undefined;
  /** If no node answers for so long, the client ends with TANDEM_SERVER_UNREACHABLE. Infinity (default): it goes on trying. */
  readonly unreachableMs?: number | undefined;
}

export type ClientState =
  | { readonly state: 'connecting'; readonly address: string }
  | { readonly state: 'connected'; readonly address: string; readonly term: number }
  /** Nothing answered, or the connection broke: the next attempt is in `delayMs`. */
  | { readonly state: 'waiting'; readonly error: TandemClientError; readonly delayMs: number }
  /** The end; `error` if it was not closed by its user. */
  | { readonly state: 'closed'; readonly error?: TandemClientError };

export interface TandemClient {
  /** The highest term that a node has answered under; 0: none has answered yet. */
  readonly term: number;
  /** Records that wait to be acknowledged. */
  readonly pending: number;
  /**
   * Stores a record; resolves when it is durable. In the order of the calls per topic, and per key where records have keys. What passes by itself
   * (no node, a full disk) is waited for. Rejects with TANDEM_CLIENT_QUEUE_FULL, TANDEM_CLIENT_DEADLINE, TANDEM_CLIENT_CLOSED,
   * TANDEM_CLIENT_INVALID, and what the server refuses for good.
   */
  publish(topic: string, data: string | Uint8Array, options?: PublishOptions): Promise<PublishReceipt>;
  /** Follows a channel (a topic); at most one subscription per channel. Errors: TANDEM_CLIENT_INVALID, TANDEM_CLIENT_CLOSED. */
  subscribe(channel: string, options?: SubscribeOptions): Subscription;
  /** Resolves when everything that was published is settled. */
  flush(): Promise<void>;
  /** Resolves when no socket and no timer is left. Idempotent. */
  close(options?: CloseOptions): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface CloseOptions {
  /** Waits until what was published is acknowledged (default); false: it is rejected at once. */
  readonly flush?: boolean | undefined;
  /** For that; what is left then is rejected. 5 s */
  readonly timeoutMs?: number | undefined;
}

// ---------------------------------------------------------------- publish

export interface PublishOptions {
  /** Records of one key go to one partition, in order. Without: all of this client to one partition of the topic, in order. */
  readonly key?: string | undefined;
  readonly headers?: { readonly [name: string]: string } | undefined;
  /** Your own number of this record, above all earlier ones of `producer` and topic. */
  readonly sequence?: number | undefined;
}

/**
 * What an acknowledged record has reached: the memory of a process; the medium of the node's machine (and from there, with a server as engine, that
 * server, later); a server, which keeps it as its own settings say; as many of its replicas as configured too.
 */
export type AckLevel = 'memory' | 'flushed' | 'stored' | 'replicated';

export interface PublishReceipt {
  readonly topic: string;
  readonly partition: number;
  /** null: the server does not know where: no longer, of a record that was stored earlier, or not yet, of one that it has yet to send to its engine. */
  readonly offset: number | null;
  /** '' where the place is not known yet. */
  readonly epoch: string;
  /** Of the node that acknowledged it; 0 in the mode active-active. */
  readonly term: number;
  /** undefined: the node did not say. */
  readonly ack: AckLevel | undefined;
  /** The record had been stored by an earlier attempt. */
  readonly isDuplicate: boolean;
}

// ---------------------------------------------------------------- subscribe

export interface SubscribeOptions {
  /** `now` (default), `start`, or a position that was received earlier. */
  readonly from?: string | undefined;
  /** Called for each record in order; a promise is waited for. What it throws ends the subscription. Without it: loop over the subscription. */
  readonly onRecord?: ((record: ReceivedRecord) => unknown) | undefined;
  /** Records were missed. Without it the subscription ends with TANDEM_POSITION_LOST, since going on would hide it. */
  readonly onGap?: ((gap: Gap) => unknown) | undefined;
  readonly onState?: ((state: SubscriptionState) => void) | undefined;
}

/** The loop hands out the records in order; leaving it closes the subscription. */
export interface Subscription extends AsyncIterable<ReceivedRecord> {
  readonly channel: string;
  /**
   * Resumes after the last record that was handed out (for which `onRecord` returned, or after which the loop asked for the next); undefined:
   * nothing has begun yet.
   */
  readonly position: string | undefined;
  /** Resolves when it was closed; rejects with the error that ended it. */
  readonly closed: Promise<void>;
  /** No record is handed out after it. */
  close(): void;
}

export interface ReceivedRecord {
  /** The topic. */
  readonly channel: string;
  readonly partition: number;
  readonly offset: number;
  /** When it was stored: Unix milliseconds, the server's clock. */
  readonly timeMs: number;
  readonly key: string | undefined;
  readonly headers: { readonly [name: string]: string } | undefined;
  /** Text, if the bytes are UTF-8; otherwise the bytes. */
  readonly data: string | Uint8Array;
  /** Resumes after this record, over all partitions of the channel. */
  readonly position: string;
  /** Of the node that delivered it. */
  readonly term: number;
}

export interface Gap {
  readonly channel: string;
  /** Deliveries go on from here. */
  readonly position: string;
  /** null: not known. */
  readonly missed: number | null;
  /**
   * `lost`: trimmed, or the history was replaced. `slow`: dropped by the node for a slow reader. `skipped`: left out by the node without a word,
   * as a channel with the policy `latest-per-key` does.
   */
  readonly reason: 'lost' | 'slow' | 'skipped';
}

export type SubscriptionState =
  | { readonly state: 'live'; readonly position: string; readonly isResumed: boolean }
  | { readonly state: 'interrupted'; readonly error: TandemClientError }
  | { readonly state: 'ended'; readonly error?: TandemClientError };
