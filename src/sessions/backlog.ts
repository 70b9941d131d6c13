/**
 * What waits of one channel for one session whose transport is backed up.
 *
 * `FifoBacklog` keeps deliveries as they are (shared with all other sessions) and can forget the oldest messages; the gap message stands
 * where they were. `LatestBacklog` keeps a copy of the newest message of each key, since one message must not hold the memory of its flush.
 * Invariant of both: handed out in the order in which they were added, so that the position of the last message handed out is a position to
 * resume from: nothing before it is still owed.
 */
import type { Delivery, PushEncoder } from '../core/contracts/push.ts';

export interface Backlog {
  /** Bytes that wait. */
  readonly byteLength: number;
  readonly isEmpty: boolean;
  /** Takes the messages of the delivery; returns how many waiting ones they replaced. */
  add(delivery: Delivery): number;
  /** Forgets the oldest until `byteLength` is at most `bytesMax`; returns how many. */
  dropOldest(bytesMax: number): number;
  /** Hands out messages, at least one, until `bytesMax` is reached; returns their bytes. */
  take(pieces: Buffer[], bytesMax: number, encoder: PushEncoder): number;
  /** The cursor text after the last message that was handed to the transport. */
  readonly handedPosition: string;
}

export class FifoBacklog implements Backlog {
  byteLength = 0;
  handedPosition: string;
  readonly #channel: string;
  #deliveries: (Delivery | undefined)[] = [];
  /** Deliveries before it are done with; the array is cut now and then. */
  #head = 0;
  /** The first waiting message of the first delivery. */
  #from = 0;
  #dropped = 0;
  /** Records missed by that; null: not known. */
  #missed: number | null = 0;
  #droppedPosition = '';

  constructor(first: Delivery) {
    this.#channel = first.channel;
    this.handedPosition = first.positionAfter(-1);
  }

  get isEmpty(): boolean {
    return this.#head === this.#deliveries.length && this.#dropped === 0;
  }

  add(delivery: Delivery): number {
    this.#deliveries.push(delivery);
    this.byteLength += delivery.bytes.length;
    return 0;
  }

  dropOldest(bytesMax: number): number {
    let dropped = 0;
    let last: Delivery | undefined;
    let lastIndex = 0;
    while (this.byteLength > bytesMax && this.#head < this.#deliveries.length) {
      last = this.#deliveries[this.#head] as Delivery;
      lastIndex = this.#from;
      this.#pass(last, lastIndex);
      dropped++;
      const records = last.recordsPerMessage;
      this.#missed = this.#missed === null || records === null ? null : this.#missed + records;
    }
    if (last !== undefined) {
      this.#dropped += dropped;
      this.#droppedPosition = last.positionAfter(lastIndex);
    }
    return dropped;
  }

  take(pieces: Buffer[], bytesMax: number, encoder: PushEncoder): number {
    let taken = this.#takeGap(pieces, encoder);
    while (taken < bytesMax && this.#head < this.#deliveries.length) {
      const delivery = this.#deliveries[this.#head] as Delivery;
      const start = delivery.endOf(this.#from - 1);
      let index = this.#from;
      while (index + 1 < delivery.count && delivery.endOf(index + 1) - start <= bytesMax - taken) index++;
      const end = delivery.endOf(index);
      if (taken > 0 && taken + end - start > bytesMax) break;
      pieces.push(delivery.bytes.subarray(start, end));
      taken += end - start;
      this.handedPosition = delivery.positionAfter(index);
      this.#pass(delivery, index);
    }
    return taken;
  }

  #takeGap(pieces: Buffer[], encoder: PushEncoder): number {
    if (this.#dropped === 0) return 0;
    const gap = { position: this.#droppedPosition, missed: this.#missed, reason: 'slow' } as const;
    const message = encoder.encodeGap(this.#channel, gap);
    this.#dropped = 0;
    this.#missed = 0;
    this.handedPosition = gap.position;
    pieces.push(message);
    return message.length;
  }

  /** Everything up to message `index` of the first delivery is done with. */
  #pass(delivery: Delivery, index: number): void {
    this.byteLength -= delivery.endOf(index) - delivery.endOf(this.#from - 1);
    this.#from = index + 1;
    if (this.#from < delivery.count) return;
    this.#from = 0;
    this.#head++;
    if (this.#head < 32 && this.#head < this.#deliveries.length) {
      // The memory of a delivery goes when its last session is done with it.
      this.#deliveries[this.#head - 1] = undefined;
      return;
    }
    this.#deliveries = this.#deliveries.slice(this.#head);
    this.#head = 0;
  }
}

interface LatestMessage {
  readonly bytes: Buffer;
  readonly position: string;
}

/** What an entry costs besides its bytes: the map's slot, the entry, the buffer's object. */
const ENTRY_OVERHEAD_BYTES = 200;

export class LatestBacklog implements Backlog {
  byteLength = 0;
  handedPosition: string;
  /** A number stands for a message without a key. */
  readonly #messages = new Map<string | number, LatestMessage>();
  #unkeyed = 0;

  constructor(first: Delivery) {
    this.handedPosition = first.positionAfter(-1);
  }

  get isEmpty(): boolean {
    return this.#messages.size === 0;
  }

  add(delivery: Delivery): number {
    let replaced = 0;
    for (let index = 0; index < delivery.count; index++) {
      const key = delivery.keyOf(index) ?? this.#unkeyed++;
      const old = this.#messages.get(key);
      if (old !== undefined) {
        replaced++;
        this.#messages.delete(key);
        this.byteLength -= costOf(old);
      }
      const bytes = delivery.bytes.subarray(delivery.endOf(index - 1), delivery.endOf(index));
      const message = { bytes: ownCopy(bytes), position: delivery.positionAfter(index) };
      this.#messages.set(key, message);
      this.byteLength += costOf(message);
    }
    return replaced;
  }

  /** A newest message is never forgotten. */
  dropOldest(): number {
    return 0;
  }

  take(pieces: Buffer[], bytesMax: number): number {
    let taken = 0;
    for (const [key, message] of this.#messages) {
      if (taken > 0 && taken + message.bytes.length > bytesMax) break;
      pieces.push(message.bytes);
      taken += message.bytes.length;
      this.byteLength -= costOf(message);
      this.handedPosition = message.position;
      this.#messages.delete(key);
    }
    return taken;
  }
}

const costOf = (message: LatestMessage): number => message.bytes.length + ENTRY_OVERHEAD_BYTES;

function ownCopy(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  copy.set(bytes);
  return copy;
}
