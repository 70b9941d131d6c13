/** How the parts of the engine call the library's functions on one shard (or on the catalog, which is a shard too). */

/** As the server gave it, bulk strings as Buffers. */
export type Reply = number | Buffer | null | readonly Reply[];

export interface Shard {
  /** The hash tag without braces. */
  readonly tag: string;
  /** `{tag}:name`. */
  key(name: string): string;
  /**
   * FCALL tandem1_<name> with KEYS `{tag}:shard`, ...keys and ARGV history, ...args. Calls leave in their order and are answered in it.
   * If the shard was adopted anew meanwhile, or the library is missing, that is put in order and the call is made again, before all later ones.
   * Resolves with the answer, whose first element is a status that the caller knows; 'TERM' rejects with TANDEM_TERM_FENCED.
   * Errors: TANDEM_STORE_UNREACHABLE (it may have been executed), TANDEM_DISK_FULL (out of memory), TANDEM_STORE_FAILED, TANDEM_DRAINING.
   */
  call(name: string, keys: readonly string[], args: readonly (string | number | Buffer)[]): Promise<readonly Reply[]>;
  /** Listens on the sharded channel `{tag}:<name>`. Messages may be lost when the connection is: see onReconnected. */
  subscribe(name: string, listener: (message: string) => void): Promise<() => void>;
  /** After each new connection, or a new history: what was armed or heard before may be gone. Returns the way to stop it. */
  onReconnected(listener: () => void): () => void;
  /** Replicas that follow the master now. */
  readonly replicas: number;
  /** Resolves with how many replicas have all that was written through this shard before; waits for `count` of them, at most `waitMs`. */
  waitForReplicas(count: number, waitMs: number): Promise<number>;
}

/** The status of an answer. */
export const statusOf = (answer: readonly Reply[]): string => String(answer[0]);
