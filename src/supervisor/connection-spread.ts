/**
 * Gives each accepted connection to the serving worker with the fewest connections (ties: the lowest slot). While no worker can take it, it
 * waits here, so that clients see a delay during a restart and never a refusal. Non-goal: rebalancing of open connections.
 */
import type { Socket } from 'node:net';
import { SUSPECT_MS, WAITING_CONNECTIONS_MAX } from './plan.ts';

export interface AcceptedConnection {
  readonly socket: Socket;
  /** Key of the address it came in on. */
  readonly addressKey: string;
}

export interface ConnectionTaker {
  readonly slotIndex: number;
  /** Open connections and those on their way. */
  readonly load: number;
  readonly lastBeatMs: number;
  /** The listener's index in this worker's config; undefined: its config does not have the address. */
  listenerIndex(addressKey: string): number | undefined;
  give(connection: AcceptedConnection, listener: number): void;
}

export class ConnectionSpread {
  /** Closed because too many were waiting. */
  refused = 0;
  accepted = 0;
  readonly #takers: () => Iterable<ConnectionTaker>;
  readonly #nowMs: () => number;
  #waiting: AcceptedConnection[] = [];

  /** `takers`: the workers that serve now. */
  constructor(takers: () => Iterable<ConnectionTaker>, nowMs: () => number) {
    this.#takers = takers;
    this.#nowMs = nowMs;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  accept(connection: AcceptedConnection): void {
    this.accepted++;
    this.offer(connection);
  }

  /** As `accept`, for a connection that its worker did not live to take. */
  offer(connection: AcceptedConnection): void {
    const { addressKey, socket } = connection;
    const taker = pickTaker(this.#takers(), addressKey, this.#nowMs());
    const listener = taker?.listenerIndex(addressKey);
    if (taker !== undefined && listener !== undefined) {
      taker.give(connection, listener);
    } else if (this.#waiting.length < WAITING_CONNECTIONS_MAX) {
      this.#waiting.push(connection);
    } else {
      this.refused++;
      socket.destroy();
    }
  }

  /** A worker has begun to serve: offer everything that waits. */
  offerWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const connection of waiting) this.offer(connection);
  }

  /** Closes those that wait, of one address or of all. */
  drop(addressKey?: string): void {
    const isKept = (c: AcceptedConnection): boolean => addressKey !== undefined && c.addressKey !== addressKey;
    for (const connection of this.#waiting) if (!isKept(connection)) connection.socket.destroy();
    this.#waiting = this.#waiting.filter(isKept);
  }
}

/** Workers that have been silent for SUSPECT_MS come last: a hung one has few connections and would attract all new ones. */
function pickTaker(takers: Iterable<ConnectionTaker>, addressKey: string, nowMs: number): ConnectionTaker | undefined {
  let best: ConnectionTaker | undefined;
  let isBestSuspect = true;
  for (const taker of takers) {
    if (taker.listenerIndex(addressKey) === undefined) continue;
    const isSuspect = nowMs - taker.lastBeatMs > SUSPECT_MS;
    const isBetter =
      best === undefined ||
      (isSuspect === isBestSuspect
        ? taker.load < best.load || (taker.load === best.load && taker.slotIndex < best.slotIndex)
        : isBestSuspect);
    if (isBetter) {
      best = taker;
      isBestSuspect = isSuspect;
    }
  }
  return best;
}
