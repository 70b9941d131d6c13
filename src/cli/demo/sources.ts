/**
 * The producers of the demo. Each numbers its records 1, 2, 3, …, sends again what was not acked, and says of each number when it was acked. Most
 * are a `tandem-client`; one speaks the TCP line protocol itself, as a program in any language would.
 */
import { connect as connectSocket, type Socket } from 'node:net';
import { connect, type TandemClient } from 'tandem-client';
import { NumberSet } from './number-set.ts';
import { recordText } from './record-tally.ts';

export interface Ack {
  readonly term: number;
  readonly partition: number;
  /** null: stored earlier, and the place is no longer known. */
  readonly offset: number | null;
  /** It had been stored by an earlier attempt, perhaps under an older term. */
  readonly isRepeat: boolean;
}

export interface SourceOptions {
  /** From 0. */
  readonly index: number;
  readonly name: string;
  readonly topic: string;
  /** Records that wait to be acked: above it nothing more is offered. */
  readonly waitingMax: number;
  readonly onAck: (ack: Ack) => void;
  /** A record was refused for good, which no record here should be. */
  readonly onRefused: (source: string, problem: string) => void;
}

export interface Source {
  readonly name: string;
  readonly acked: NumberSet;
  /** Highest number that was handed in. */
  readonly offered: number;
  /** Sends the next record, now or as soon as somebody takes it. False: too many wait. */
  offer(): boolean;
  /** What waits is not sent any more. */
  close(): Promise<void>;
}

export class ClientSource implements Source {
  readonly name: string;
  readonly acked = new NumberSet();
  offered = 0;
  readonly #options: SourceOptions;
  readonly #client: TandemClient;
  #isClosed = false;

  constructor(options: SourceOptions, url: string) {
    this.name = options.name;
    this.#options = options;
    const patience = { deadlineMs: Number.POSITIVE_INFINITY, queueMax: options.waitingMax * 2 };
    this.#client = connect({ addresses: url, producer: options.name, ...patience });
  }

  offer(): boolean {
    if (this.#client.pending >= this.#options.waitingMax) return false;
    this.offered++;
    void this.#send(this.offered);
    return true;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#client.close({ flush: false });
  }

  async #send(number: number): Promise<void> {
    const { topic, index, onAck, onRefused } = this.#options;
    try {
      const receipt = await this.#client.publish(topic, recordText(index, number), { sequence: number });
      const { term, partition, offset, isDuplicate: isRepeat } = receipt;
      this.acked.add(number);
      onAck({ term, partition, offset, isRepeat });
    } catch (error) {
      if (!this.#isClosed) onRefused(this.name, String(error));
    }
  }
}

const GREETING_TIMEOUT_MS = 500;
const SILENCE_MAX_MS = 3000;
const RETRY_FIRST_MS = 5;
const RETRY_MS_MAX = 100;
const LINE_FEED = '\n';

/**
 * HELLO names the producer and the first number that comes; its answer tells the term and the last number that is stored, up to which the answers
 * are of an earlier attempt. The numbers after the last acked one are sent again after each break.
 */
export class LineSource implements Source {
  readonly name: string;
  readonly acked = new NumberSet();
  offered = 0;
  readonly #options: SourceOptions;
  readonly #port: number;
  #socket: Socket | undefined;
  /** Answers come in order: up to this number all are acked. */
  #lastAcked = 0;
  #lastSent = 0;
  /** As HELLO's answer told. */
  #term: number | undefined;
  #lastStored = 0;
  #held = '';
  #failures = 0;
  #retry: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: SourceOptions, port: number) {
    this.name = options.name;
    this.#options = options;
    this.#port = port;
    this.#connect();
  }

  offer(): boolean {
    if (this.offered - this.#lastAcked >= this.#options.waitingMax) return false;
    this.offered++;
    if (this.#term !== undefined) this.#send();
    return true;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    this.#socket?.destroy();
  }

  #connect(): void {
    const socket = connectSocket({ port: this.#port, host: '127.0.0.1', noDelay: true });
    this.#socket = socket;
    this.#term = undefined;
    this.#held = '';
    socket.setTimeout(GREETING_TIMEOUT_MS, () => socket.destroy());
    socket.on('connect', () => {
      socket.write(`HELLO ${JSON.stringify({ producer: this.name, seq: this.#lastAcked + 1 })}${LINE_FEED}`);
    });
    socket.on('data', (chunk: Buffer) => this.#read(chunk, socket));
    socket.on('error', () => {});
    socket.on('end', () => socket.destroy());
    socket.on('close', () => this.#reconnect());
  }

  #reconnect(): void {
    if (this.#isClosed) return;
    const boundMs = Math.min(RETRY_FIRST_MS * 2 ** this.#failures++, RETRY_MS_MAX);
    this.#retry = setTimeout(() => this.#connect(), Math.random() * boundMs);
  }

  #read(chunk: Buffer, socket: Socket): void {
    const lines = (this.#held + chunk.toString('latin1')).split(LINE_FEED);
    this.#held = lines.pop() ?? '';
    for (const line of lines) {
      if (socket.destroyed) return;
      if (this.#term === undefined) this.#greeted(line, socket);
      else this.#answered(line, this.#term, socket);
    }
  }

  #greeted(line: string, socket: Socket): void {
    if (!line.startsWith('OK {')) {
      socket.destroy();
      return;
    }
    const { term, seq } = JSON.parse(line.slice(3)) as { readonly term: number; readonly seq: number };
    this.#term = term;
    this.#lastStored = seq;
    this.#lastSent = this.#lastAcked;
    socket.setTimeout(0);
    this.#send();
  }

  #send(): void {
    let lines = '';
    while (this.#lastSent < this.offered) lines += recordText(this.#options.index, ++this.#lastSent) + LINE_FEED;
    if (lines !== '') this.#socket?.write(lines);
    // Only while something is asked for is silence a sign of anything.
    this.#socket?.setTimeout(SILENCE_MAX_MS);
  }

  #answered(line: string, term: number, socket: Socket): void {
    const match = /^OK (\d+):(\d+|-)$/.exec(line);
    if (match === null) {
      // A refusal: what comes after it on this connection is refused too.
      socket.destroy();
      return;
    }
    this.#failures = 0;
    const number = ++this.#lastAcked;
    const offset = match[2] === '-' ? null : Number(match[2]);
    this.acked.add(number);
    if (number === this.#lastSent) socket.setTimeout(0);
    this.#options.onAck({ term, partition: Number(match[1]), offset, isRepeat: number <= this.#lastStored });
  }
}
