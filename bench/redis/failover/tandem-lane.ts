/** TCP lines with a producer and sequences to a Tandem node: after a loss it goes on with what was not answered. */
import { connect, type Socket } from 'node:net';
import { Lane, type LaneOptions, recordOf } from './lane.ts';

export class TandemLane extends Lane {
  readonly #port: number;
  #socket: Socket | undefined;
  #isGreeted = false;
  /** The first sequence that is not answered. */
  #next = 1;
  #held = '';

  constructor(options: LaneOptions & { readonly port: number }) {
    super(options);
    this.#port = options.port;
  }

  protected override get isSettled(): boolean {
    return this.#next > this.log.sent;
  }

  /** Not limited by what is in flight: latencies are those of clients that do not wait for each other. */
  protected override send(count: number): void {
    const from = this.log.sent + 1;
    for (let i = 0; i < count; i++) this.log.send();
    if (this.#isGreeted) this.#write(from);
  }

  protected override disconnect(): void {
    this.#socket?.destroy();
  }

  protected override converse(): Promise<void> {
    return new Promise((resolve) => {
      const socket = connect(this.#port, '127.0.0.1').setNoDelay(true);
      this.#socket = socket;
      this.#isGreeted = false;
      this.#held = '';
      socket.on('connect', () =>
        socket.write(`HELLO ${JSON.stringify({ producer: this.log.name, seq: this.#next })}\n`),
      );
      socket.on('data', (chunk: Buffer) => this.#read(chunk));
      socket.on('error', () => {});
      socket.on('end', () => socket.destroy());
      socket.on('close', () => {
        this.#isGreeted = false;
        resolve();
      });
    });
  }

  #read(chunk: Buffer): void {
    const lines = (this.#held + chunk.toString('latin1')).split('\n');
    this.#held = lines.pop() as string;
    for (const line of lines) if (!this.#hear(line)) return;
  }

  /** False: the connection is of no use any more. */
  #hear(answer: string): boolean {
    if (!answer.startsWith('OK ')) {
      this.log.refused++;
      this.disconnect();
      return false;
    }
    if (this.#isGreeted) this.log.ack(this.#next++);
    else {
      this.#isGreeted = true;
      this.#write(this.#next);
    }
    return true;
  }

  #write(from: number): void {
    let text = '';
    for (let sequence = from; sequence <= this.log.sent; sequence++) text += `${recordOf(this.log.name, sequence)}\n`;
    if (text !== '') this.#socket?.write(text);
  }
}
