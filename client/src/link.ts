/**
 * One WebSocket connection to one node: JSON-RPC out and in.
 *
 * opening -> greeted (a `ping` was answered, so somebody works there, under a term that is not stale) -> ended. Nothing is asked before the greeting.
 * - Terms: an answer or notification under an older term than this client has seen is dropped and ends the link.
 * - Silence: with something asked for and nothing heard for `timeoutMs` the link is given up; with nothing asked for it asks `ping`. A timer that
 *   fires much too late tells of a stall on this side, which proves nothing about the node.
 * - After the end no callback comes any more.
 */
import { answeredError, clientError, TandemClientError, unreachable } from './errors.ts';
import { type OpenedSocket, openSocket } from './socket.ts';

export interface RpcAnswer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: TandemClientError;
}

export interface LinkEnd {
  /** WebSocket close code; 0: the end was this side's. */
  readonly closeCode: number;
  readonly error: TandemClientError;
  /** Channel to position, as the node's last message told. */
  readonly positions: { readonly [channel: string]: string };
}

export interface LinkOwner {
  greeted(link: Link): void;
  answered(answer: RpcAnswer): void;
  notified(method: string, params: unknown): void;
  ended(link: Link, end: LinkEnd): void;
}

/** The highest term that the client has seen. */
export class TermGate {
  term = 0;

  /** False: it is stale. 0 is no term: what only passes on to whoever is active (mode active-active) has none and cannot be stale. */
  admits(term: number): boolean {
    if (term === 0) return true;
    if (term < this.term) return false;
    this.term = term;
    return true;
  }
}

export interface LinkOptions {
  readonly address: string;
  readonly token: string | undefined;
  /** From the attempt to the greeting. */
  readonly openTimeoutMs: number;
  readonly timeoutMs: number;
  readonly terms: TermGate;
}

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { readonly term?: number };
  readonly result?: { readonly term?: number };
  readonly error?: { readonly message?: unknown; readonly data?: unknown };
}

interface Closing {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  readonly positions?: { readonly [channel: string]: string };
}

const GREETING_ID = 0;
const CLOSE_NORMAL = 1000;
/** For the peer's close frame; then the socket is cut. */
const CLOSE_TIMEOUT_MS = 1000;
const NO_POSITIONS = {};

export class Link {
  readonly address: string;
  isGreeted = false;
  readonly #options: LinkOptions;
  readonly #owner: LinkOwner;
  readonly #socket: OpenedSocket;
  #isEnded = false;
  #lastId = GREETING_ID;
  /** Requests that wait for their answer. */
  #asked = 0;
  /** Since when something is asked for, or the last sign of life after that. */
  #quietSinceMs = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closing: Closing | undefined;

