/** WebSocket subscriber; resumes from the position of the last record that it got. */
import { type DeliveredRecord, PartitionWatch } from '../evidence/partition-watch.ts';
import { pause, RECONNECT_MS } from '../producers/producer.ts';
import { Route } from '../producers/route.ts';
import { CANNOT_RESUME, GAP, SILENCE_MS, type Subscriber, type SubscriberOptions } from './subscriber.ts';

interface Message {
  readonly method?: string;
  readonly params?: DeliveredRecord & { readonly position: string };
  readonly result?: { readonly position: string; readonly isComplete: boolean };
}

export class WebSocketSubscriber implements Subscriber {
  readonly watch: PartitionWatch;
  readonly #route: Route;
  #position: string | undefined;
  #isStopping = false;
  #disconnect: () => void = () => {};
  readonly #ended: Promise<void>;

  constructor({ name, port, values, watch = {} }: SubscriberOptions) {
    this.#route = Route.of(port);
    this.watch = new PartitionWatch(name, values, watch);
    this.#ended = this.#run();
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#disconnect();
    await this.#ended;
  }

  async #run(): Promise<void> {
    while (!this.#isStopping) {
      await this.#converse();
      this.#route.next();
      await pause(RECONNECT_MS);
    }
  }

  /** One connection. Nobody waits for its close handshake: where nothing arrives, that does not end either. */
  #converse(): Promise<void> {
    return new Promise((resolve) => {
      const socket = new WebSocket(`ws://${this.#route.authority}/ws`);
      let isOver = false;
      const end = (): void => {
        isOver = true;
        clearTimeout(silence);
        socket.close();
        resolve();
      };
      const silence = setTimeout(end, SILENCE_MS);
      this.#disconnect = end;
      socket.addEventListener('open', () => {
        const params = { channel: 'data_queue', from: this.#position ?? 'start' };
        if (!isOver) socket.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'subscribe', params }));
      });
      socket.addEventListener('message', (event) => {
        if (isOver) return;
        silence.refresh();
        this.#hear(JSON.parse(String(event.data)) as Message);
      });
      socket.addEventListener('error', () => {});
      socket.addEventListener('close', end);
    });
  }

  #hear({ method, params, result }: Message): void {
    if (method === 'record' && params !== undefined) {
      this.watch.take(params);
      this.#position = params.position;
    } else if (method === 'gap' && params !== undefined) {
      this.watch.tellGap(GAP);
      this.#position = params.position;
    } else if (result?.isComplete === false) {
      this.watch.tellGap(CANNOT_RESUME);
      this.#position = result.position;
    }
  }
}
