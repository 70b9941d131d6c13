/**
 * One WebSocket client after the handshake: frames in, JSON-RPC, replies and deliveries out. It is the transport of its push session.
 *
 * States: open -> draining (requests in hand are answered, no more are read) -> closing (our close frame is out, only the client's is awaited)
 * -> closed. An idle connection holds this object, its parser and three listeners that are shared by all; nothing else (the session is
 * opened by the first subscribe). At 10,000 connections each field counts.
 * Back-pressure: the socket is not read while ingest is saturated or while the client leaves REPLY_BYTES_MAX untaken.
 */
import type { Socket } from 'node:net';
import type { Identity } from '../../core/contracts/auth.ts';
import type { Ingest } from '../../core/contracts/ingest.ts';
import type { Push, PushEncoder, PushSession, Transport } from '../../core/contracts/push.ts';
import type { Logger } from '../../core/contracts/telemetry.ts';
import { TandemError } from '../../core/errors.ts';
import type { Clock } from '../../core/ports/clock.ts';
import type { ByteBudget } from '../http/byte-budget.ts';
import { encodeCloseFrame, encodePongFrame, encodeTextFrame, PING_FRAME } from './frame-encoder.ts';
import { FrameParser, type FrameSink } from './frame-parser.ts';
import type { PingWheel, WheelMember } from './ping-wheel.ts';
import type { WebSocketEncoder } from './record-notification.ts';
import { dispatch, type RpcMethods, type RpcPeer } from './rpc-call.ts';

/** What all connections of a listener share. */
export interface WebSocketHub {
  readonly ingest: Ingest;
  readonly push: Push;
  readonly methods: RpcMethods;
  readonly encoder: WebSocketEncoder;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly wheel: PingWheel<WebSocketConnection>;
  /** Half-received messages. */
  readonly budget: ByteBudget;
  readonly messageBytesMax: number;
}

/** Bytes that the client has not taken. Above: it is not read. */
const REPLY_BYTES_MAX = 256 * 1024;
/** From our close frame to the client's; then the socket is cut. */
const CLOSE_TIMEOUT_MS = 5000;
const CLOSE_UNSUPPORTED = 1003;
const EMPTY = Buffer.alloc(0);
const NO_POSITIONS: ReadonlyMap<string, string> = new Map();

const OPEN = 0;
const DRAINING = 1;
const CLOSING = 2;
const CLOSED = 3;

const CONNECTION: unique symbol = Symbol('connection');
interface ServedSocket extends Socket {
  [CONNECTION]?: WebSocketConnection;
}

export class WebSocketConnection implements FrameSink, Transport, RpcPeer, WheelMember {
  readonly identity: Identity;
  readonly affinity: number;
  readonly #hub: WebSocketHub;
  readonly #socket: ServedSocket;
  readonly #parser: FrameParser;
  readonly #slot: number;
  #state = OPEN;
  #session: PushSession | undefined;
  #replies: string[] | undefined;
  #callsInHand = 0;
  #heldBytes = 0;
  #isAwaitingPong = false;
  #isHeldByIngest = false;
  #isHeldByClient = false;

  constructor(hub: WebSocketHub, socket: Socket, identity: Identity, affinity: number) {
    this.identity = identity;
    this.affinity = affinity;
    this.#hub = hub;
    this.#socket = socket;
    this.#parser = new FrameParser(hub.messageBytesMax);
    this.#slot = hub.wheel.add(this);
    this.#socket[CONNECTION] = this;
    socket.on('data', onData);
    socket.on('end', onEnd);
    socket.on('close', onClose);
  }

  // ------------------------------------------------------------ Transport

