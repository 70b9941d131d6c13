/**
 * What a feed sends at once to all its live sessions, encoded once per encoder and put together once.
 * A flush is either records (of several partitions, in order per partition) or the news of a gap.
 */
import type { Delivery, PushEncoder } from '../core/contracts/push.ts';
import { type Cursor, encodeCursor, type Position } from '../core/position.ts';
import type { TandemRecord } from '../core/record.ts';

export interface Flush {
  /** Records in it. */
  readonly recordCount: number;
  /** Where the feed stood before it. */
  readonly before: Cursor;
  /** The same object for the same encoder. */
  encodedBy(encoder: PushEncoder): Delivery;
}

export class RecordFlush implements Flush {
  readonly before: Cursor;
  readonly records: readonly TandemRecord[];
  readonly #channel: string;
  readonly #encoded = new Map<PushEncoder, EncodedRecords>();
  /** Cursor texts by record, made when asked for; -1 is `#textBefore`. */
  readonly #texts: (string | undefined)[];
  #textBefore: string | undefined;
  /** The cursor after `#passed` records. */
  #cursor: Map<number, Position>;
  #passed = 0;

  /** `before` has every partition that the records are of, and is not changed any more. */
  constructor(channel: string, before: Cursor, records: readonly TandemRecord[]) {
    this.#channel = channel;
    this.before = before;
    this.records = records;
    this.#texts = new Array(records.length).fill(undefined);
    this.#cursor = new Map(before);
  }

  get recordCount(): number {
    return this.records.length;
  }

  encodedBy(encoder: PushEncoder): Delivery {
    let encoded = this.#encoded.get(encoder);
    if (encoded === undefined) {
      encoded = new EncodedRecords(this.#channel, this, encoder);
      this.#encoded.set(encoder, encoded);
    }
    return encoded;
  }

  /** The cursor text after record `index`; -1: before the first. Made once, shared by all. */
  positionAfter(index: number): string {
    if (index < 0) {
      this.#textBefore ??= encodeCursor(this.before);
      return this.#textBefore;
    }
    let text = this.#texts[index];
    if (text === undefined) {
      text = encodeCursor(this.#cursorAfter(index));
      this.#texts[index] = text;
    }
    return text;
  }

  #cursorAfter(index: number): Cursor {
    if (index + 1 < this.#passed) {
      this.#cursor = new Map(this.before);
      this.#passed = 0;
    }
    while (this.#passed <= index) {
      const { partition, offset } = this.records[this.#passed++] as TandemRecord;
      const epoch = this.#cursor.get(partition)?.epoch ?? '';
      this.#cursor.set(partition, { epoch, offset: offset + 1 });
    }
    return this.#cursor;
  }
}

class EncodedRecords implements Delivery {
  readonly channel: string;
  readonly recordsPerMessage = 1;
  readonly bytes: Buffer;
  readonly #flush: RecordFlush;
  readonly #ends: Uint32Array;

  constructor(channel: string, flush: RecordFlush, encoder: PushEncoder) {
    this.channel = channel;
    this.#flush = flush;
    const { records } = flush;
    const messages = records.map((record, index) => encoder.encode(channel, record, () => flush.positionAfter(index)));
    this.bytes = messages.length === 1 ? (messages[0] as Buffer) : Buffer.concat(messages);
    this.#ends = new Uint32Array(messages.length);
    let end = 0;
    for (let i = 0; i < messages.length; i++) {
      end += (messages[i] as Buffer).length;
      this.#ends[i] = end;
    }
  }

  get count(): number {
    return this.#ends.length;
  }

  endOf(index: number): number {
    return index < 0 ? 0 : (this.#ends[index] as number);
  }

  keyOf(index: number): string | undefined {
    return this.#flush.records[index]?.key;
  }

  positionAfter(index: number): string {
    return this.#flush.positionAfter(index);
  }
}

/** The feed had to jump: what lay between `before` and `after` can no longer be read. */
export class GapFlush implements Flush {
  readonly recordCount = 0;
  readonly before: Cursor;
  readonly #channel: string;
  readonly #after: string;
  readonly #missed: number | null;
  readonly #encoded = new Map<PushEncoder, Delivery>();

  constructor(channel: string, before: Cursor, after: Cursor, missed: number | null) {
    this.#channel = channel;
    this.before = before;
    this.#after = encodeCursor(after);
    this.#missed = missed;
  }

  encodedBy(encoder: PushEncoder): Delivery {
    let encoded = this.#encoded.get(encoder);
    if (encoded === undefined) {
      const gap = { position: this.#after, missed: this.#missed, reason: 'lost' } as const;
      const bytes = encoder.encodeGap(this.#channel, gap);
      encoded = {
        channel: this.#channel,
        count: 1,
        recordsPerMessage: this.#missed,
        bytes,
        endOf: (index) => (index < 0 ? 0 : bytes.length),
        keyOf: () => undefined,
        positionAfter: (index) => (index < 0 ? encodeCursor(this.before) : this.#after),
      };
      this.#encoded.set(encoder, encoded);
    }
    return encoded;
  }
}
