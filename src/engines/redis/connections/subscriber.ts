/** The connection over which one server's messages come: made when the first channel is asked for, made again when it is lost. */
import { delay, systemClock } from '../../../core/ports/clock.ts';
import type { RedisAddress } from '../../../core/redis-url.ts';
import { RedisReplyError } from './redis-servers.ts';
import { type ServerAccess, ServerConnection } from './server-connection.ts';

interface Channel {
  readonly listener: (message: Buffer | undefined) => void;
  /** The server does not serve it (any more). */
  readonly onLost: () => void;
}

const RETRY_MS = 100;

export class Subscriber {
  readonly #address: RedisAddress;
  readonly #access: ServerAccess;
  readonly #channels = new Map<string, Channel>();
  readonly #signal: AbortSignal;
  #connection: ServerConnection | undefined;
  #isOpening = false;

  /** Until `signal` aborts. */
  constructor(address: RedisAddress, access: ServerAccess, signal: AbortSignal) {
    this.#address = address;
    this.#access = access;
    this.#signal = signal;
    signal.addEventListener('abort', () => {
      this.#channels.clear();
      this.#connection?.close('closed');
    });
  }

  /** Answers the way to stop. */
  add(name: string, channel: Channel): () => void {
    this.#channels.set(name, channel);
    if (this.#connection === undefined) void this.#open();
    else void this.#subscribe(this.#connection, name, channel);
    return () => {
      if (this.#channels.get(name) !== channel) return;
      this.#channels.delete(name);
      this.#connection?.unsubscribeSharded(name).catch(() => {});
    };
  }

  async #open(): Promise<void> {
    if (this.#isOpening) return;
    this.#isOpening = true;
    while (this.#connection === undefined && !this.#signal.aborted)
      try {
        const options = { ...this.#access, address: this.#address, probe: ['PING'], isSubscriber: true };
        this.#take(await ServerConnection.open(options, this.#signal));
      } catch {
        // That the server is away is told by the connection for calls, which ends this one.
        await this.#pause();
      }
    this.#isOpening = false;
  }

  #take(connection: ServerConnection): void {
    if (this.#signal.aborted) {
      connection.close('closed');
      return;
    }
    this.#connection = connection;
    connection.watch({
      onClosed: () => {
        this.#connection = undefined;
        if (this.#channels.size > 0) void this.#open();
      },
      onChannelLost: (name) => void this.#lost(connection, name),
    });
    for (const [name, channel] of this.#channels) void this.#subscribe(connection, name, channel);
  }

  async #subscribe(connection: ServerConnection, name: string, channel: Channel): Promise<void> {
    const isWanted = (): boolean => this.#channels.get(name) === channel;
    try {
      await connection.subscribeSharded(name, (message) => {
        if (isWanted()) channel.listener(message);
      });
    } catch (error) {
      if (error instanceof RedisReplyError && isWanted()) await this.#lost(connection, name);
      return;
    }
    if (isWanted()) channel.listener(undefined);
  }

  async #lost(connection: ServerConnection, name: string): Promise<void> {
    const channel = this.#channels.get(name);
    channel?.onLost();
    await this.#pause();
    if (channel === undefined || this.#channels.get(name) !== channel || connection !== this.#connection) return;
    await this.#subscribe(connection, name, channel);
  }

  async #pause(): Promise<void> {
    await delay(systemClock, RETRY_MS, this.#signal).catch(() => {});
  }
}
