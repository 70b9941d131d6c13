/** WebSocket producer with a sequence: several `publish` calls in flight; after a loss it goes on from the first unanswered one. */
import { sourceHistory } from '../history.ts';
import { type Producer, pause, RECONNECT_MS, recordOf, valueAt } from './producer.ts';

const IN_FLIGHT = 8;

interface Answer {
  readonly id: number;
  readonly result?: { readonly partition: number; readonly offset: number | null };
  readonly error?: { readonly code: number; readonly message: string };
}

export class WebSocketProducer implements Producer {
  readonly history;
  readonly complaints: string[] = [];
  readonly #url: string;
  readonly #name: string;
  #next = 1;
  #unsent = 1;
  #sentMax = 0;
  #isStopping = false;
  #socket: WebSocket | undefined;
  readonly #ended: Promise<void>;

  constructor(name: string, port: number) {
    this.#url = `ws://127.0.0.1:${port}/ws`;
    this.#name = name;
    this.history = sourceHistory(name, true);
    this.#ended = this.#run();
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    if (!this.#mustGoOn) this.#socket?.close();
    await this.#ended;
  }

  get #mustGoOn(): boolean {
    return !this.#isStopping || this.#next <= this.#sentMax;
  }

  async #run(): Promise<void> {
    while (this.#mustGoOn) {
      await this.#converse();
      await pause(RECONNECT_MS);
    }
  }

  #converse(): Promise<void> {
    return new Promise((resolve) => {
      const socket = new WebSocket(this.#url);
      this.#socket = socket;
      this.#unsent = this.#next;
      socket.addEventListener('open', () => this.#fill(socket));
      socket.addEventListener('message', (event) => this.#hear(socket, JSON.parse(String(event.data)) as Answer));
      socket.addEventListener('error', () => {});
      socket.addEventListener('close', () => resolve());
    });
  }

  #hear(socket: WebSocket, answer: Answer): void {
    if (answer.result === undefined || answer.id !== this.#next) {
      socket.close();
      return;
    }
    const { partition, offset } = answer.result;
    this.history.acked.set(valueAt(this.#name, this.#next++), { partition, offset: offset ?? -1 });
    this.#fill(socket);
    if (!this.#mustGoOn) socket.close();
  }

  #fill(socket: WebSocket): void {
    const end = this.#isStopping ? this.#sentMax + 1 : this.#next + IN_FLIGHT;
    for (; this.#unsent < end; this.#unsent++) {
      const value = valueAt(this.#name, this.#unsent);
      const params = { topic: 'data_queue', data: recordOf(value), producer: this.#name, sequence: this.#unsent };
      socket.send(JSON.stringify({ jsonrpc: '2.0', id: this.#unsent, method: 'publish', params }));
      this.#sentMax = Math.max(this.#sentMax, this.#unsent);
    }
  }
}
