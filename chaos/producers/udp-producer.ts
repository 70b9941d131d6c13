/** UDP producer: one datagram at a time; no answer in time makes its value uncertain. */
import { createSocket } from 'node:dgram';
import { type Place, SourceHistory } from '../evidence/source-history.ts';
import { Pace, type Producer, type ProducerOptions, pause, recordOf, valueAt } from './producer.ts';
import { Route } from './route.ts';

const ANSWER_TIMEOUT_MS = 300;

export interface UdpProducerOptions extends ProducerOptions {
  /** The network between may double and overtake its datagrams. */
  readonly mayRepeat?: boolean;
}

export class UdpProducer implements Producer {
  readonly history: SourceHistory;
  readonly complaints: string[] = [];
  readonly #route: Route;
  readonly #pace: Pace;
  #isStopping = false;
  readonly #ended: Promise<void>;

  constructor({ name, port, values, recordsPerSecond, mayRepeat = false }: UdpProducerOptions) {
    this.#route = Route.of(port);
    this.#pace = new Pace(recordsPerSecond);
    this.history = new SourceHistory({ name, hasSequence: false, mayRepeat }, values);
    this.#ended = this.#run(name);
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#ended;
  }

  abandon(): void {
    this.#isStopping = true;
  }

  async #run(name: string): Promise<void> {
    for (let sequence = 1; !this.#isStopping; sequence++) {
      const sentMs = performance.now();
      const node = this.#route.index;
      const answer = await this.#ask(recordOf(valueAt(name, sequence)));
      const place = placeIn(answer);
      if (place === undefined) {
        this.history.doubt(sequence, node);
        this.#route.next();
      } else this.history.ack(sequence, place, sentMs, { node });
      this.#pace.spend(1);
      const waitMs = this.#pace.waitMs();
      if (waitMs > 0) await pause(waitMs);
    }
  }

  /** A socket for each question: a late answer cannot be taken for another's. */
  #ask(record: string): Promise<string> {
    return new Promise((resolve) => {
      const socket = createSocket('udp4');
      const finish = (answer: string): void => {
        clearTimeout(timer);
        socket.close();
        resolve(answer);
      };
      const timer = setTimeout(() => finish(''), ANSWER_TIMEOUT_MS);
      socket.on('error', () => {});
      socket.once('message', (message) => finish(message.toString()));
      const { host, port } = this.#route.address;
      socket.send(record, port, host);
    });
  }
}

/** A spool names no offset. undefined: not an acknowledgement. */
function placeIn(answer: string): Place | undefined {
  const match = /^OK (\d+):(\d+|-)$/.exec(answer);
  return match === null ? undefined : { partition: Number(match[1]), offset: match[2] === '-' ? -1 : Number(match[2]) };
}
