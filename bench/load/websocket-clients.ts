/**
 * Many WebSocket clients in one process, as cheap as can be: raw sockets, frames are counted by their headers, payloads are not decoded.
 * The same code listens to Tandem and to the peer.
 */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';

/** How many handshakes are under way at once. */
const OPENING_MAX = 100;
const FINAL_TEXT_FRAME = 0x81;

export interface ClientsOptions {
  readonly port: number;
  readonly path: string;
  readonly clients: number;
  /** Sent as the first message of each client, if given. */
  readonly greeting?: string;
  /** The first so many text frames of a client are not deliveries (answers to the greeting). */
  readonly answers: number;
}

export class WebSocketClients {
  /** Deliveries to all clients so far. */
  delivered = 0;
  onDelivered: () => void = () => {};
  readonly #sockets: Socket[] = [];
  readonly #options: ClientsOptions;
  #answered = 0;

  constructor(options: ClientsOptions) {
    this.#options = options;
  }

  /** Resolves when all are connected and their greetings are answered. */
  async open(): Promise<void> {
    const { clients, answers } = this.#options;
    for (let opened = 0; opened < clients; opened += OPENING_MAX) {
      await Promise.all(Array.from({ length: Math.min(OPENING_MAX, clients - opened) }, () => this.#openOne()));
    }
    while (this.#answered < clients * answers) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async #openOne(): Promise<void> {
    const { port, path, greeting } = this.#options;
    const socket = connect(port, '127.0.0.1');
    socket.setNoDelay(true);
    const key = randomBytes(16).toString('base64');
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
    );
    const rest = await upgraded(socket);
    const counter = new FrameCounter(this.#options.answers);
    const take = (chunk: Buffer): void => {
      const { answers, deliveries } = counter.push(chunk);
      this.#answered += answers;
      if (deliveries === 0) return;
      this.delivered += deliveries;
      this.onDelivered();
    };
    if (rest.length > 0) take(rest);
    socket.on('data', take);
    socket.on('error', () => {});
    if (greeting !== undefined) socket.write(maskedText(greeting));
    this.#sockets.push(socket);
  }
}

/** Resolves with what came after the head of the server's answer. */
function upgraded(socket: Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let head = Buffer.alloc(0);
    const onData = (chunk: Buffer): void => {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf('\r\n\r\n');
      if (end === -1) return;
      socket.off('data', onData);
      if (head.toString('latin1', 0, 12) === 'HTTP/1.1 101') resolve(head.subarray(end + 4));
      else reject(new RangeError(`no upgrade: ${head.toString('latin1', 0, 200)}`));
    };
    socket.on('data', onData);
    socket.once('error', reject);
  });
}

function maskedText(text: string): Buffer {
  const payload = Buffer.from(text);
  const head =
    payload.length < 126
      ? Buffer.from([FINAL_TEXT_FRAME, 0x80 | payload.length])
      : Buffer.from([FINAL_TEXT_FRAME, 0xfe, payload.length >> 8, payload.length & 255]);
  // A mask of zeros leaves the payload as it is.
  return Buffer.concat([head, Buffer.alloc(4), payload]);
}

/** Counts unmasked text frames in a stream; other frames are passed over. */
class FrameCounter {
  #answersLeft: number;
  /** Bytes of the current frame that are still to come. */
  #skip = 0;
  #head: Buffer | undefined;

  constructor(answers: number) {
    this.#answersLeft = answers;
  }

  push(input: Buffer): { answers: number; deliveries: number } {
    const chunk = this.#head === undefined ? input : Buffer.concat([this.#head, input]);
    this.#head = undefined;
    let frames = 0;
    let at = this.#skip;
    while (at < chunk.length) {
      const short = (chunk[at + 1] as number) & 127;
      const headBytes = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (chunk.length - at < headBytes) {
        this.#head = chunk.subarray(at);
        at = chunk.length;
        break;
      }
      const bytes =
        short < 126 ? short : short === 126 ? chunk.readUInt16BE(at + 2) : Number(chunk.readBigUInt64BE(at + 2));
      if (chunk[at] === FINAL_TEXT_FRAME) frames++;
      at += headBytes + bytes;
    }
    this.#skip = at - chunk.length;
    const answers = Math.min(this.#answersLeft, frames);
    this.#answersLeft -= answers;
    return { answers, deliveries: frames - answers };
  }
}
