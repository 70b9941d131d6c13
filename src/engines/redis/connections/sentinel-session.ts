/**
 * The conversation with one Sentinel: whom it names master, and the others it knows of. It is asked twice a second, and at once when it
 * publishes a switch. A Sentinel that is away is tried again.
 */
import { delay, systemClock } from '../../../core/ports/clock.ts';
import type { RedisAddress } from '../../../core/redis-url.ts';
import { type RedisReply, RedisReplyError } from './redis-servers.ts';
import { type ServerAccess, ServerConnection } from './server-connection.ts';
import { asUnusable, UnusableServer, wrongServer } from './unusable-server.ts';

export interface SentinelView {
  readonly master: RedisAddress;
  /** Rises with every failover. */
  readonly configEpoch: number;
}

export interface SentinelCompanions {
  readonly replicas: readonly RedisAddress[];
  readonly sentinels: readonly { readonly id: string; readonly address: RedisAddress }[];
}

export interface SentinelEvents {
  onView(): void;
  onCompanions(companions: SentinelCompanions): void;
  onTrouble(session: SentinelSession, problem: UnusableServer): void;
  onFine(session: SentinelSession): void;
}

export interface SentinelSessionOptions {
  readonly address: RedisAddress;
  readonly access: ServerAccess;
  readonly masterName: string;
}

const ASK_EVERY_MS = 500;
const ASKS_PER_LOOK_AROUND = 10;
const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 1000;

export class SentinelSession {
  readonly address: RedisAddress;
  readonly #options: SentinelSessionOptions;
  readonly #events: SentinelEvents;
  readonly #end = new AbortController();
  #connection: ServerConnection | undefined;
  #view: SentinelView | undefined;
  #id: string | undefined;
  #failures = 0;

  constructor(options: SentinelSessionOptions, events: SentinelEvents) {
    this.address = options.address;
    this.#options = options;
    this.#events = events;
    void this.#run();
  }

  /** What it said last; undefined while it is away. */
  get view(): SentinelView | undefined {
    return this.#connection === undefined ? undefined : this.#view;
  }
  get id(): string | undefined {
    return this.#id;
  }
  /** Attempts to connect that failed since it was last there. */
  get failures(): number {
    return this.#failures;
  }

  /** Asks for everything now. */
  lookAround(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    this.#ask(connection)
      .then(() => this.#askCompanions(connection))
      .catch(() => {});
  }

  close(): void {
    this.#end.abort();
    this.#connection?.close('closed');
  }

  async #run(): Promise<void> {
    const { signal } = this.#end;
    while (!signal.aborted) {
      try {
        await this.#converse();
      } catch (error) {
        if (signal.aborted) return;
        this.#failures++;
        this.#events.onTrouble(this, asUnusable(error));
      }
      const pauseMs = Math.min(RETRY_MIN_MS * 2 ** this.#failures, RETRY_MAX_MS);
      await delay(systemClock, pauseMs, signal).catch(() => {});
    }
  }

  /** Until the connection is lost. Throws what is wrong with the Sentinel. */
  async #converse(): Promise<void> {
    const { address, access } = this.#options;
    const options = { ...access, address, probe: ['PING'], isSubscriber: true };
    const connection = await ServerConnection.open(options, this.#end.signal);
    const lost = new AbortController();
    connection.watch({ onClosed: () => lost.abort() });
    try {
      await connection.subscribe('+switch-master', () => void this.#ask(connection).catch(() => {}));
      this.#id = String(await connection.send(['SENTINEL', 'MYID']));
      this.#connection = connection;
      this.#failures = 0;
      for (let asked = 0; connection.isOpen; asked++) {
        await this.#ask(connection);
        if (asked === 0) this.#events.onFine(this);
        if (asked % ASKS_PER_LOOK_AROUND === 0) await this.#askCompanions(connection);
        await delay(systemClock, ASK_EVERY_MS, lost.signal).catch(() => {});
      }
      throw new UnusableServer(connection.closeReason ?? '');
    } catch (error) {
      throw connection.isOpen ? this.#explain(error) : new UnusableServer(connection.closeReason ?? '');
    } finally {
      this.#connection = undefined;
      connection.close('of no use');
    }
  }

  async #ask(connection: ServerConnection): Promise<void> {
    const { masterName } = this.#options;
    // During a failover only the first tells the new address, together with the new epoch of the second.
    const [address, master] = await Promise.all([
      connection.send(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', masterName]),
      connection.send(['SENTINEL', 'MASTER', masterName]),
    ]);
    const [host, port] = texts(address);
    const configEpoch = Number(fieldsOf(master).get('config-epoch'));
    if (host === undefined || !Number.isSafeInteger(configEpoch)) throw new UnusableServer('names no master');
    this.#view = { master: { host, port: Number(port) }, configEpoch };
    if (this.#connection === connection) this.#events.onView();
  }

  async #askCompanions(connection: ServerConnection): Promise<void> {
    const { masterName } = this.#options;
    const [replicas, sentinels] = await Promise.all([
      connection.send(['SENTINEL', 'REPLICAS', masterName]),
      connection.send(['SENTINEL', 'SENTINELS', masterName]),
    ]);
    this.#events.onCompanions({
      replicas: listOf(replicas).map(addressOf),
      sentinels: listOf(sentinels).map((fields) => ({ id: fields.get('runid') ?? '', address: addressOf(fields) })),
    });
  }

  #explain(error: unknown): unknown {
    if (!(error instanceof RedisReplyError)) return error;
    if (/unknown command/i.test(error.message)) return wrongServer('is no Sentinel');
    return /no such master/i.test(error.message)
      ? wrongServer(`knows no master named "${this.#options.masterName}"`)
      : error;
  }
}

const texts = (reply: RedisReply): string[] => (Array.isArray(reply) ? reply.map(String) : []);

/** name, value, name, value, ... */
function fieldsOf(reply: RedisReply): ReadonlyMap<string, string> {
  const words = texts(reply);
  return new Map(words.flatMap((name, at) => (at % 2 === 0 ? [[name, words[at + 1] ?? '']] : [])));
}

const listOf = (reply: RedisReply): ReadonlyMap<string, string>[] => (Array.isArray(reply) ? reply.map(fieldsOf) : []);

const addressOf = (fields: ReadonlyMap<string, string>): RedisAddress => ({
  host: fields.get('ip') ?? '',
  port: Number(fields.get('port')),
});
