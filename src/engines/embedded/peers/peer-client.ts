/**
 * Another slot's partitions, reached over its socket. The owner may be restarting: requests then wait for it, up to OUTAGE_MS.
 * What was sent when the connection was lost and may be repeated (reads; appends with a producer, which are stored once) is sent again, in
 * order; an append without a producer is rejected with TANDEM_OWNER_UNAVAILABLE, since it may have been stored. Watches are armed
 * again and woken once.
 */
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import type { AppendBatch, AppendResult, PartitionState, ReadResult } from '../../../core/contracts/engine.ts';
import { TandemError } from '../../../core/errors.ts';
import type { Clock, Timer } from '../../../core/ports/clock.ts';
import type { Position } from '../../../core/position.ts';
import type { TopicPartition } from '../../../core/record.ts';
import type { Frame, FrameKind } from './frames.ts';
import { encodeFrame, FrameReader, KIND } from './frames.ts';
import { appendMessage, errorOf, readResultOf } from './messages.ts';
import type { OwnerStore } from './owner-store.ts';

const OUTAGE_MS = 5000;
const RECONNECT_MS = 10;
/** Above it requests are refused: whoever sends them has bounds of its own, below this one. */
const UNFINISHED_BYTES_MAX = 128 * 1024 * 1024;

interface Request {
  readonly kind: FrameKind;
  readonly head: unknown;
  readonly body: readonly Uint8Array[];
  readonly bytes: number;
  readonly isRepeatable: boolean;
  isSent: boolean;
  readonly resolve: (frame: Frame) => void;
  readonly reject: (error: TandemError) => void;
}

interface Watch {
  readonly place: TopicPartition;
  readonly wake: () => void;
}

export class PeerClient implements OwnerStore {
  readonly #slot: number;
  readonly #path: string;
  readonly #clock: Clock;
  readonly #term: { readonly own: number };
  /** In the order of the calls. */
  readonly #requests = new Map<number, Request>();
  readonly #watches = new Map<number, Watch>();
  #nextId = 1;
  #socket: Socket | undefined;
  /** Connected, and the owner takes requests. */
  #isOpen = false;
  #isCorked = false;
  #isClosed = false;
  #outage: Timer | undefined;
  #unfinishedBytes = 0;
  #whenIdle: (() => void)[] = [];
  requests = 0;

  /** `term`: under which this process writes; 0: under none. */
  constructor(slot: number, path: string, clock: Clock, term: { readonly own: number }) {
    this.#term = term;
    this.#slot = slot;
    this.#path = path;
    this.#clock = clock;
  }

