/** One server: whatever it has become when it comes back, it is the master. */
import { delay, systemClock } from '../../../core/ports/clock.ts';
import type { RedisAddress } from '../../../core/redis-url.ts';
import { DataConnection } from './data-connection.ts';
import { type FinderEvents, type FinderSettings, type MasterFinder, ServerTroubles } from './master-finder.ts';
import { addressText } from './server-connection.ts';
import { asUnusable, UnusableServer, wrongServer } from './unusable-server.ts';

const RETRY_MIN_MS = 20;
const RETRY_MAX_MS = 500;

export class StandaloneFinder implements MasterFinder {
  readonly kind = 'standalone';
  readonly #settings: FinderSettings;
  readonly #events: FinderEvents;
  readonly #address: RedisAddress;
  readonly #troubles: ServerTroubles;
  readonly #end = new AbortController();
  #connection: DataConnection | undefined;

  constructor(settings: FinderSettings, events: FinderEvents) {
    this.#settings = settings;
    this.#events = events;
    this.#address = settings.url.addresses[0] as RedisAddress;
    this.#troubles = new ServerTroubles(settings.logger, events.onRefused);
    void this.#connect();
  }

  get trouble(): string {
    return this.#troubles.last;
  }

  master(): DataConnection | undefined {
    return this.#connection;
  }

  doubt(connection: DataConnection, code: string): void {
    if (code === 'READONLY') connection.close('is a replica');
  }

  async identity({ facts: { product, version } }: DataConnection): Promise<string> {
    return `${product} ${version} standalone`;
  }

  close(): void {
    this.#end.abort();
    this.#connection?.close('closed');
  }

  async #connect(): Promise<void> {
    for (let pauseMs = RETRY_MIN_MS; !this.#end.signal.aborted; pauseMs = Math.min(2 * pauseMs, RETRY_MAX_MS)) {
      try {
        return this.#take(await DataConnection.open(this.#address, this.#settings.access, this.#end.signal));
      } catch (error) {
        if (this.#end.signal.aborted) return;
        this.#troubles.report(this.#address, asUnusable(error));
      }
      await delay(systemClock, pauseMs, this.#end.signal).catch(() => {});
    }
  }

  /** Throws what speaks against this server. */
  #take(connection: DataConnection): void {
    const problem = objectionTo(connection);
    if (problem !== undefined) {
      connection.close('of no use');
      throw problem;
    }
    this.#connection = connection;
    this.#troubles.fine(this.#address);
    connection.watch(() => {
      if (!connection.isOpen) {
        this.#connection = undefined;
        const reason = connection.closeReason ?? '';
        if (!this.#end.signal.aborted) this.#troubles.report(this.#address, new UnusableServer(reason));
        void this.#connect();
      }
      this.#events.onChanged();
    });
    this.#events.onChanged();
  }
}

function objectionTo({ address, facts }: DataConnection): UnusableServer | undefined {
  const server = addressText(address);
  if (facts.mode === 'cluster') return wrongServer(`is a node of a cluster: redis+cluster://${server}`);
  if (facts.mode === 'sentinel') return wrongServer(`is a Sentinel: redis+sentinel://${server}/master-name`);
  if (!facts.replication.isMaster) return new UnusableServer('is a replica', { code: 'READONLY' });
  return facts.isLoading ? new UnusableServer('is loading its data', { code: 'LOADING' }) : undefined;
}
