/**
 * Keeps one greeted link, to whichever of the addresses answers.
 *
 * A round tries each address once, in turn, without waiting between them, and begins with the one that worked last. Before each round but the
 * first there is a wait with full jitter; it grows while no link has held. After a link ends: close codes 4000-4099 end the client; 4100-4199
 * wait before the round; 4200-4299, a stale term and a node that fell silent begin the round at once with the next address; all else (the node
 * died) begins it almost at once.
 */
import type { ClientState } from './api.ts';
import { BackOff } from './back-off.ts';
import { type TandemClientError, unreachable } from './errors.ts';
import { Link, type LinkEnd, type LinkOwner, type RpcAnswer, type TermGate } from './link.ts';

export interface ConnectionOptions {
  readonly addresses: readonly string[];
  readonly token: string | undefined;
  readonly timeoutMs: number;
  readonly unreachableMs: number;
  readonly terms: TermGate;
}

export interface ConnectionOwner {
  stateChanged(state: ClientState): void;
  /** Requests can go out on the link. */
  connected(link: Link): void;
  answered(answer: RpcAnswer): void;
  notified(method: string, params: unknown): void;
  /** What was asked for and not answered may or may not have been done. */
  disconnected(end: LinkEnd): void;
  /** There will be no other link. */
  failed(error: TandemClientError): void;
}

/** A first attempt gets so long, each later round twice that, up to timeoutMs: a hung node must not hold up the way to the next. */
const OPEN_TIMEOUT_MS = 500;
/** A link that held so long was a good one: what comes after it begins anew. */
const HELD_MS = 1000;
/** Close codes 4100-4199. */
const PATIENCE_MS = 250;

const PROTOCOL_CODES: readonly number[] = [1002, 1003, 1007];
const isFatal = (closeCode: number): boolean =>
  (closeCode >= 4000 && closeCode <= 4099) || PROTOCOL_CODES.includes(closeCode);

export class Connection implements LinkOwner {
  /** Greeted; undefined while there is none. */
  link: Link | undefined;
  readonly #options: ConnectionOptions;
  readonly #owner: ConnectionOwner;
  readonly #backOff = new BackOff();
  #attempt: Link | undefined;
  /** Index of the address with which rounds begin. */
  #first = 0;
  /** Addresses that this round has tried. */
  #tried = 0;
  #rounds = 0;
  #greetedMs = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #giveUpTimer: ReturnType<typeof setTimeout> | undefined;
  #lastError: TandemClientError = unreachable('not tried yet');
  #isClosed = false;

  constructor(options: ConnectionOptions, owner: ConnectionOwner) {
    this.#options = options;
    this.#owner = owner;
  }

  /** Begins in a moment: no listener is called before `connect` has returned. */
  start(): void {
    queueMicrotask(() => {
      if (this.#isClosed) return;
      this.#limitOutage();
      this.#try();
    });
  }

  /** Leaves the node, which has said that it is not the right one; goes on with the next address. */
  leave(error: TandemClientError): void {
    this.link?.abandon(error);
  }

  /** Resolves when no socket and no timer is left. The owner is told nothing. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#giveUpTimer);
    const link = this.#attempt;
    this.#attempt = undefined;
    this.link = undefined;
    await link?.close();
  }

  // -------------------------------------------------------------- for the link

  greeted(link: Link): void {
    clearTimeout(this.#giveUpTimer);
    this.link = link;
    this.#first = this.#options.addresses.indexOf(link.address);
    this.#rounds = 0;
    this.#greetedMs = performance.now();
    this.#owner.stateChanged({ state: 'connected', address: link.address, term: this.#options.terms.term });
    if (this.link === link) this.#owner.connected(link);
  }

  answered(answer: RpcAnswer): void {
    this.#owner.answered(answer);
  }

  notified(method: string, params: unknown): void {
    this.#owner.notified(method, params);
  }

  ended(link: Link, end: LinkEnd): void {
    if (link !== this.#attempt) return;
    this.#attempt = undefined;
    this.#lastError = end.error;
    if (isFatal(end.closeCode)) {
      this.#fail(end.error);
      return;
    }
    const wasGreeted = this.link === link;
    this.link = undefined;
    if (end.closeCode >= 4100 && end.closeCode <= 4199) this.#backOff.atLeast(PATIENCE_MS);
    if (!wasGreeted) {
      this.#tryNext();
      return;
    }
    this.#owner.disconnected(end);
    if (this.#isClosed) return;
    this.#limitOutage();
    this.#startRound(end);
  }

  // -------------------------------------------------------------- rounds

  #startRound({ closeCode }: LinkEnd): void {
    const isNextBetter = closeCode === 0 || (closeCode >= 4200 && closeCode <= 4299);
    if (isNextBetter) this.#first = (this.#first + 1) % this.#options.addresses.length;
    if (performance.now() - this.#greetedMs >= HELD_MS && (closeCode < 4100 || closeCode > 4199)) this.#backOff.reset();
    this.#tried = 0;
    this.#wait();
  }

  #tryNext(): void {
    this.#tried++;
    if (this.#tried < this.#options.addresses.length) {
      this.#try();
      return;
    }
    this.#tried = 0;
    this.#rounds++;
    this.#wait();
  }

  #wait(): void {
    const delayMs = this.#backOff.next();
    this.#timer = setTimeout(() => this.#try(), delayMs);
    this.#owner.stateChanged({ state: 'waiting', error: this.#lastError, delayMs });
  }

  #try(): void {
    if (this.#isClosed) return;
    const { addresses, token, timeoutMs, terms } = this.#options;
    const address = addresses[(this.#first + this.#tried) % addresses.length] as string;
    const openTimeoutMs = Math.min(timeoutMs, OPEN_TIMEOUT_MS * 2 ** Math.min(this.#rounds, 10));
    this.#attempt = new Link({ address, token, openTimeoutMs, timeoutMs, terms }, this);
    this.#owner.stateChanged({ state: 'connecting', address });
  }

  #limitOutage(): void {
    const { unreachableMs } = this.#options;
    if (unreachableMs === Number.POSITIVE_INFINITY) return;
    this.#giveUpTimer = setTimeout(() => this.#fail(this.#lastError), unreachableMs);
  }

  #fail(error: TandemClientError): void {
    void this.close();
    this.#owner.failed(error);
  }
}
