/**
 * One shard as the library's functions know it: every call says under which history it is made.
 *
 * A history ends when another server process becomes the one that counts (library/shards.lua.ts). Calls that were made under the older one are
 * refused by the functions, and made again here under the new one. Order: as soon as the history changes while calls are in hand, later calls are
 * held back until those are settled; then all that were refused or held back go on, in the order in which they were made.
 */
import type { Logger } from '../../core/contracts/telemetry.ts';
import { TandemError } from '../../core/errors.ts';
import type { RedisArgument, RedisReply, RedisShard } from './connections/redis-servers.ts';
import { keyOf } from './keys.ts';
import { LIBRARY_NAME } from './library/library.ts';
import { isFunctionMissing } from './library/load-library.ts';
import { asStoreError, fencedError, isUnexpected } from './reply-errors.ts';
import type { Answer, Shard } from './shard.ts';

export interface Replication {
  readonly replicas: number;
  readonly waitMs: number;
}

export interface LibraryShardOptions {
  readonly raw: RedisShard;
  /** Loads the library if it is missing, adopts the shard if it has to be; gives the history. */
  readonly adopt: (call: RedisShard['call']) => Promise<string>;
  /** What `write` waits for. */
  readonly replication: Replication | undefined;
  readonly logger: Logger;
}

interface PendingCall {
  readonly serial: number;
  readonly command: RedisArgument[];
  /** Where in the command the history is. */
  readonly historyAt: number;
  readonly isWrite: boolean;
  attempts: number;
  resolve(answer: Answer): void;
  reject(error: TandemError): void;
}

const ATTEMPTS_MAX = 20;
const HISTORY = Buffer.from('HISTORY');
const TERM = Buffer.from('TERM');

export class LibraryShard implements Shard {
  readonly tag: string;
  /** So far. Those made again count again. */
  calls = 0;
  retries = 0;
  readonly #options: LibraryShardOptions;
  readonly #raw: RedisShard;
  readonly #shardKey: string;
  readonly #listeners = new Set<() => void>();
  #history = '';
  #serial = 0;
  #outstanding = 0;
  #isGated = false;
  #isAdopting = false;
  #held: PendingCall[] = [];
  /** WAIT for what is written in this turn of the event loop. */
  #waiting: Promise<number> | undefined;