  constructor(options: LinkOptions, owner: LinkOwner) {
    this.address = options.address;
    this.#options = options;
    this.#owner = owner;
    this.#socket = openSocket(options.address, options.token);
    const { webSocket } = this.#socket;
    webSocket.addEventListener('open', () => this.#opened());
    webSocket.addEventListener('message', ({ data }) => this.#received(data));
    webSocket.addEventListener('close', ({ code, reason }) => this.#closed(code, reason));
    // What it says is said again by `close`.
    webSocket.addEventListener('error', () => {});
    this.#timer = setTimeout(() => this.#fail(clientError('TANDEM_CLIENT_TIMEOUT', 'opening')), options.openTimeoutMs);
  }

  /** Sends a request; returns the id of its answer. Only while the link is greeted. */
  request(method: string, paramsJson: string): number {
    this.#send(++this.#lastId, method, paramsJson);
    return this.#lastId;
  }

  /** Ends it from this side, and tells the owner nothing. Resolves when the socket is closed, or as good as. */
  async close(): Promise<void> {
    this.#end();
    const { webSocket } = this.#socket;
    if (webSocket.readyState === webSocket.CLOSED) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        this.#socket.destroy();
        resolve();
      }, CLOSE_TIMEOUT_MS);
      webSocket.addEventListener('close', () => {
        clearTimeout(timer);
        resolve();
      });
      webSocket.close(CLOSE_NORMAL);
    });
  }

  /** Ends it at once for a reason that this side has found. */
  abandon(error: TandemClientError): void {
    this.#fail(error);
  }

  #opened(): void {
    if (!this.#isEnded) this.#send(GREETING_ID, 'ping', '{}');
  }

  #send(id: number, method: string, paramsJson: string): void {
    if (this.#asked++ === 0) this.#quietSinceMs = performance.now();
    this.#socket.webSocket.send(`{"jsonrpc":"2.0","id":${id},"method":"${method}","params":${paramsJson}}`);
  }

  #received(data: unknown): void {
    if (this.#isEnded) return;
    this.#quietSinceMs = performance.now();
    let message: Message;
    try {
      message = JSON.parse(data as string) as Message;
    } catch {
      this.#fail(clientError('TANDEM_CLIENT_PROTOCOL', 'a message is not JSON'));
      return;
    }
    const term = message.result?.term ?? message.params?.term;
    if (term !== undefined && !this.#options.terms.admits(term)) {
      this.#fail(clientError('TANDEM_CLIENT_STALE', `${term} after ${this.#options.terms.term}`));
    } else if (message.method !== undefined) this.#notified(message.method, message.params);
    else if (typeof message.id === 'number') this.#answered(message.id, message);
  }

  #notified(method: string, params: unknown): void {
    if (method === 'closing') this.#closing = params as Closing;
    else if (this.isGreeted) this.#owner.notified(method, params);
  }

  #answered(id: number, { result, error }: Message): void {
    this.#asked--;
    const refusal = error === undefined ? undefined : answeredError(error);
    if (this.isGreeted) {
      if (id === GREETING_ID) return;
      this.#owner.answered(refusal === undefined ? { id, result } : { id, error: refusal });
    } else if (refusal !== undefined) this.#fail(refusal);
    else this.#greet();
  }

  #greet(): void {
    this.isGreeted = true;
    clearTimeout(this.#timer);
    this.#watch(this.#options.timeoutMs);
    this.#owner.greeted(this);
  }

  #watch(waitMs: number): void {
    const dueMs = performance.now() + waitMs;
    this.#timer = setTimeout(() => this.#lookAt(performance.now(), dueMs), waitMs);
  }

  #lookAt(nowMs: number, dueMs: number): void {
    const { timeoutMs } = this.#options;
    if (nowMs - dueMs > timeoutMs / 2) this.#quietSinceMs = nowMs;
    const quietMs = nowMs - this.#quietSinceMs;
    if (quietMs < timeoutMs) {
      this.#watch(timeoutMs - quietMs);
      return;
    }
    if (this.#asked > 0) {
      this.#fail(clientError('TANDEM_CLIENT_TIMEOUT'));
      return;
    }
    this.#send(GREETING_ID, 'ping', '{}');
    this.#watch(timeoutMs);
  }

  #fail(error: TandemClientError): void {
    if (this.#isEnded) return;
    this.#end();
    this.#socket.destroy();
    this.#owner.ended(this, { closeCode: 0, error, positions: NO_POSITIONS });
  }

  #closed(closeCode: number, reason: string): void {
    if (this.#isEnded) return;
    this.#end();
    const positions = this.#closing?.positions ?? NO_POSITIONS;
    this.#owner.ended(this, { closeCode, error: this.#reasonOf(closeCode, reason), positions });
  }

  #reasonOf(closeCode: number, reason: string): TandemClientError {
    if (this.#closing !== undefined) {
      const { code, message, hint } = this.#closing;
      return new TandemClientError(code, message, { retryable: closeCode >= 4100, hint });
    }
    const detail = this.isGreeted ? `the connection broke (${closeCode}${reason && `, ${reason}`})` : 'not reachable';
    return unreachable(`${this.address} ${detail}`);
  }

  #end(): void {
    this.#isEnded = true;
    clearTimeout(this.#timer);
  }
}
