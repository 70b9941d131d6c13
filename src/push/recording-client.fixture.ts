/**
 * For tests: a client that checks what it gets as it gets it. Its transport's "kernel" takes `room` bytes and then nothing until `drain`.
 *
 * The law: per partition, each record is the one after the last, unless a gap message says otherwise (or the channel keeps only the latest per
 * key); every position sent is exactly the cursor of what was sent so far. A break of the law throws out of `write` into the test's `problems`.
 */
import assert from 'node:assert/strict';
import type { PushEncoder, PushGap, Transport } from '../core/contracts/push.ts';
import type { TandemError } from '../core/errors.ts';
import { decodeCursor, encodeCursor, type Position } from '../core/position.ts';

interface Message {
  readonly channel: string;
  readonly partition: number;
  readonly offset: number;
  readonly data: string;
  readonly position: string;
  readonly gap?: PushGap;
}

/** JSON lines, the position in each. Counts its work. */
export class LineEncoder implements PushEncoder {
  encoded = 0;
  encode(
    channel: string,
    { partition, offset, data }: Parameters<PushEncoder['encode']>[1],
    position: () => string,
  ): Buffer {
    this.encoded++;
    return Buffer.from(
      `${JSON.stringify({ channel, partition, offset, data: data.toString(), position: position() })}\n`,
    );
  }
  encodeGap(channel: string, gap: PushGap): Buffer {
    return Buffer.from(`${JSON.stringify({ channel, gap })}\n`);
  }
}

export class RecordingClient implements Transport {
  readonly encoder: PushEncoder;
  bufferedBytes = 0;
  bufferedBytesMax = 0;
  room = Number.POSITIVE_INFINITY;
  writes = 0;
  readonly records: Message[] = [];
  readonly gaps: PushGap[] = [];
  readonly problems: string[] = [];
  /** Channel -> where it stands by what was written to it. */
  readonly cursors = new Map<string, Map<number, Position>>();
  isConflated = false;
  ended: { readonly error: TandemError; readonly positions: ReadonlyMap<string, string> } | undefined;
  #onDrained: (() => void) | undefined;

  constructor(encoder: PushEncoder) {
    this.encoder = encoder;
  }

  /** The answer to a subscribe. */
  begin(channel: string, position: string): void {
    this.cursors.set(channel, new Map(decodeCursor(position)));
  }

  write(bytes: Buffer): void {
    this.writes++;
    const taken = Math.min(this.room, bytes.length);
    this.room -= taken;
    this.bufferedBytes += bytes.length - taken;
    this.bufferedBytesMax = Math.max(this.bufferedBytesMax, this.bufferedBytes);
    if (this.ended !== undefined) this.problems.push('a write after the end');
    for (const line of bytes.toString().split('\n').slice(0, -1)) this.#take(JSON.parse(line) as Message);
  }

  whenDrained(callback: () => void): void {
    assert.equal(this.#onDrained, undefined, 'one callback at a time');
    this.#onDrained = callback;
  }

  end(error: TandemError, positions: ReadonlyMap<string, string>): void {
    this.ended = { error, positions };
    for (const [channel, cursor] of this.cursors)
      for (const [partition, { epoch, offset }] of decodeCursor(positions.get(channel) ?? 'W10')) {
        const own = cursor.get(partition);
        // A partition that is new to the topic is named before its first record.
        const isSame = own === undefined ? offset === 0 : own.epoch === epoch && own.offset === offset;
        if (!isSame) this.problems.push(`ended at another position of ${channel} than what was handed out`);
      }
  }

  /** The client has read everything; the kernel takes `room` more. */
  drain(room: number): void {
    this.room = room;
    this.bufferedBytes = 0;
    const callback = this.#onDrained;
    this.#onDrained = undefined;
    callback?.();
  }

  position(channel: string): string {
    return encodeCursor(this.cursors.get(channel) ?? new Map());
  }

  offsets(partition = 0): number[] {
    return this.records.filter((record) => record.partition === partition).map((record) => record.offset);
  }

  #take(message: Message): void {
    const cursor = this.cursors.get(message.channel);
    if (cursor === undefined) this.problems.push(`a delivery of ${message.channel} before its answer or after its end`);
    else if (message.gap !== undefined) this.#takeGap(message.channel, cursor, message.gap);
    else this.#takeRecord(cursor, message);
  }

  #takeRecord(cursor: Map<number, Position>, message: Message): void {
    const { partition, offset } = message;
    this.records.push(message);
    const own = cursor.get(partition);
    const sent = decodeCursor(message.position).get(partition);
    // A partition that is new to the topic begins at 0.
    const wanted = own?.offset ?? 0;
    const isNext = wanted === offset || (this.isConflated && offset > wanted);
    if (!isNext) this.problems.push(`offset ${offset} of partition ${partition} after ${own?.offset}`);
    cursor.set(partition, { epoch: sent?.epoch ?? '', offset: offset + 1 });
    if (own !== undefined && own.epoch !== sent?.epoch) this.problems.push('another epoch without a gap message');
    if (this.isConflated) for (const [p, position] of decodeCursor(message.position)) cursor.set(p, position);
    // A partition that is new to the topic comes with the next record.
    for (const [p, position] of decodeCursor(message.position)) if (!cursor.has(p)) cursor.set(p, position);
    if (message.position !== encodeCursor(cursor))
      this.problems.push(`position at ${partition}:${offset} is not the cursor`);
  }

  #takeGap(channel: string, cursor: Map<number, Position>, gap: PushGap): void {
    this.gaps.push(gap);
    const after = new Map(decodeCursor(gap.position));
    let missed = 0;
    for (const [partition, { epoch, offset }] of after) {
      const own = cursor.get(partition);
      if (own?.epoch === epoch && offset < own.offset) this.problems.push('a gap that goes back');
      if (own?.epoch === epoch) missed += offset - own.offset;
    }
    // Records that a newer one of their key replaced are missed too, but not told.
    if (gap.missed !== null && gap.missed < missed && !this.isConflated)
      this.problems.push(`a gap of ${gap.missed} that misses ${missed}`);
    this.cursors.set(channel, after);
  }
}
