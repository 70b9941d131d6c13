/** Which consumers the operator has paused, in the catalog of a Redis store: for all its nodes, as durable as what else is there. */
import type { Shard } from './shard.ts';

const CHANNEL = 'paused';

export class RedisPauses {
  readonly #catalog: Shard;

  constructor(catalog: Shard) {
    this.#catalog = catalog;
  }

  /** Errors: those of the store. */
  async names(): Promise<readonly string[]> {
    const [, ...names] = await this.#catalog.call('paused_consumers', [this.#key], []);
    return names.map(String);
  }

  /** Idempotent. Errors: those of the store. */
  async set(name: string, isPaused: boolean): Promise<void> {
    await this.#catalog.call('pause_consumer', [this.#key, this.#key], [name, isPaused ? '1' : '0']);
  }

  /** `listener` is called whenever they may have changed; at the beginning too. Returns the way to stop it. */
  onChange(listener: () => void): () => void {
    const stops = [this.#catalog.subscribe(CHANNEL, listener), this.#catalog.onReconnected(listener)];
    return () => {
      for (const stop of stops) stop();
    };
  }

  get #key(): string {
    return this.#catalog.key(CHANNEL);
  }
}