  async append(batch: AppendBatch): Promise<AppendResult> {
    const { head, body } = appendMessage(batch, this.#writerTerm);
    const frame = await this.#request(KIND.append, head, body, batch.producer !== undefined);
    return frame.head as AppendResult;
  }

  async read({ topic, partition }: TopicPartition, from: Position, bytesMax: number): Promise<ReadResult> {
    return readResultOf(await this.#request(KIND.read, { topic, partition, from, bytesMax }));
  }

  async state({ topic, partition }: TopicPartition): Promise<PartitionState> {
    return (await this.#request(KIND.state, { topic, partition })).head as PartitionState;
  }

  async trim({ topic, partition }: TopicPartition, beforeOffset: number): Promise<number> {
    return (await this.#request(KIND.trim, { topic, partition, beforeOffset, writerTerm: this.#writerTerm }))
      .head as number;
  }

  async lastSequence({ topic, partition }: TopicPartition, producerId: string): Promise<number> {
    return (await this.#request(KIND.lastSequence, { topic, partition, producerId })).head as number;
  }

  async claim({ topic, partition }: TopicPartition, term: number): Promise<void> {
    await this.#request(KIND.claim, { topic, partition, term, writerTerm: this.#writerTerm });
  }

  watch({ topic, partition }: TopicPartition, wake: () => void): () => void {
    const id = this.#nextId++;
    const place = { topic, partition };
    this.#watches.set(id, { place, wake });
    if (this.#isOpen) this.#send(id, KIND.watch, place);
    else this.#connect();
    return () => {
      if (this.#watches.delete(id) && this.#isOpen) this.#send(id, KIND.unwatch, undefined);
    };
  }

  get #writerTerm(): number | undefined {
    return this.#term.own === 0 ? undefined : this.#term.own;
  }

  /** Resolves when all requests are answered. */
  idle(): Promise<void> {
    if (this.#requests.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  /** Its slot is no more, or not where it was. */
  giveUp(): void {
    this.#end(this.#unavailable());
  }

  close(): void {
    this.#end(new TandemError('TANDEM_DRAINING'));
  }

  #end(error: TandemError): void {
    this.#isClosed = true;
    this.#watches.clear();
    this.#outage?.cancel();
    this.#rejectAll(error);
    this.#socket?.destroy();
  }

  #request(
    kind: FrameKind,
    head: unknown,
    body: readonly Uint8Array[] = [],
    isRepeatable: boolean = true,
  ): Promise<Frame> {
    if (this.#isClosed) return Promise.reject(new TandemError('TANDEM_DRAINING'));
    let bytes = 0;
    for (const piece of body) bytes += piece.length;
    if (this.#unfinishedBytes > 0 && this.#unfinishedBytes + bytes > UNFINISHED_BYTES_MAX)
      return Promise.reject(new TandemError('TANDEM_OVERLOADED', { detail: `worker ${this.#slot} is behind` }));
    this.requests++;
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      const request = { kind, head, body, bytes, isRepeatable, isSent: this.#isOpen, resolve, reject };
      this.#requests.set(id, request);
      this.#unfinishedBytes += bytes;
      if (this.#isOpen) this.#send(id, kind, head, body);
      else this.#connect();
    });
  }

  #connect(): void {
    if (this.#socket !== undefined || this.#isClosed) return;
    this.#outage ??= this.#clock.after(OUTAGE_MS, () => {
      this.#outage = undefined;
      this.#rejectAll(this.#unavailable());
      if (this.#watches.size > 0) this.#connect();
    });
    const socket = connect(this.#path);
    this.#socket = socket;
    const reader = new FrameReader((frame) => this.#take(frame));
    socket.on('connect', () => this.#open());
    socket.on('data', (chunk: Buffer) => {
      if (!reader.push(chunk)) socket.destroy();
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#lost());
  }

  #open(): void {
    this.#outage?.cancel();
    this.#outage = undefined;
    this.#isOpen = true;
    for (const [id, request] of this.#requests) {
      request.isSent = true;
      this.#send(id, request.kind, request.head, request.body);
    }
    for (const [id, { place }] of this.#watches) this.#send(id, KIND.watch, place);
  }

  #lost(): void {
    this.#socket = undefined;
    this.#isOpen = false;
    this.#isCorked = false;
    for (const [id, request] of this.#requests) {
      if (request.isSent && !request.isRepeatable) this.#settle(id, request).reject(this.#unavailable());
      request.isSent = false;
    }
    if (this.#isClosed || (this.#requests.size === 0 && this.#watches.size === 0)) return;
    this.#clock.after(RECONNECT_MS, () => {
      if (this.#requests.size > 0 || this.#watches.size > 0) this.#connect();
    });
  }

  #take(frame: Frame): void {
    if (frame.kind === KIND.wake) {
      this.#watches.get(frame.id)?.wake();
      return;
    }
    if (frame.kind === KIND.closing) {
      this.#send(0, KIND.bye, undefined);
      this.#isOpen = false;
      return;
    }
    const request = this.#requests.get(frame.id);
    if (request === undefined) return;
    this.#settle(frame.id, request);
    if (frame.kind === KIND.ok) request.resolve(frame);
    else request.reject(errorOf(frame));
  }

  #settle(id: number, request: Request): Request {
    this.#requests.delete(id);
    this.#unfinishedBytes -= request.bytes;
    if (this.#requests.size === 0) for (const resolve of this.#whenIdle.splice(0)) resolve();
    return request;
  }

  #rejectAll(error: TandemError): void {
    for (const [id, request] of this.#requests) this.#settle(id, request).reject(error);
  }

  #send(id: number, kind: FrameKind, head: unknown, body?: readonly Uint8Array[]): void {
    const socket = this.#socket as Socket;
    if (!this.#isCorked) {
      this.#isCorked = true;
      socket.cork();
      process.nextTick(() => {
        if (this.#socket === socket) this.#isCorked = false;
        socket.uncork();
      });
    }
    for (const piece of encodeFrame(id, kind, head, body)) if (piece.length > 0) socket.write(piece);
  }

  #unavailable(): TandemError {
    return new TandemError('TANDEM_OWNER_UNAVAILABLE', { detail: `worker ${this.#slot}` });
  }
}
