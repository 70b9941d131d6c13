/**
 * One connection to one Redis server (or Valkey), for what stands beside the engine: lists that are taken from and appended to. Standalone, or
 * the master that Sentinels name, whose role is checked. It never reconnects: whoever uses it opens another, and knows that state on the
 * server may have changed between the two.
 *
 * Non-goals: Redis Cluster, subscriptions. The client library is loaded at the first connection.
 */

export interface RedisEndpoint {
  /** The server, or the Sentinels. */
  readonly servers: readonly { readonly host: string; readonly port: number }[];
  /** What the Sentinels call it; null: `servers` is the server itself. */
  readonly masterName: string | null;
  readonly database: number;
  readonly isTls: boolean;
  readonly username: string | null;
  readonly password: string | null;
  readonly sentinelUsername: string | null;
  readonly sentinelPassword: string | null;
}

/** Bulk strings are Buffers. */
export type RedisReply = Buffer | string | number | null | readonly RedisReply[];

export interface RedisConnection {
  /**
   * Calls leave in their order, without waiting for each other's answers. `blockMs`: the server may keep it waiting so long.
   * Errors: RedisProblem. One that is not `isAnswer` has ended the connection, and nobody knows whether the call was executed.
   */
  call(command: readonly (string | Buffer)[], blockMs?: number): Promise<RedisReply>;
  /** At once; calls in hand reject. Idempotent. */
  close(): void;
}

export type ConnectRedis = (endpoint: RedisEndpoint, signal?: AbortSignal) => Promise<RedisConnection>;

/** What a server said, or why it cannot be asked. The message never holds a secret. */
export class RedisProblem extends Error {
  /** The server's own answer: the connection goes on. */
  readonly isAnswer: boolean;
  /** The answer's first word: WRONGTYPE, OOM, READONLY. '' without an answer. */
  readonly code: string;

  constructor(message: string, isAnswer = false) {
    super(message);
    this.name = 'RedisProblem';
    this.isAnswer = isAnswer;
    this.code = isAnswer ? (message.split(' ', 1)[0] ?? '') : '';
  }
}

const CONNECT_TIMEOUT_MS = 2000;
/** A server that is silent for so long hangs, or the network to it is gone. */
const ANSWER_TIMEOUT_MS = 5000;

interface Server {
  readonly host: string;
  readonly port: number;
  readonly isTls: boolean;
  readonly username: string | null;
  readonly password: string | null;
  readonly database: number;
}

/** It does not keep the process alive, but while a call is in hand. Errors: RedisProblem naming the server; when `signal` aborts, too. */
export async function connectRedis(endpoint: RedisEndpoint, signal?: AbortSignal): Promise<RedisConnection> {
  const { servers, masterName, database, isTls, username, password } = endpoint;
  const [first] = servers;
  const credentials = { isTls, username, password, database };
  if (masterName === null && first !== undefined) return open({ ...first, ...credentials }, signal);
  const master = await findMaster(endpoint, masterName ?? '', signal);
  const connection = await open({ ...master, ...credentials }, signal);
  const role = ((await connection.call(['ROLE'])) as readonly RedisReply[])[0];
  if (String(role) === 'master') return connection;
  connection.close();
  throw new RedisProblem(`${nameOf(master)}, which the Sentinels name, says that it is ${String(role)} and no master`);
}

/** The first answer counts: a Sentinel that is behind is found out by the server's role. */
async function findMaster(
  { servers, isTls, sentinelUsername: username, sentinelPassword: password }: RedisEndpoint,
  masterName: string,
  signal: AbortSignal | undefined,
): Promise<{ host: string; port: number }> {
  const problems: string[] = [];
  for (const server of servers) {
    try {
      const sentinel = await open({ ...server, isTls, username, password, database: 0 }, signal);
      const answer = await sentinel.call(['SENTINEL', 'get-master-addr-by-name', masterName]);
      sentinel.close();
      if (Array.isArray(answer)) return { host: String(answer[0]), port: Number(answer[1]) };
      problems.push(`${nameOf(server)} knows no master "${masterName}"`);
    } catch (thrown) {
      if (signal?.aborted === true) throw thrown;
      problems.push((thrown as Error).message);
    }
  }
  throw new RedisProblem(`no Sentinel names the master: ${problems.join('; ')}`);
}

