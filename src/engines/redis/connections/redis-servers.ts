/**
 * The way to Redis or Valkey servers, whichever topology they form: what the engine's other parts see of them.
 *
 * Invariants
 * - Calls of a shard are executed in the order in which they were made. A call that the server refused because it is not the one to
 *   ask (READONLY, LOADING, MOVED, ...) is sent again only if none that was made after it has been executed.
 * - A call is never sent twice unless the server said that it did not execute it.
 * - Nothing is sent to a server whose role is not master, and nothing but the preparation before the preparation has succeeded.
 * - A call settles: within `unreachableAfterMs` of waiting for a master, and once written within `hungAfterMs` of the server's silence.
 *
 * Non-goals: commands that block (BLPOP, XREAD BLOCK), MULTI, commands on keys without the shard's hash tag.
 */
import type { RedisKind } from '../../../core/redis-url.ts';

export type RedisArgument = string | Buffer;

/** Bulk and simple strings are Buffers, integers numbers, nulls null. */
export type RedisReply = Buffer | number | null | readonly RedisReply[];

/** The server answered with an error. `code` is its first word, e.g. WRONGTYPE. */
export class RedisReplyError extends Error {
  readonly code: string;

  constructor(message: string) {
    super(message);
    this.name = 'RedisReplyError';
    this.code = message.split(' ', 1)[0] ?? '';
  }
}

export interface RedisServers {
  readonly kind: RedisKind;
  /** The way to whoever is master of this hash tag (without braces) now; the same object for the same tag. */
  shard(tag: string): RedisShard;
  /** As the live servers say, e.g. `redis 7.0.15 standalone`, `valkey 8.0.1 cluster (3 masters, 3 replicas)`. */
  identity(): Promise<string>;
  /** Calls in hand are rejected with TANDEM_STORE_UNREACHABLE. Nothing is left that keeps the process alive. Idempotent. */
  close(): Promise<void>;
}

export interface RedisShard {
  readonly tag: string;
  /**
   * Pipelined; calls of one turn of the event loop leave together. Buffers must not be changed until it settles.
   * Errors: RedisReplyError (the server's own words), TANDEM_STORE_UNREACHABLE with `data.mayBeExecuted` (false: surely not executed).
   * A rejected call does not hold up those after it.
   */
  call(command: readonly RedisArgument[]): Promise<RedisReply>;
  /**
   * Sharded pub/sub. `listener(message)` for each message; `listener(undefined)` whenever the channel was (re)subscribed: messages may
   * have been missed before. Returns the way to stop.
   */
  subscribe(channel: string, listener: (message: Buffer | undefined) => void): () => void;
  /** Called when the connection behind this shard has become another one, after its preparation, the first included. */
  onReconnected(listener: () => void): () => void;
  /**
   * WAIT: how many replicas have all that was called before on this shard, over the same connection. It holds up all calls of all shards
   * behind it, so there is one at a time: answered at most `timeoutMs` after the one in flight, much sooner while replicas are missing, or
   * as late as others want who share it (replica-waits.ts). Errors as `call`; TANDEM_STORE_UNREACHABLE if the connection is another one than that
   * of the last call.
   */
  waitForReplicas(count: number, timeoutMs: number): Promise<number>;
  /** Replicas that are online at its master now. */
  replicas(): Promise<number>;
}

/** What is known of a server before anything else is sent to it. */
export interface PreparedServer {
  /** `<run id>:<replication id>`: another one after every restart and every promotion. */
  readonly incarnation: string;
  /** Of Sentinel or Cluster: higher after every promotion. 0 for a server of its own. */
  readonly configEpoch: number;
  /** Online replicas. */
  readonly replicas: number;
}

/**
 * Runs for each tag on each new connection before other calls of that tag, which wait for it; once, or again until it succeeds. Its
 * `call` goes past the queue. What it throws, if not a sign of a lost or wrong server, is what the waiting calls are rejected with.
 */
export type ShardPreparation = (tag: string, call: RedisShard['call'], server: PreparedServer) => Promise<void>;

export interface RedisTimeouts {
  /** A call that finds no master to be sent to waits as long. */
  readonly unreachableAfterMs: number;
  /** A server that leaves calls unanswered as long is suspected: nothing more is sent, and a successor is looked for. */
  readonly suspectAfterMs: number;
  /** A server that leaves calls unanswered as long is given up: the connection is closed, its calls are rejected. */
  readonly hungAfterMs: number;
  readonly connectTimeoutMs: number;
}

export const DEFAULT_REDIS_TIMEOUTS: RedisTimeouts = {
  unreachableAfterMs: 5000,
  suspectAfterMs: 250,
  hungAfterMs: 4000,
  connectTimeoutMs: 2000,
};
