/**
 * TCP producer, lines or length-framed, several records in flight. With a sequence it says HELLO and re-sends what was not answered;
 * without one it goes on with new values and counts the unanswered as uncertain.
 */
import { connect, type Socket } from 'node:net';
import { sourceHistory } from '../history.ts';
import { type Producer, pause, RECONNECT_MS, recordOf, valueAt } from './producer.ts';

export interface TcpProducerOptions {
  readonly name: string;
  readonly port: number;
  readonly framing: 'line' | 'length';
  readonly hasSequence: boolean;
  readonly inFlight: number;
}

export class TcpProducer implements Producer {
  readonly history;
  readonly complaints: string[] = [];
  readonly #options: TcpProducerOptions;
  /** The first sequence that is not answered. */
  #next = 1;
  /** The first sequence that was not sent on this connection. */
  #unsent = 1;
  /** The last sequence that was sent on any. */
  #sentMax = 0;
  #isGreeted = false;
  #isStopping = false;
  #socket: Socket | undefined;
  readonly #ended: Promise<void>;

  constructor(options: TcpProducerOptions) {
    this.#options = options;
    this.history = sourceHistory(options.name, options.hasSequence);
    this.#ended = this.#run();
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    if (!this.#mustGoOn) this.#socket?.destroy();
    await this.#ended;
  }

  get #mustGoOn(): boolean {
    return !this.#isStopping || this.#next <= this.#sentMax;
  }

  async #run(): Promise<void> {
    while (this.#mustGoOn) {
      await this.#converse();
      if (!this.#options.hasSequence) this.#forgetUnanswered();
      await pause(RECONNECT_MS);
    }
  }

  /** One connection, to its end. */
  #converse(): Promise<void> {
    return new Promise((resolve) => {
      const { port, name, hasSequence, framing } = this.#options;
      const socket = connect(port, '127.0.0.1');
      this.#socket = socket;
      this.#isGreeted = !hasSequence;
      this.#unsent = this.#next;
      const input = new AnswerReader(framing, (answer) => this.#hear(answer));
      socket.on('connect', () => {
        if (hasSequence) socket.write(this.#frame(`HELLO ${JSON.stringify({ producer: name, seq: this.#next })}`));
        else this.#fill();
      });
      socket.on('data', (chunk: Buffer) => input.push(chunk));
      socket.on('error', () => {});
      socket.on('end', () => socket.destroy());
      socket.on('close', () => resolve());
    });
  }

  #hear(answer: string): void {
    if (!this.#isGreeted) {
      this.#isGreeted = true;
      if (answer.startsWith('OK {')) this.#fill();
      else this.#socket?.destroy();
      return;
    }
    const match = /^OK (\d+):(\d+|-)$/.exec(answer);
    if (match === null) {
      // A refusal: what follows on this connection is refused too.
      this.#socket?.destroy();
      return;
    }
    const value = valueAt(this.#options.name, this.#next++);
    this.history.acked.set(value, { partition: Number(match[1]), offset: match[2] === '-' ? -1 : Number(match[2]) });
    this.#fill();
    if (!this.#mustGoOn) this.#socket?.destroy();
  }

  /** Sends on while there is room; when stopping, only what had been sent before. */
  #fill(): void {
    const end = this.#isStopping ? this.#sentMax + 1 : this.#next + this.#options.inFlight;
    const frames: Buffer[] = [];
    for (; this.#unsent < end; this.#unsent++)
      frames.push(this.#frame(recordOf(valueAt(this.#options.name, this.#unsent))));
    this.#sentMax = Math.max(this.#sentMax, this.#unsent - 1);
    if (frames.length > 0) this.#socket?.write(Buffer.concat(frames));
  }

  #forgetUnanswered(): void {
    for (; this.#next <= this.#sentMax; this.#next++) {
      this.history.uncertain.add(valueAt(this.#options.name, this.#next));
    }
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
    this.#held = Buffer.concat([this.#held, chunk]);
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
