/** How the parts of the engine call the library's functions on one shard (or on the catalog, which is a shard too). */
import type { RedisReply } from './connections/redis-servers.ts';

/** The first element is the status. */
export type Answer = readonly RedisReply[];

export interface Shard {
  /** The hash tag without braces. */
  readonly tag: string;
  /** `{tag}:name`. */
  key(name: string): string;
  /**
   * FCALL tandem1_<name> with KEYS `{tag}:shard`, ...keys and ARGV history, ...args. Calls leave in their order and are answered in it.
   * If the shard was adopted anew meanwhile, or the library is missing, that is put in order and the call is made again, before all later ones.
   * Resolves with the answer, whose first element is a status that the caller knows (see library/base.lua.ts); 'TERM' rejects with
   * TANDEM_TERM_FENCED. Errors: TANDEM_STORE_UNREACHABLE (`data.mayBeExecuted`), TANDEM_DISK_FULL (the server is out of memory or
   * disk), TANDEM_STORE_FAILED.
   */
  call(name: string, keys: readonly string[], args: readonly (string | Buffer)[]): Promise<Answer>;
  /**
   * Listens on the sharded channel `{tag}:<name>`; undefined: messages may have been missed before. Returns the way to stop.
   */
  subscribe(name: string, listener: (message: Buffer | undefined) => void): () => void;
  /** Tells whoever listens now on the sharded channel `{tag}:<name>`. Errors as `call`. */
  publish(name: string, message: string): Promise<void>;
  /** Called after each new connection and each new history: what was armed on the server may be gone. Returns the way to stop it. */
  onReconnected(listener: () => void): () => void;
  /** Online replicas of its master now. */
  replicas(): Promise<number>;
  /** How many replicas have all that was called before on this shard; waits for `count` of them, at most `waitMs`. */
  waitForReplicas(count: number, waitMs: number): Promise<number>;
}

export const statusOf = (answer: Answer): string => String(answer[0]);
