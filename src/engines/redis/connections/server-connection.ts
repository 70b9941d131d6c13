/**
 * One connection to one server. It is opened once and never reconnects: whoever holds it knows that all calls went to the same process.
 *
 * A server that hangs is noticed by its silence: calls or probes that stay unanswered make it suspected, then closed. Time in which this
 * process itself stood still does not count.
 *
 * Anything but an answer of the server ends the connection: a protocol error leaves nobody knowing which answer belongs to which call.
 */
import { TandemError } from '../../../core/errors.ts';
import type { RedisAddress, RedisCredentials } from '../../../core/redis-url.ts';
import { type RedisArgument, type RedisReply, RedisReplyError } from './redis-servers.ts';
import { refusedBy, UnusableServer } from './unusable-server.ts';

export interface ServerAccess {
  readonly credentials: RedisCredentials;
  readonly database: number;
  readonly isTls: boolean;
  readonly connectTimeoutMs: number;
  readonly suspectAfterMs: number;
  readonly hungAfterMs: number;
}

export interface ServerConnectionOptions extends ServerAccess {
  readonly address: RedisAddress;
  /** Sent now and then, so that a server that hangs is noticed when nobody calls. */
  readonly probe: readonly string[];
  /** It also receives messages of channels. */
  readonly isSubscriber: boolean;
}

/** What the holder of a connection is told. */
export interface ConnectionWatcher {
  onClosed(): void;
  onSuspected?(): void;
  onRelieved?(): void;
  onProbed?(reply: RedisReply): void;
  /** The server no longer serves the channel. */
  onChannelLost?(channel: string): void;
}

/** As much of @redis/client's client as is used. */
interface RawClient {
  connect(): Promise<unknown>;
  destroy(): void;
  sendCommand(args: readonly RedisArgument[]): Promise<RedisReply>;
  sSubscribe(channel: string, listener: (message: Buffer) => void, isBuffer: true): Promise<void>;
  sUnsubscribe(channel: string): Promise<void>;
  subscribe(channel: string, listener: (message: Buffer) => void, isBuffer: true): Promise<void>;
  on(event: string, listener: (...args: never[]) => void): unknown;
}

const PROBE_EVERY_MS = 500;
const TICKS_PER_SUSPICION = 5;

export const addressText = ({ host, port }: RedisAddress): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;

export class ServerConnection {
  readonly address: RedisAddress;
  readonly #options: ServerConnectionOptions;
  readonly #client: RawClient;
  readonly #isReplyError: (error: unknown) => boolean;
  readonly #tickMs: number;
  #watcher: ConnectionWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closeReason: string | undefined;
  #onClosedEarly: (() => void) | undefined;
  #isSuspected = false;
  #sent = 0;
  #answered = 0;
  #answeredAtTick = 0;
  #tickedAtMs = 0;
  #silentMs = 0;
  #sinceProbeMs = 0;
  #graceUntilMs = 0;

  private constructor(options: ServerConnectionOptions, client: RawClient, isReplyError: (error: unknown) => boolean) {
    this.address = options.address;
    this.#options = options;
    this.#client = client;
    this.#isReplyError = isReplyError;
    this.#tickMs = options.suspectAfterMs / TICKS_PER_SUSPICION;
  }

  /** Connected and logged in. Rejects with UnusableServer, after `connectTimeoutMs` at the latest, and when `signal` aborts. */
  static async open(options: ServerConnectionOptions, signal: AbortSignal): Promise<ServerConnection> {
    const { ErrorReply, RedisClient, RESP_TYPES } = await import('@redis/client');
    const { host, port } = options.address;
    const typeMapping = {
      [RESP_TYPES.BLOB_STRING]: Buffer,
      [RESP_TYPES.SIMPLE_STRING]: Buffer,
      [RESP_TYPES.MAP]: Array,
    };
    const { username, password } = options.credentials;
    // Not `createClient`: that makes a class with all commands anew each time the options differ, 15 ms and a megabyte for each attempt.
    const client = new RedisClient({
      // Within a subscription only RESP3 can be asked something else; else RESP2 is the smaller protocol.
      RESP: options.isSubscriber ? 3 : 2,
      socket: { host, port, reconnectStrategy: false, connectTimeout: options.connectTimeoutMs, ...tls(options.isTls) },
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(options.database === 0 ? {} : { database: options.database }),
      name: 'tandem',
      disableClientInfo: true,
      disableOfflineQueue: true,
      maintNotifications: 'disabled',
      // 0: no timer per command; the silence of the server is watched instead.
      commandOptions: { typeMapping, timeout: 0 },
    });
    const connection = new ServerConnection(
      options,
      client as unknown as RawClient,
      (error) => error instanceof ErrorReply,
    );
    await connection.#connect(signal);
    return connection;
  }

  get isOpen(): boolean {
    return this.#closeReason === undefined;
  }
  /** Undefined while it is open. */
  get closeReason(): string | undefined {
    return this.#closeReason;
  }
  /** It leaves calls unanswered. */
  get isSuspected(): boolean {
    return this.#isSuspected;
  }

  /** From now on. One watcher. */
  watch(watcher: ConnectionWatcher): void {
    this.#watcher = watcher;
    if (!this.isOpen) queueMicrotask(() => watcher.onClosed());
  }

  /**
   * The quick way: the client's own promise with these handlers, each of which must call `noteAnswer`. `onError` makes what is thrown
   * by `errorOf`.
   */
  exchange(
    command: readonly RedisArgument[],
    onReply: (reply: RedisReply) => RedisReply,
    onError: (error: unknown) => Promise<RedisReply>,
  ): Promise<RedisReply> {
    this.#sent++;
    return this.#client.sendCommand(command).then(onReply, onError);
  }

