/**
 * A bad network between clients and a port of this machine, changed while it runs. In user space, so that it works wherever the tests do.
 *
 * What TCP promises stays: bytes keep their order, none is skipped and more follow. So a lost packet is a pause (as its retransmission would
 * be), and a connection of which bytes have vanished never gets later ones: it is reset when the network heals. Datagrams really are dropped,
 * doubled and overtaken. An outage hides ends and resets too: neither side learns that the other is gone.
 */
import type { Random } from '../../src/core/ports/random.ts';

export type Direction = 'to-server' | 'to-client';

export interface LinkFaults {
  /** Each way. */
  readonly delayMs: number;
  /** Up to so much more, by chance. Datagrams overtake each other by it, bytes do not. */
  readonly jitterMs: number;
  /** Of datagrams: dropped. Of chunks of a connection: late by RETRANSMISSION_MS. */
  readonly lossFraction: number;
  /** Datagrams that arrive twice. */
  readonly duplicateFraction: number;
  /** Datagrams that arrive late by OVERTAKEN_MS. */
  readonly reorderFraction: number;
  /** Each way, over all clients. */
  readonly bytesPerSecond: number;
  /** Which way nothing arrives, while connections stay open. */
  readonly outage: 'none' | 'both' | Direction;
  /** New connections: forwarded, reset at once, or accepted and never served. */
  readonly accept: 'forward' | 'refuse' | 'silence';
}

export const NO_FAULTS: LinkFaults = {
  delayMs: 0,
  jitterMs: 0,
  lossFraction: 0,
  duplicateFraction: 0,
  reorderFraction: 0,
  bytesPerSecond: Number.POSITIVE_INFINITY,
  outage: 'none',
  accept: 'forward',
};

export const RETRANSMISSION_MS = 200;
export const OVERTAKEN_MS = 50;

export interface FaultProxy {
  /** Where clients connect. */
  readonly port: number;
  /** Open now; of datagrams: clients that were heard lately. */
  readonly connections: number;
  /** Datagrams and chunks that have vanished so far. */
  readonly vanished: number;
  /** Adds to the faults in force. */
  set(faults: Partial<LinkFaults>): void;
  /** No faults any more; resets what has missed bytes or was never served. What a slow link holds back comes at once. */
  heal(): void;
  /** Ends all connections: by a reset, or by an end as of a process that exits. Returns how many. */
  cut(how: 'reset' | 'end'): number;
  close(): Promise<void>;
}

export interface FaultProxyOptions {
  readonly upstreamPort: number;
  readonly random: Random;
}

export const isSilent = ({ outage }: LinkFaults, direction: Direction): boolean =>
  outage === 'both' || outage === direction;

/** Which of the faults hits; never for a fraction of 0. */
export const hits = (fraction: number, random: Random): boolean => fraction > 0 && random.fraction() < fraction;

/** When what is sent now arrives, on a link of limited bandwidth. */
export class LinkPace {
  #freeMs = 0;

  heal(): void {
    this.#freeMs = 0;
  }

  /** Monotonic ms; not before what was asked for earlier has passed the link. */
  dueMs(bytes: number, faults: LinkFaults, random: Random): number {
    const nowMs = performance.now();
    const { bytesPerSecond, delayMs, jitterMs } = faults;
    this.#freeMs = Math.max(nowMs, this.#freeMs) + (bytes / bytesPerSecond) * 1000;
    return this.#freeMs + delayMs + (jitterMs > 0 ? random.fraction() * jitterMs : 0);
  }
}
