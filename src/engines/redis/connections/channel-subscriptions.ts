/** The channels of one shard that somebody listens to; they move with the shard from connection to connection. */
import type { DataConnection } from './data-connection.ts';

type Listener = (message: Buffer | undefined) => void;

interface Channel {
  readonly listeners: Set<Listener>;
  /** The server has confirmed it. */
  isOn: boolean;
  leave: () => void;
}

export class ChannelSubscriptions {
  readonly #onLost: (connection: DataConnection) => void;
  readonly #channels = new Map<string, Channel>();
  #connection: DataConnection | undefined;

  /** `onLost`: the server does not serve a channel (any more). */
  constructor(onLost: (connection: DataConnection) => void) {
    this.#onLost = onLost;
  }

  add(name: string, listener: Listener): () => void {
    let channel = this.#channels.get(name);
    if (channel === undefined) {
      channel = { listeners: new Set(), isOn: false, leave: () => {} };
      this.#channels.set(name, channel);
      this.#enter(name, channel);
    }
    const { listeners } = channel;
    // Of its own, so that the same function may listen twice.
    const own: Listener = (message) => listener(message);
    listeners.add(own);
    if (channel.isOn) queueMicrotask(() => listeners.has(own) && listener(undefined));
    return () => {
      if (!listeners.delete(own) || listeners.size > 0) return;
      this.#channels.get(name)?.leave();
      this.#channels.delete(name);
    };
  }

  /** Subscribes to everything there. */
  moveTo(connection: DataConnection): void {
    this.leave();
    this.#connection = connection;
    for (const [name, channel] of this.#channels) this.#enter(name, channel);
  }

  /** Until the next `moveTo`. */
  leave(): void {
    this.#connection = undefined;
    for (const channel of this.#channels.values()) {
      channel.leave();
      channel.leave = () => {};
      channel.isOn = false;
    }
  }

  #enter(name: string, channel: Channel): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    const onMessage: Listener = (message) => {
      if (message === undefined) channel.isOn = true;
      for (const listener of [...channel.listeners]) listener(message);
    };
    channel.leave = connection.subscribe(name, onMessage, () => this.#onLost(connection));
  }
}