  get encoder(): PushEncoder {
    return this.#hub.encoder;
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  write(bytes: Buffer): void {
    if (this.#state <= DRAINING) this.#socket.write(bytes);
  }

  whenDrained(callback: () => void): void {
    if (this.#state === CLOSED || this.#socket.writableLength === 0) {
      this.#hub.clock.soon(callback);
      return;
    }
    // An empty write is done when all before it are; 'drain' would only come above the high-water mark.
    this.#socket.write(EMPTY, () => {
      if (this.#state !== CLOSED && this.#socket.writableLength > 0) this.whenDrained(callback);
      else callback();
    });
  }

  end(error: TandemError, positions: ReadonlyMap<string, string>): void {
    if (this.#state >= CLOSING) return;
    this.flushReplies();
    this.#socket.write(this.#hub.encoder.closing(error, positions));
    this.#close(error.closeCode, error.code);
  }

  // ------------------------------------------------------------ RpcPeer

  session(): PushSession {
    this.#session ??= this.#hub.push.openSession(this);
    return this.#session;
  }

  reply(text: string): void {
    if (this.#replies !== undefined) {
      this.#replies.push(text);
      return;
    }
    this.#replies = [text];
    process.nextTick(flushReplies, this);
  }

  flushReplies(): void {
    const replies = this.#replies;
    if (replies === undefined) return;
    this.#replies = undefined;
    if (this.#state > DRAINING) return;
    const frames = replies.map(encodeTextFrame);
    this.#socket.write(frames.length === 1 ? (frames[0] as Buffer) : Buffer.concat(frames));
    if (this.#socket.writableLength > REPLY_BYTES_MAX) this.#holdForClient();
  }

  callBegan(): void {
    this.#callsInHand++;
  }

  callEnded(): void {
    this.#callsInHand--;
    if (this.#state === DRAINING && this.#callsInHand === 0) this.#endForDrain();
  }

  // ------------------------------------------------------------ input

  received(chunk: Buffer): void {
    this.#isAwaitingPong = false;
    const closeCode = this.#parser.push(chunk, this);
    if (closeCode !== 0) this.#close(closeCode, '');
    const { heldBytes } = this.#parser;
    if (heldBytes !== this.#heldBytes && this.#state !== CLOSED) {
      const change = heldBytes - this.#heldBytes;
      this.#heldBytes = heldBytes;
      if (!this.#hub.budget.change(change)) {
        const detail = 'half-received messages; limits.ingestBytesMax';
        this.end(new TandemError('TANDEM_OVERLOADED', { detail }), NO_POSITIONS);
        this.#socket.destroySoon();
      }
    }
    if (this.#hub.ingest.isSaturated) this.#holdForIngest();
  }

  message(payload: Buffer, isText: boolean): void {
    if (this.#state !== OPEN) return;
    if (isText) dispatch(payload.toString('utf8'), this, this.#hub.methods);
    else this.#close(CLOSE_UNSUPPORTED, 'text only');
  }

  ping(payload: Buffer): void {
    if (this.#state > DRAINING) return;
    this.#socket.write(encodePongFrame(payload));
    if (this.#socket.writableLength > REPLY_BYTES_MAX) this.#holdForClient();
  }

  pong(): void {}

  closed(code: number, reason: string): void {
    if (this.#state <= DRAINING) this.#close(code, reason);
    this.#socket.end();
  }

  // ------------------------------------------------------------ life

  /** Answers what is in hand, then ends with TANDEM_DRAINING and the positions. */
  drain(): void {
    if (this.#state !== OPEN) return;
    this.#state = DRAINING;
    this.#socket.pause();
    if (this.#callsInHand === 0) this.#endForDrain();
  }

  pingDue(): void {
    // What is not read cannot answer: a wait for ingest is not the client's fault.
    if (this.#state !== OPEN || this.#isHeldByIngest) return;
    if (this.#isAwaitingPong) {
      this.#hub.logger.debug('websocket_idle', { remote: this.#socket.remoteAddress });
      this.#endSession(new TandemError('TANDEM_SESSION_IDLE', { detail: 'no answer to a ping' }));
      return;
    }
    this.#isAwaitingPong = true;
    this.#socket.write(PING_FRAME);
  }

  /** The client will send no more. */
  inputEnded(): void {
    this.#socket.end();
    if (this.#state >= CLOSING) return;
    this.#state = CLOSING;
    this.#cutLater();
  }

  gone(): void {
    this.#state = CLOSED;
    this.#hub.wheel.delete(this, this.#slot);
    this.#hub.budget.change(-this.#heldBytes);
    this.#heldBytes = 0;
    this.#session?.close();
    this.#session = undefined;
  }

  #endForDrain(): void {
    this.#endSession(new TandemError('TANDEM_DRAINING'));
  }

  #endSession(error: TandemError): void {
    if (this.#session === undefined) this.end(error, NO_POSITIONS);
    else this.#session.end(error);
  }

  #close(code: number, reason: string): void {
    if (this.#state >= CLOSING) return;
    this.flushReplies();
    this.#state = CLOSING;
    this.#socket.write(encodeCloseFrame(code, reason));
    this.#session?.close();
    this.#session = undefined;
    // The client's close frame must be seen.
    this.#socket.resume();
    this.#cutLater();
  }

  #cutLater(): void {
    const socket = this.#socket;
    const timer = this.#hub.clock.after(CLOSE_TIMEOUT_MS, () => socket.destroy());
    socket.once('close', () => timer.cancel());
  }

  #holdForIngest(): void {
    if (this.#isHeldByIngest) return;
    this.#isHeldByIngest = true;
    this.#socket.pause();
    this.#hub.ingest.whenReady(() => {
      this.#isHeldByIngest = false;
      this.#resume();
    });
  }

  #holdForClient(): void {
    if (this.#isHeldByClient) return;
    this.#isHeldByClient = true;
    this.#socket.pause();
    this.whenDrained(() => {
      this.#isHeldByClient = false;
      this.#resume();
    });
  }

  #resume(): void {
    const isHeld = this.#isHeldByIngest || this.#isHeldByClient || this.#state === DRAINING;
    if (!isHeld && this.#state !== CLOSED) this.#socket.resume();
  }
}

// Shared by all sockets: a closure per connection and event would cost a fifth of the whole.

function onData(this: ServedSocket, chunk: Buffer): void {
  this[CONNECTION]?.received(chunk);
}

function onEnd(this: ServedSocket): void {
  this[CONNECTION]?.inputEnded();
}

function onClose(this: ServedSocket): void {
  this[CONNECTION]?.gone();
}

function flushReplies(connection: WebSocketConnection): void {
  connection.flushReplies();
}
