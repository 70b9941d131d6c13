/** TCP producer, lines or length-framed. With a sequence it says HELLO and re-sends what was not answered. */
import { connect, type Socket } from 'node:net';
import { recordOf, valueAt } from './producer.ts';
import { type WindowOptions, WindowProducer } from './window-producer.ts';

export interface TcpProducerOptions extends WindowOptions {
  readonly framing: 'line' | 'length';
}

export class TcpProducer extends WindowProducer {
  readonly #options: TcpProducerOptions;
  #isGreeted = false;
  /** Of the node that has answered the HELLO. */
  #term: number | undefined;
  #socket: Socket | undefined;

  constructor(options: TcpProducerOptions) {
    super(options);
    this.#options = options;
  }

  protected override converse(): Promise<void> {
    return new Promise((resolve) => {
      const { name, hasSequence, framing } = this.#options;
      const socket = connect({ ...this.route.address, noDelay: true });
      this.#socket = socket;
      this.#isGreeted = !hasSequence;
      this.#term = undefined;
      const input = new AnswerReader(framing, (answer) => this.#hear(answer));
      socket.on('connect', () => {
        if (hasSequence) socket.write(this.#frame(`HELLO ${JSON.stringify({ producer: name, seq: this.next })}`));
        else this.fill();
      });
      socket.on('data', (chunk: Buffer) => input.push(chunk));
      socket.on('error', () => {});
      socket.on('end', () => socket.destroy());
      socket.on('close', () => resolve());
    });
  }

  protected override send(fromSequence: number, toSequence: number): void {
    const frames: Buffer[] = [];
    for (let sequence = fromSequence; sequence < toSequence; sequence++)
      frames.push(this.#frame(recordOf(valueAt(this.#options.name, sequence))));
    this.#socket?.write(Buffer.concat(frames));
  }

  protected override disconnect(): void {
    this.#socket?.destroy();
  }

  #hear(answer: string): void {
    if (!this.#isGreeted) {
      this.#greet(answer);
      return;
    }
    const match = /^OK (\d+):(\d+|-)$/.exec(answer);
    if (match === null) {
      // A refusal: what follows on this connection is refused too.
      this.disconnect();
      return;
    }
    const offset = match[2] === '-' ? -1 : Number(match[2]);
    this.answered({ partition: Number(match[1]), offset }, this.#term);
  }

  #greet(answer: string): void {
    this.#isGreeted = true;
    if (answer.startsWith('OK {')) {
      this.#term = (JSON.parse(answer.slice(3)) as { term?: number }).term;
      this.fill();
    } else this.disconnect();
  }

  #frame(text: string): Buffer {
    if (this.#options.framing === 'line') return Buffer.from(`${text}\n`);
    const frame = Buffer.alloc(4 + Buffer.byteLength(text));
    frame.writeUInt32BE(frame.length - 4);
    frame.write(text, 4);
    return frame;
  }
}

/** Cuts the server's answers out of the stream. */
class AnswerReader {
  readonly #framing: 'line' | 'length';
  readonly #hear: (answer: string) => void;
  #held: Buffer = Buffer.alloc(0);

  constructor(framing: 'line' | 'length', hear: (answer: string) => void) {
    this.#framing = framing;
    this.#hear = hear;
  }

  push(chunk: Buffer): void {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    for (let answer = this.#take(); answer !== undefined; answer = this.#take()) this.#hear(answer);
  }

  #take(): string | undefined {
    const held = this.#held;
    const start = this.#framing === 'line' ? 0 : 4;
    if (held.length < start) return undefined;
    const end = this.#framing === 'line' ? held.indexOf(10) : 4 + held.readUInt32BE(0);
    if (end === -1 || end > held.length) return undefined;
    this.#held = held.subarray(this.#framing === 'line' ? end + 1 : end);
    return held.toString('utf8', start, end);
  }
}
