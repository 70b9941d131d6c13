/** WebSocket subscriber from the start; after each loss it resumes from the position of the last record it got. */
import { pause, RECONNECT_MS } from '../producers/producer.ts';
import { type DeliveredRecord, PartitionWatch } from './partition-watch.ts';

interface Message {
  readonly method?: string;
  readonly params?: DeliveredRecord & { readonly position: string };
  readonly result?: { readonly position: string; readonly isComplete: boolean };
}

export class WebSocketSubscriber {
  readonly watch: PartitionWatch;
  readonly #url: string;
  readonly #name: string;
  #position: string | undefined;
  #isStopping = false;
  #socket: WebSocket | undefined;
  readonly #ended: Promise<void>;

  constructor(name: string, port: number) {
    this.#name = name;
    this.#url = `ws://127.0.0.1:${port}/ws`;
    this.watch = new PartitionWatch(name);
    this.#ended = this.#run();
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#socket?.close();
    await this.#ended;
  }

  async #run(): Promise<void> {
    while (!this.#isStopping) {
      await this.#converse();
      await pause(RECONNECT_MS);
    }
  }

  #converse(): Promise<void> {
    return new Promise((resolve) => {
      const socket = new WebSocket(this.#url);
      this.#socket = socket;
      socket.addEventListener('open', () => {
        const params = { channel: 'data_queue', from: this.#position ?? 'start' };
        socket.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'subscribe', params }));
      });
      socket.addEventListener('message', (event) => this.#hear(JSON.parse(String(event.data)) as Message));
      socket.addEventListener('error', () => {});
      socket.addEventListener('close', () => resolve());
    });
  }

  #hear(message: Message): void {
    if (message.method === 'record' && message.params !== undefined) {
      this.watch.take(message.params);
      this.#position = message.params.position;
    } else if (message.result?.isComplete === false) {
      this.watch.complaints.push(`${this.#name}: cannot resume, though nothing was trimmed`);
    }
  }
}