  constructor(options: LibraryShardOptions) {
    this.#options = options;
    this.#raw = options.raw;
    this.tag = options.raw.tag;
    this.#shardKey = this.key('shard');
    options.raw.onReconnected(() => this.#tell());
  }

  key(name: string): string {
    return keyOf(this.tag, name);
  }

  call(name: string, keys: readonly string[], args: readonly (string | Buffer)[]): Promise<Answer> {
    return this.#begin(name, keys, args, false);
  }

  /** As `call`; resolves when as many replicas have it too as the options ask for. Errors also: TANDEM_NOT_REPLICATED (it was executed). */
  write(name: string, keys: readonly string[], args: readonly (string | Buffer)[]): Promise<Answer> {
    return this.#begin(name, keys, args, this.#options.replication !== undefined);
  }

  subscribe(name: string, listener: (message: Buffer | undefined) => void): () => void {
    return this.#raw.subscribe(this.key(name), listener);
  }

  async publish(name: string, message: string): Promise<void> {
    try {
      await this.#raw.call(['SPUBLISH', this.key(name), message]);
    } catch (error) {
      throw asStoreError(error);
    }
  }

  onReconnected(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  replicas(): Promise<number> {
    return this.#raw.replicas();
  }

  waitForReplicas(count: number, waitMs: number): Promise<number> {
    return this.#raw.waitForReplicas(count, waitMs);
  }

  /** Before the first call on a new connection: `call` goes past the queue. */
  async prepare(call: RedisShard['call']): Promise<void> {
    this.#takeHistory(await this.#options.adopt(call));
  }

  /**
   * Asks the server whether it is still the one that was adopted; adopts it if not. For a server that was demoted and promoted again behind a
   * connection over which nothing was sent meanwhile. Never rejects: whatever is wrong shows at the next call.
   */
  async verify(): Promise<void> {
    if (this.#history === '' || this.#isGated) return;
    const history = this.#history;
    const answer = await this.#raw.call(['FCALL', `${LIBRARY_NAME}_look`, '1', this.#shardKey]).catch(() => undefined);
    const isOther = Array.isArray(answer) && String(answer[0]) === 'ADOPT';
    if (!isOther || history !== this.#history) return;
    this.#isGated = true;
    this.#adopt();
  }

  #begin(name: string, keys: readonly string[], args: readonly (string | Buffer)[], isWrite: boolean): Promise<Answer> {
    const command = ['FCALL', `${LIBRARY_NAME}_${name}`, String(keys.length + 1), this.#shardKey, ...keys, '', ...args];
    return new Promise((resolve, reject) => {
      const call = {
        serial: this.#serial++,
        command,
        historyAt: keys.length + 4,
        isWrite,
        attempts: 0,
        resolve,
        reject,
      };
      if (this.#isGated) this.#held.push(call);
      else this.#send(call);
    });
  }

  #send(call: PendingCall): void {
    const history = this.#history;
    call.command[call.historyAt] = history;
    call.attempts++;
    this.#outstanding++;
    this.calls++;
    const answered = this.#raw.call(call.command);
    const replicated = call.isWrite ? this.#wait() : undefined;
    answered.then(
      (reply) => this.#settle(call, history, reply, undefined, replicated),
      (error: unknown) => this.#settle(call, history, null, error, undefined),
    );
  }

  #settle(
    call: PendingCall,
    history: string,
    reply: RedisReply,
    error: unknown,
    replicated: Promise<number> | undefined,
  ): void {
    this.#outstanding--;
    const status = Array.isArray(reply) ? (reply[0] as Buffer) : undefined;
    if (isFunctionMissing(error) || (status?.length === HISTORY.length && HISTORY.equals(status)))
      this.#retry(call, history);
    else if (error !== undefined) call.reject(this.#errorOf(call, error));
    else if (status === undefined) call.reject(new TandemError('TANDEM_STORE_FAILED', { detail: 'not an answer' }));
    else if (status.length === TERM.length && TERM.equals(status))
      call.reject(fencedError(Number((reply as Answer)[1])));
    else if (replicated === undefined) call.resolve(reply as Answer);
    else this.#resolveReplicated(call, reply as Answer, replicated);
    if (this.#isGated) this.#release();
  }

  #errorOf(call: PendingCall, error: unknown): TandemError {
    if (isUnexpected(error))
      this.#options.logger.error('redis_function_failed', { function: call.command[1], error: String(error) });
    return asStoreError(error);
  }

  #resolveReplicated(call: PendingCall, answer: Answer, replicated: Promise<number>): void {
    const wanted = this.#options.replication?.replicas ?? 0;
    replicated.then(
      (replicas) => {
        if (replicas >= wanted) call.resolve(answer);
        else call.reject(new TandemError('TANDEM_NOT_REPLICATED', { detail: `${replicas} of ${wanted}` }));
      },
      (error: unknown) => call.reject(asStoreError(error)),
    );
  }

  #retry(call: PendingCall, history: string): void {
    if (call.attempts >= ATTEMPTS_MAX) {
      const detail = 'the server changes its history faster than calls are made';
      call.reject(new TandemError('TANDEM_STORE_UNREACHABLE', { detail, data: { mayBeExecuted: false } }));
      return;
    }
    this.retries++;
    this.#isGated = true;
    this.#held.push(call);
    if (history === this.#history) this.#adopt();
  }

  #adopt(): void {
    if (this.#isAdopting) return;
    this.#isAdopting = true;
    this.#options
      .adopt((command) => this.#raw.call(command))
      .then(
        (history) => {
          this.#isAdopting = false;
          this.#takeHistory(history);
          this.#tell();
          this.#release();
        },
        (error: unknown) => {
          this.#isAdopting = false;
          for (const call of this.#held.splice(0)) call.reject(asStoreError(error));
          this.#release();
        },
      );
  }

  #takeHistory(history: string): void {
    if (history === this.#history) return;
    this.#history = history;
    if (this.#outstanding > 0) this.#isGated = true;
  }

  #release(): void {
    if (!this.#isGated || this.#isAdopting || this.#outstanding > 0) return;
    this.#isGated = false;
    const held = this.#held.sort((a, b) => a.serial - b.serial);
    this.#held = [];
    for (const call of held) this.#send(call);
  }

  #wait(): Promise<number> {
    if (this.#waiting === undefined) {
      const { replicas = 0, waitMs = 0 } = this.#options.replication ?? {};
      // After everything that is called until then.
      this.#waiting = Promise.resolve().then(() => {
        this.#waiting = undefined;
        return this.#raw.waitForReplicas(replicas, waitMs);
      });
      this.#waiting.catch(() => {});
    }
    return this.#waiting;
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
