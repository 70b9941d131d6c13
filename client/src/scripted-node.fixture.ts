/**
 * For tests: a WebSocket server that speaks the node's protocol and does what a test tells it, where no real node can be brought to it (answer
 * under an old term, fall silent, close with a certain code). It stores records as a node does: each sequence of a producer once, in rising order.
 */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { type WebSocket, WebSocketServer } from 'ws';

export interface Request {
  readonly id: number;
  readonly method: string;
  readonly params: {
    readonly topic?: string;
    readonly producer?: string;
    readonly sequence?: number;
    readonly records?: readonly { readonly data?: string; readonly key?: string }[];
    readonly channel?: string;
    readonly from?: string;
  };
}

/** True: the script has dealt with the request. */
type Script = (request: Request, socket: WebSocket) => boolean | undefined;

export class ScriptedNode {
  readonly address: string;
  readonly requests: Request[] = [];
  readonly stored: string[] = [];
  connections = 0;
  term: number;
  script: Script = () => false;
  readonly #server: WebSocketServer;
  readonly #lastSequences = new Map<string, number>();

  static async start(t: TestContext, term: number, port = 0): Promise<ScriptedNode> {
    const handleProtocols = (offered: Set<string>): string | false => offered.has('tandem.v1') && 'tandem.v1';
    const server = new WebSocketServer({ port, host: '127.0.0.1', handleProtocols });
    await once(server, 'listening');
    const node = new ScriptedNode(server, term);
    t.after(() => node.stop());
    return node;
  }

  constructor(server: WebSocketServer, term: number) {
    this.#server = server;
    this.term = term;
    this.address = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('connection', (socket) => {
      this.connections++;
      socket.on('error', () => {});
      socket.on('message', (data) => this.#receive(JSON.parse(String(data)) as Request, socket));
    });
  }

  /** As kill -9 does. */
  stop(): void {
    for (const socket of this.#server.clients) socket.terminate();
    this.#server.close();
  }

  /** Of all clients. */
  get sockets(): readonly WebSocket[] {
    return [...this.#server.clients];
  }

  asked(method: string): Request[] {
    return this.requests.filter((request) => request.method === method);
  }

  answer(socket: WebSocket, id: number, result: object, term: number = this.term): void {
    socket.send(JSON.stringify({ jsonrpc: '2.0', id, result: { term, ...result } }));
  }

  refuse(socket: WebSocket, id: number, code: string, retryable: boolean): void {
    const error = { code: -32000, message: `${code} it is`, data: { code, hint: 'none', retryable } };
    socket.send(JSON.stringify({ jsonrpc: '2.0', id, error }));
  }

  notify(method: string, params: object, term: number = this.term): void {
    for (const socket of this.sockets)
      socket.send(JSON.stringify({ jsonrpc: '2.0', method, params: { term, ...params } }));
  }

  record(offset: number, more: object = {}): void {
    const place = { channel: 't', position: `after ${offset}`, partition: 0, offset, time: 1 };
    this.notify('record', { ...place, data: `${offset}`, ...more });
  }

  /** Stores what is new of a publish; the receipts. */
  store({ params: { topic, producer = '', sequence = 1, records = [] } }: Request): object {
    const key = `${topic} ${producer}`;
    const receipts = records.map(({ data = '' }, i) => {
      const last = this.#lastSequences.get(key) ?? 0;
      const isDuplicate = sequence + i <= last;
      if (!isDuplicate) {
        this.#lastSequences.set(key, sequence + i);
        this.stored.push(data);
      }
      return {
        epoch: 'e',
        partition: 0,
        offset: this.stored.indexOf(data),
        count: 1,
        ...(isDuplicate && { isDuplicate }),
      };
    });
    return { receipts };
  }

  #receive(request: Request, socket: WebSocket): void {
    this.requests.push(request);
    if (this.script(request, socket) === true) return;
    const { id, method, params } = request;
    if (method === 'publish') this.answer(socket, id, this.store(request));
    else if (method === 'subscribe')
      this.answer(socket, id, { channel: params.channel, position: params.from, isComplete: true });
    else this.answer(socket, id, {});
  }
}