const nameOf = ({ host, port }: { readonly host: string; readonly port: number }): string =>
  `${host.includes(':') ? `[${host}]` : host}:${port}`;

/** What is used of the library's client. */
interface Client {
  connect(): Promise<unknown>;
  destroy(): void;
  unref(): void;
  on(event: 'error', listener: (error: Error) => void): unknown;
  sendCommand(command: readonly (string | Buffer)[]): Promise<unknown>;
}

async function open(server: Server, signal: AbortSignal | undefined): Promise<RedisConnection> {
  const { ErrorReply, RedisClient, RESP_TYPES } = await import('@redis/client');
  const { host, port, isTls, username, password, database } = server;
  const socket = { host, port, reconnectStrategy: false, connectTimeout: CONNECT_TIMEOUT_MS } as const;
  // Not `createClient`: that makes a class with all commands anew each time the options differ, 15 ms and a megabyte for each attempt.
  const client = new RedisClient({
    RESP: 2,
    disableOfflineQueue: true,
    socket: isTls ? { ...socket, tls: true } : socket,
    ...(username === null ? {} : { username }),
    ...(password === null ? {} : { password }),
    ...(database === 0 ? {} : { database }),
    commandOptions: { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } },
  }) as unknown as Client;
  const isReply = (thrown: unknown): boolean => thrown instanceof ErrorReply;
  const connection = new ClientConnection(client, nameOf(server), isReply);
  const abort = (): void => connection.close();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    if (signal?.aborted === true) throw new RedisProblem('given up');
    await connection.opened(CONNECT_TIMEOUT_MS + ANSWER_TIMEOUT_MS);
    return connection;
  } catch (thrown) {
    connection.close();
    throw thrown;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

class ClientConnection implements RedisConnection {
  readonly #client: Client;
  readonly #name: string;
  readonly #isReply: (thrown: unknown) => boolean;
  readonly #closed: Promise<never>;
  readonly #end: (reason: RedisProblem) => void;
  #isClosed = false;

  constructor(client: Client, name: string, isReply: (thrown: unknown) => boolean) {
    this.#client = client;
    this.#name = name;
    this.#isReply = isReply;
    const { promise, reject } = Promise.withResolvers<never>();
    this.#closed = promise;
    promise.catch(() => {});
    this.#end = reject;
    client.on('error', (error) => this.#fail(error));
  }

  async opened(timeoutMs: number): Promise<void> {
    await this.#within(this.#client.connect(), timeoutMs);
    this.#client.unref();
  }

  async call(command: readonly (string | Buffer)[], blockMs = 0): Promise<RedisReply> {
    if (this.#isClosed) return this.#closed;
    return (await this.#within(this.#client.sendCommand(command), ANSWER_TIMEOUT_MS + blockMs)) as RedisReply;
  }

  close(): void {
    this.#fail(new RedisProblem(`${this.#name}: the connection was closed`));
  }

  async #within(answer: Promise<unknown>, timeoutMs: number): Promise<unknown> {
    const timer = setTimeout(
      () => this.#fail(new RedisProblem(`${this.#name} has not answered for ${timeoutMs} ms`)),
      timeoutMs,
    );
    try {
      return await Promise.race([answer, this.#closed]);
    } catch (thrown) {
      if (thrown instanceof RedisProblem) throw thrown;
      const { message } = thrown as Error;
      if (this.#isReply(thrown)) throw new RedisProblem(message, true);
      this.#fail(thrown as Error);
      return await this.#closed;
    } finally {
      clearTimeout(timer);
      answer.catch(() => {});
    }
  }

  #fail(error: Error): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#end(error instanceof RedisProblem ? error : new RedisProblem(`${this.#name}: ${error.message}`));
    try {
      this.#client.destroy();
    } catch {
      // It throws if it is closed already.
    }
  }
}
