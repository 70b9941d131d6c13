/**
 * Pauses of consumers that all nodes of a server's store share: what one node is told, the others hear and obey. Each keeps a copy of its own, for as
 * long as the server is away; there the server's word counts again as soon as it is back, also if it has lost it.
 */
import type { Logger } from '../core/contracts/telemetry.ts';
import { asTandemError } from '../core/errors.ts';
import { inTime } from '../core/in-time.ts';
import { type Clock, delay } from '../core/ports/clock.ts';
import { Turns } from '../core/turns.ts';
import type { ConsumerPauses } from './consumer-pauses.ts';

/** Where they are kept for all. */
export interface PauseStore {
  names(): Promise<readonly string[]>;
  set(name: string, isPaused: boolean): Promise<void>;
  /** Called whenever they may have changed, at the beginning too. Returns the way to stop it. */
  onChange(listener: () => void): () => void;
}

export interface SharedPausesOptions {
  readonly copy: ConsumerPauses;
  readonly store: PauseStore;
  readonly clock: Clock;
  readonly logger: Logger;
}

const AGAIN_MS = 1000;

export class SharedPauses implements ConsumerPauses {
  readonly #options: SharedPausesOptions;
  readonly #stopListening: () => void;
  readonly #listeners: ((name: string) => void)[] = [];
  /** One change after the other: what was asked of the store last is what the copy says at the end. */
  readonly #turns = new Turns();
  #isRefreshing = false;
  #isClosed = false;

  constructor(options: SharedPausesOptions) {
    this.#options = options;
    this.#stopListening = options.store.onChange(() => this.#refreshSoon());
  }

  get names(): readonly string[] {
    return this.#options.copy.names;
  }

  set(name: string, isPaused: boolean): Promise<void> {
    const { store, copy } = this.#options;
    return this.#turns.run(async () => {
      await store.set(name, isPaused);
      await copy.set(name, isPaused);
    });
  }

  onChange(listener: (name: string) => void): void {
    this.#listeners.push(listener);
  }

  /** As the store has them now; or, if that does not answer in time, as it is known here. Never rejects. */
  async reload(waitMs: number): Promise<void> {
    const reloaded = this.#turns.run(() => this.#refresh());
    await inTime(this.#options.clock, reloaded, waitMs).catch(() => {});
  }

  close(): void {
    this.#isClosed = true;
    this.#stopListening();
  }

  /** One that waits sees all that has changed until its turn. */
  #refreshSoon(): void {
    if (this.#isRefreshing || this.#isClosed) return;
    this.#isRefreshing = true;
    void this.#turns
      .run(() => {
        this.#isRefreshing = false;
        return this.#isClosed ? Promise.resolve() : this.#refresh();
      })
      .catch((error: unknown) => this.#failed(error));
  }

  async #refresh(): Promise<void> {
    const { store, copy, logger } = this.#options;
    const now = new Set(await store.names());
    const before = new Set(copy.names);
    for (const name of now.symmetricDifference(before)) {
      const isPaused = now.has(name);
      await copy.set(name, isPaused);
      logger.info(isPaused ? 'consumer_paused' : 'consumer_resumed', { consumer: name, by: 'another node' });
      for (const tell of this.#listeners) tell(name);
    }
  }

  #failed(error: unknown): void {
    const { clock, logger } = this.#options;
    if (this.#isClosed) return;
    logger.debug('pauses_unknown', { problem: asTandemError(error).message });
    void delay(clock, AGAIN_MS).then(() => this.#refreshSoon());
  }
}
