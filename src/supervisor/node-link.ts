/**
 * One connection between two keepers, a Unix socket, either of which may have made it. Lines of JSON:
 *
 *   {"kind":"facts","facts":{…}}                  first of all, and whenever they change
 *   {"kind":"beat"}                               several times per heartbeat time-out
 *   {"kind":"request","id":n,"request":{…}}       answered by
 *   {"kind":"answer","id":n,"result":…} or {"kind":"answer","id":n,"error":{"code","detail","data"}}
 *
 * Anything else ends the connection. What closes is told once; requests that are open then fail with TANDEM_PEER_LOST.
 */
import type { Socket } from 'node:net';
import type { NodeFacts, PeerRequest } from '../core/contracts/cluster.ts';
import { asTandemError, ERRORS, type ErrorCode, TandemError } from '../core/errors.ts';

const UNREAD_BYTES_MAX = 64 * 1024;
const LINE_BYTES_MAX = 256 * 1024;

interface PeerError {
  readonly code: ErrorCode;
  /** Without the registry's message. */
  readonly detail: string;
  readonly data?: { readonly [name: string]: unknown };
}

type Message =
  | { readonly kind: 'facts'; readonly facts: NodeFacts }
  | { readonly kind: 'beat' }
  | { readonly kind: 'request'; readonly id: number; readonly request: PeerRequest }
  | { readonly kind: 'answer'; readonly id: number; readonly result?: unknown; readonly error?: PeerError };

export interface NodeLinkEvents {
  onFacts(link: NodeLink): void;
  onClose(link: NodeLink): void;
  answer(request: PeerRequest): Promise<unknown>;
}

interface OpenRequest {
  readonly settle: (answer: { readonly result?: unknown; readonly error?: PeerError }) => void;
}

export class NodeLink {
  facts: NodeFacts | undefined;
  /** Monotonic. */
  lastHeardMs = performance.now();
  readonly #socket: Socket;
  readonly #events: NodeLinkEvents;
  readonly #requests = new Map<number, OpenRequest>();
  #requestCount = 0;
  #text = '';
  #isClosed = false;

  constructor(socket: Socket, events: NodeLinkEvents) {
    this.#socket = socket;
    this.#events = events;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#read(text));
    socket.on('error', () => {});
    socket.on('close', () => this.close());
  }

  tell(facts: NodeFacts): void {
    this.#send({ kind: 'facts', facts });
  }

  /** Nobody reads there: it is stopped, and will hear the next one. */
  beat(): void {
    if (this.#socket.writableLength < UNREAD_BYTES_MAX) this.#send({ kind: 'beat' });
  }

  /** Errors: TANDEM_PEER_LOST and what the other side answers. */
  request(request: PeerRequest, timeoutMs: number): Promise<unknown> {
    const id = ++this.#requestCount;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => settle({ error: lost(`no answer within ${timeoutMs} ms`) }), timeoutMs);
      const settle: OpenRequest['settle'] = ({ result, error }) => {
        clearTimeout(timer);
        this.#requests.delete(id);
        if (error === undefined) resolve(result);
        else reject(new TandemError(error.code, error));
      };
      this.#requests.set(id, { settle });
      this.#send({ kind: 'request', id, request });
    });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.destroy();
    for (const { settle } of [...this.#requests.values()]) settle({ error: lost('the connection broke') });
    this.#events.onClose(this);
  }

  #send(message: Message): void {
    if (this.#socket.writable) this.#socket.write(`${JSON.stringify(message)}\n`);
  }

  #read(text: string): void {
    this.lastHeardMs = performance.now();
    const lines = (this.#text + text).split('\n');
    this.#text = lines.pop() as string;
    // A line without end.
    if (this.#text.length > LINE_BYTES_MAX) this.close();
    try {
      for (const line of lines) this.#take(JSON.parse(line) as Message);
    } catch {
      this.close();
    }
  }

  #take(message: Message): void {
    switch (message.kind) {
      case 'facts':
        this.facts = message.facts;
        this.#events.onFacts(this);
        return;
      case 'beat':
        return;
      case 'request':
        void this.#answer(message.id, message.request);
        return;
      case 'answer':
        this.#requests.get(message.id)?.settle(message);
        return;
      default:
        this.close();
    }
  }

  async #answer(id: number, request: PeerRequest): Promise<void> {
    try {
      this.#send({ kind: 'answer', id, result: await this.#events.answer(request) });
    } catch (thrown) {
      const { code, message, data } = asTandemError(thrown);
      const detail = message.slice(ERRORS[code].message.length).replace(/^: /, '');
      this.#send({ kind: 'answer', id, error: { code, detail, ...(data === undefined ? {} : { data }) } });
    }
  }
}

const lost = (detail: string): PeerError => ({ code: 'TANDEM_PEER_LOST', detail });
