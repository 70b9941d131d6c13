/** Serves this slot's partitions to the other slots' processes. Reads no more from a connection while too much of it is unfinished. */
import type { Server, Socket } from 'node:net';
import { createServer } from 'node:net';
import type { Logger } from '../../../core/contracts/telemetry.ts';
import { asTandemError, TandemError } from '../../../core/errors.ts';
import type { Clock } from '../../../core/ports/clock.ts';
import type { Position } from '../../../core/position.ts';
import type { TopicPartition } from '../../../core/record.ts';
import type { Frame, FrameKind } from './frames.ts';
import { encodeFrame, FrameReader, KIND } from './frames.ts';
import { appendOf, errorHead, readMessage } from './messages.ts';
import type { OwnerStore } from './owner-store.ts';

const UNFINISHED_BYTES_MAX = 32 * 1024 * 1024;
const BYE_WAIT_MS = 1000;

export interface PeerServerOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly own: () => OwnerStore;
}

export class PeerServer {
  readonly #options: PeerServerOptions;
  readonly #server: Server;
  readonly #connections = new Set<PeerConnection>();
  #isClosing = false;

  /** Nothing else may listen at the path: whoever holds the slot's journal may. */
  constructor(options: PeerServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#accept(socket));
    this.#server.on('error', (error) => options.logger.error('peer_server_failed', { error: String(error) }));
    this.#server.listen(options.path);
    this.#server.unref();
  }

  /** Takes no new connections and answers all requests of those it has. */
  async drain(): Promise<void> {
    this.#isClosing = true;
    this.#server.close();
    await Promise.all([...this.#connections].map((connection) => connection.drain(this.#options.clock)));
  }

  close(): void {
    for (const connection of this.#connections) connection.end();
  }

  #accept(socket: Socket): void {
    if (this.#isClosing) {
      socket.destroy();
      return;
    }
    const connection = new PeerConnection(socket, this.#options.own());
    this.#connections.add(connection);
    socket.on('close', () => {
      this.#connections.delete(connection);
      connection.lost();
    });
  }
}

class PeerConnection {
  readonly #socket: Socket;
  readonly #own: OwnerStore;
  readonly #stops = new Map<number, () => void>();
  readonly #wakes = new Set<number>();
  #unfinishedBytes = 0;
  #unfinished = 0;
  #hasBye = false;
  #whenIdle: (() => void) | undefined;
  #isCorked = false;

  constructor(socket: Socket, own: OwnerStore) {
    this.#socket = socket;
    this.#own = own;
    const reader = new FrameReader((frame) => this.#take(frame));
    socket.unref();
    socket.on('data', (chunk: Buffer) => {
      if (!reader.push(chunk)) socket.destroy();
    });
    socket.on('drain', () => this.#resume());
    socket.on('error', () => socket.destroy());
  }

  lost(): void {
    for (const stop of this.#stops.values()) stop();
    this.#stops.clear();
    this.#hasBye = true;
    this.#unfinished = 0;
    this.#settle();
  }

  drain(clock: Clock): Promise<void> {
    return new Promise((resolve) => {
      const timer = clock.after(BYE_WAIT_MS, resolve);
      this.#whenIdle = () => {
        timer.cancel();
        resolve();
      };
      this.#send(0, KIND.closing, undefined);
      this.#settle();
    });
  }

  end(): void {
    this.#uncork();
    this.#socket.end();
  }

  #take(frame: Frame): void {
    if (frame.kind === KIND.bye) {
      this.#hasBye = true;
      this.#settle();
    } else if (frame.kind === KIND.watch) this.#watch(frame.id, frame.head as TopicPartition);
    else if (frame.kind === KIND.unwatch) this.#unwatch(frame.id);
    else void this.#serve(frame);
  }

  async #serve(frame: Frame): Promise<void> {
    const bytes = frame.body.length;
    this.#unfinished++;
    this.#unfinishedBytes += bytes;
    if (this.#unfinishedBytes > UNFINISHED_BYTES_MAX) this.#socket.pause();
    try {
      const { head, body } = await this.#answer(frame);
      this.#send(frame.id, KIND.ok, head, body);
    } catch (error) {
      this.#send(frame.id, KIND.failed, errorHead(asTandemError(error)));
    }
    this.#unfinished--;
    this.#unfinishedBytes -= bytes;
    this.#resume();
    this.#settle();
  }

  async #answer(frame: Frame): Promise<{ head: unknown; body?: Uint8Array[] }> {
    if (frame.kind === KIND.append) {
      const { batch, writerTerm } = appendOf(frame);
      return { head: await this.#own.append(batch, writerTerm) };
    }
    const request = frame.head as TopicPartition & {
      from: Position;
      bytesMax: number;
      beforeOffset: number;
      producerId: string;
      term: number;
      writerTerm?: number;
    };
    const { topic, partition } = request;
    switch (frame.kind) {
      case KIND.read:
        return readMessage(topic, partition, await this.#own.read(request, request.from, request.bytesMax));
      case KIND.state:
        return { head: await this.#own.state(request) };
      case KIND.trim:
        return { head: await this.#own.trim(request, request.beforeOffset, request.writerTerm) };
      case KIND.lastSequence:
        return { head: await this.#own.lastSequence(request, request.producerId) };
      case KIND.claim:
        await this.#own.claim(request, request.term, request.writerTerm);
        return { head: undefined };
      default:
        throw new TandemError('TANDEM_INTERNAL', { detail: `unknown frame kind ${frame.kind}` });
    }
  }

  #watch(id: number, place: TopicPartition): void {
    try {
      this.#stops.set(
        id,
        this.#own.watch(place, () => this.#wake(id)),
      );
    } catch (error) {
      this.#send(id, KIND.failed, errorHead(asTandemError(error)));
    }
  }

  #unwatch(id: number): void {
    this.#stops.get(id)?.();
    this.#stops.delete(id);
  }

  /** A client that does not read gets one wake for many. */
  #wake(id: number): void {
    this.#wakes.add(id);
    if (!this.#socket.writableNeedDrain) this.#sendWakes();
  }

  #sendWakes(): void {
    for (const id of this.#wakes) this.#send(id, KIND.wake, undefined);
    this.#wakes.clear();
  }

  #resume(): void {
    if (this.#wakes.size > 0 && !this.#socket.writableNeedDrain) this.#sendWakes();
    const isBusy =
      this.#unfinishedBytes > UNFINISHED_BYTES_MAX / 2 || this.#socket.writableLength > UNFINISHED_BYTES_MAX;
    if (!isBusy && this.#socket.isPaused()) this.#socket.resume();
  }

  #settle(): void {
    if (this.#hasBye && this.#unfinished === 0) this.#whenIdle?.();
  }

  #send(id: number, kind: FrameKind, head: unknown, body?: readonly Uint8Array[]): void {
    if (this.#socket.destroyed) return;
    if (!this.#isCorked) {
      this.#isCorked = true;
      this.#socket.cork();
      process.nextTick(() => this.#uncork());
    }
    for (const piece of encodeFrame(id, kind, head, body)) if (piece.length > 0) this.#socket.write(piece);
    if (this.#socket.writableLength > UNFINISHED_BYTES_MAX) this.#socket.pause();
  }

  #uncork(): void {
    if (!this.#isCorked) return;
    this.#isCorked = false;
    this.#socket.uncork();
  }
}
