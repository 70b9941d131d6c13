/** UDP producer: one datagram at a time; no answer in time makes its value uncertain. */
import { createSocket } from 'node:dgram';
import { sourceHistory } from '../history.ts';
import { type Producer, recordOf, valueAt } from './producer.ts';

const ANSWER_TIMEOUT_MS = 300;

export class UdpProducer implements Producer {
  readonly history;
  readonly complaints: string[] = [];
  readonly #port: number;
  #isStopping = false;
  readonly #ended: Promise<void>;

  constructor(name: string, port: number) {
    this.#port = port;
    this.history = sourceHistory(name, false);
    this.#ended = this.#run(name);
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#ended;
  }

  async #run(name: string): Promise<void> {
    for (let sequence = 1; !this.#isStopping; sequence++) {
      const value = valueAt(name, sequence);
      const answer = await this.#ask(recordOf(value));
      const match = /^OK (\d+):(\d+)$/.exec(answer);
      if (match !== null) this.history.acked.set(value, { partition: Number(match[1]), offset: Number(match[2]) });
      else this.history.uncertain.add(value);
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
      socket.send(record, this.#port, '127.0.0.1');
    });
  }
}