  noteAnswer(): void {
    this.#answered++;
    if (this.#isSuspected && this.isOpen) this.#relieve();
  }

  /** RedisReplyError if the server answered, else TANDEM_STORE_UNREACHABLE: then nobody knows whether it was executed. */
  errorOf(error: unknown): RedisReplyError | TandemError {
    if (this.#isReplyError(error)) return new RedisReplyError((error as Error).message);
    const detail = `${addressText(this.address)}: ${this.#closeReason ?? reasonText(error)}`;
    return new TandemError('TANDEM_STORE_UNREACHABLE', { detail, data: { mayBeExecuted: true } });
  }

  /** As `exchange`, for calls that need not be quick. */
  send(command: readonly RedisArgument[]): Promise<RedisReply> {
    return this.exchange(
      command,
      (reply) => {
        this.noteAnswer();
        return reply;
      },
      (error) => {
        this.noteAnswer();
        return Promise.reject(this.errorOf(error));
      },
    );
  }

  /** A call that may take so long was sent: its silence means nothing. Call the result when it is answered. */
  allowSilence(blocksMs: number): () => void {
    this.#graceUntilMs = Math.max(this.#graceUntilMs, performance.now()) + blocksMs;
    return () => {
      this.#graceUntilMs -= blocksMs;
    };
  }

  /** Sharded. Resolves when the server has confirmed it. Errors as `send`. */
  subscribeSharded(channel: string, listener: (message: Buffer) => void): Promise<void> {
    return this.#counted(this.#client.sSubscribe(channel, listener, true));
  }

  unsubscribeSharded(channel: string): Promise<void> {
    return this.#counted(this.#client.sUnsubscribe(channel));
  }

  subscribe(channel: string, listener: (message: Buffer) => void): Promise<void> {
    return this.#counted(this.#client.subscribe(channel, listener, true));
  }

  /** At once. Calls in hand are rejected. Idempotent. */
  close(reason: string): void {
    if (this.#closeReason !== undefined) return;
    this.#closeReason = reason;
    clearInterval(this.#timer);
    this.#client.destroy();
    this.#onClosedEarly?.();
    this.#watcher?.onClosed();
  }

  async #connect(signal: AbortSignal): Promise<void> {
    const { connectTimeoutMs } = this.#options;
    let failure: unknown;
    this.#client.on('error', (error: Error) => {
      failure ??= error;
      this.close(reasonText(error));
    });
    this.#client.on('sharded-channel-moved', (channel: string) => this.#watcher?.onChannelLost?.(channel));
    const onAbort = (): void => this.close('closed');
    // The client's own timeout does not cover the login, and its `connect` may never settle when it is destroyed meanwhile.
    const timer = setTimeout(() => this.close(`no login within ${connectTimeoutMs} ms`), connectTimeoutMs);
    const ended = new Promise<void>((resolve) => {
      this.#onClosedEarly = resolve;
    });
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      if (this.isOpen) await Promise.race([this.#client.connect(), ended]);
    } catch (error) {
      failure ??= error;
      this.close(reasonText(error));
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      this.#onClosedEarly = undefined;
    }
    if (this.#isReplyError(failure)) throw refusedBy(new RedisReplyError(reasonText(failure)));
    if (this.#closeReason !== undefined) throw new UnusableServer(this.#closeReason);
    this.#tickedAtMs = performance.now();
    this.#timer = setInterval(() => this.#tick(), this.#tickMs);
    this.#timer.unref();
  }

  #counted(done: Promise<void>): Promise<void> {
    this.#sent++;
    return done.then(
      () => this.noteAnswer(),
      (error) => {
        this.noteAnswer();
        throw this.errorOf(error);
      },
    );
  }

  #tick(): void {
    const { suspectAfterMs, hungAfterMs } = this.#options;
    const nowMs = performance.now();
    // A late tick: this process stood still, and answers may lie unread.
    const elapsedMs = Math.min(nowMs - this.#tickedAtMs, 2 * this.#tickMs);
    this.#tickedAtMs = nowMs;
    const isSilent = this.#sent > this.#answered && this.#answered === this.#answeredAtTick;
    this.#answeredAtTick = this.#answered;
    if (!isSilent) this.#silentMs = 0;
    else if (nowMs > this.#graceUntilMs) this.#silentMs += elapsedMs;
    this.#sinceProbeMs += elapsedMs;
    if (this.#silentMs >= hungAfterMs) this.close(`silent for ${hungAfterMs} ms`);
    else if (this.#silentMs >= suspectAfterMs && !this.#isSuspected) {
      this.#isSuspected = true;
      this.#watcher?.onSuspected?.();
    } else if (this.#sinceProbeMs >= PROBE_EVERY_MS && !isSilent) this.#probe();
  }

  #probe(): void {
    this.#sinceProbeMs = 0;
    this.send(this.#options.probe).then(
      (reply) => this.#watcher?.onProbed?.(reply),
      // A lost connection is told by onClosed; a refused probe is an answer too.
      () => {},
    );
  }

  #relieve(): void {
    this.#isSuspected = false;
    this.#silentMs = 0;
    this.#watcher?.onRelieved?.();
  }
}

const tls = (isTls: boolean): { tls?: true } => (isTls ? { tls: true } : {});

/** Of several addresses tried, the first failure; some errors of Node have no message of their own. */
function reasonText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const [first] = error instanceof AggregateError ? error.errors : [];
  if (first instanceof Error) return first.message;
  return error.message === '' ? error.name : error.message;
}
