/** Finds out who is master, and holds the connections to masters. One kind per topology. */
import type { Logger } from '../../../core/contracts/telemetry.ts';
import { TandemError } from '../../../core/errors.ts';
import type { ParsedRedisUrl, RedisAddress, RedisKind } from '../../../core/redis-url.ts';
import type { DataConnection } from './data-connection.ts';
import { addressText, type ServerAccess } from './server-connection.ts';
import type { UnusableServer } from './unusable-server.ts';

export interface MasterFinder {
  readonly kind: RedisKind;
  /** The connection to the master of this hash slot, suspected or not; undefined while there is none. */
  master(slot: number): DataConnection | undefined;
  /** A server answered that it is not the one to ask (the code says how), or not now. */
  doubt(connection: DataConnection, code: string): void;
  /** Product, version and topology, as this server and its companions say. Errors as ServerConnection.send. */
  identity(connection: DataConnection): Promise<string>;
  /** What stands in the way, for those who waited in vain. */
  readonly trouble: string;
  close(): void;
}

export interface FinderSettings {
  readonly url: ParsedRedisUrl;
  /** To the servers that hold the data. */
  readonly access: ServerAccess;
  readonly logger: Logger;
}

export interface FinderEvents {
  /** Look at `master` again: it may be another, or suspected, or relieved. */
  onChanged(): void;
  /** Waiting will not help: login refused, wrong kind of server. It is tried again all the same, for those who call later. */
  onRefused(error: TandemError): void;
}

const REPEAT_MS = 30_000;

/** Says in the log why a server cannot be used: at first, when the reason changes, and every 30 s. Tells refusals. */
export class ServerTroubles {
  readonly #logger: Logger;
  readonly #onRefused: (error: TandemError) => void;
  readonly #known = new Map<string, { readonly text: string; readonly atMs: number }>();
  #last = 'not connected yet';

  constructor(logger: Logger, onRefused: (error: TandemError) => void) {
    this.#logger = logger;
    this.#onRefused = onRefused;
  }

  /** For messages to those who waited in vain. */
  get last(): string {
    return this.#last;
  }

  report(address: RedisAddress, { code, message, refusal }: UnusableServer): void {
    const server = addressText(address);
    this.#last = `${server}: ${message}`;
    const before = this.#known.get(server);
    const nowMs = performance.now();
    if (before?.text !== message || nowMs - before.atMs > REPEAT_MS) {
      this.#known.set(server, { text: message, atMs: nowMs });
      if (refusal === undefined) this.#logger.warn('redis_unreachable', { server, code, reason: message });
      else this.#logger.error('redis_refused', { server, code, reason: message });
    }
    if (refusal !== undefined)
      this.#onRefused(new TandemError(refusal, { detail: this.#last, data: { mayBeExecuted: false } }));
  }

  fine(address: RedisAddress): void {
    const server = addressText(address);
    if (this.#known.delete(server)) this.#logger.info('redis_reachable_again', { server });
  }
}
