/** WebSocket producer with a sequence: several `publish` calls in flight. */
import { recordOf, valueAt } from './producer.ts';
import { type WindowOptions, WindowProducer } from './window-producer.ts';

interface Answer {
  readonly id: number;
  readonly result?: { readonly partition: number; readonly offset: number | null; readonly term?: number };
  readonly error?: { readonly code: number; readonly message: string };
}

export class WebSocketProducer extends WindowProducer {
  readonly #name: string;
  #socket: WebSocket | undefined;
  #hasEnded: () => void = () => {};

  constructor(options: Omit<WindowOptions, 'hasSequence'>) {
    super({ ...options, hasSequence: true });
    this.#name = options.name;
  }

  protected override converse(): Promise<void> {
    return new Promise((resolve) => {
      this.#hasEnded = resolve;
      const socket = new WebSocket(`ws://${this.route.authority}/ws`);
      this.#socket = socket;
      socket.addEventListener('open', () => {
        if (socket === this.#socket) this.fill();
      });
      socket.addEventListener('message', (event) => this.#hear(socket, JSON.parse(String(event.data)) as Answer));
      socket.addEventListener('error', () => {});
      socket.addEventListener('close', () => resolve());
    });
  }

  protected override send(fromSequence: number, toSequence: number): void {
    for (let sequence = fromSequence; sequence < toSequence; sequence++) {
      const data = recordOf(valueAt(this.#name, sequence));
      const params = { topic: 'data_queue', data, producer: this.#name, sequence };
      this.#socket?.send(JSON.stringify({ jsonrpc: '2.0', id: sequence, method: 'publish', params }));
    }
  }

  /** Where nothing arrives, the close handshake does not end either: nobody waits for it. */
  protected override disconnect(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close();
    this.#hasEnded();
  }

  #hear(socket: WebSocket, { id, result }: Answer): void {
    if (socket !== this.#socket) return;
    if (result === undefined || id !== this.next) this.disconnect();
    else this.answered({ partition: result.partition, offset: result.offset ?? -1 }, result.term);
  }
}
