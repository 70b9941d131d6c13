/**
 * Cuts a byte stream into records and hands them to a lane, runs of lines in one piece. Two framings:
 *   line    each record ends with a line feed (0x0A), which is not part of it; all other bytes, carriage returns too, are
 *   length  u32 big-endian byte count, then that many bytes (Swoole: open_length_check, package_length_type N, package_length_offset 0,
 *           package_body_offset 4)
 * Invariants: memory per stream is bounded by one record plus one read; a record above the limit is refused in its place, its bytes are
 * passed over, and the stream goes on; in `length` framing a count above RECORD_BYTES_CEILING ends the stream (it is no count).
 */
import type { Lane } from '../../core/contracts/ingest.ts';
import { TandemError } from '../../core/errors.ts';
import { RECORD_BYTES_CEILING } from '../../core/limits.ts';
import type { Framing } from './answers.ts';
import { PartialRecord } from './partial-record.ts';

export interface Framer {
  /** Throws TANDEM_INPUT_MALFORMED if the stream cannot go on. */
  push(chunk: Buffer, lane: Lane): void;
  /** True if the stream stopped inside a record. */
  readonly isMidRecord: boolean;
}

export const createFramer = (framing: Framing, recordBytesMax: number): Framer =>
  framing === 'line' ? new LineFramer(recordBytesMax) : new LengthFramer(recordBytesMax);

const LINE_FEED = 10;
/** Lengths of the lines of one read; grows to the most that one read held. Shared: used within one call only. */
let lineLengths = new Uint32Array(1024);

const tooLarge = (recordBytesMax: number): TandemError =>
  new TandemError('TANDEM_RECORD_TOO_LARGE', { detail: `the limit is ${recordBytesMax} bytes` });

class LineFramer implements Framer {
  readonly #recordBytesMax: number;
  /** The line that earlier reads began. */
  readonly #begun = new PartialRecord();
  /** The line is over the limit: pass over it. */
  #isPassingOver = false;

  constructor(recordBytesMax: number) {
    this.#recordBytesMax = recordBytesMax;
  }

  get isMidRecord(): boolean {
    return this.#begun.byteLength > 0 || this.#isPassingOver;
  }

  push(chunk: Buffer, lane: Lane): void {
    let start = 0;
    if (this.isMidRecord) {
      const end = chunk.indexOf(LINE_FEED);
      if (end === -1) {
        this.#begin(chunk);
        return;
      }
      this.#finish(chunk.subarray(0, end), lane);
      start = end + 1;
    }
    const rest = this.#lines(chunk, start, lane);
    if (rest < chunk.length) this.#begin(chunk.subarray(rest));
  }

  /** Hands on all complete lines from `start` on; returns where the incomplete one begins. */
  #lines(chunk: Buffer, start: number, lane: Lane): number {
    const max = this.#recordBytesMax;
    let runStart = start;
    let at = start;
    let count = 0;
    for (let end = chunk.indexOf(LINE_FEED, at); end !== -1; end = chunk.indexOf(LINE_FEED, at)) {
      const length = end - at;
      if (length > max) {
        if (count > 0) lane.addLines(chunk, runStart, at, lineLengths, count);
        count = 0;
        runStart = end + 1;
        lane.refuse(tooLarge(max));
      } else {
        if (count === lineLengths.length) lineLengths = grown(lineLengths);
        lineLengths[count++] = length;
      }
      at = end + 1;
    }
    if (count > 0) lane.addLines(chunk, runStart, at, lineLengths, count);
    return at;
  }

  #begin(piece: Buffer): void {
    if (this.#isPassingOver) return;
    this.#isPassingOver = this.#begun.byteLength + piece.length > this.#recordBytesMax;
    if (this.#isPassingOver) this.#begun.clear();
    else this.#begun.add(piece);
  }

  #finish(piece: Buffer, lane: Lane): void {
    const isTooLarge = this.#isPassingOver || this.#begun.byteLength + piece.length > this.#recordBytesMax;
    if (isTooLarge) lane.refuse(tooLarge(this.#recordBytesMax));
    else lane.addData(this.#begun.view(), piece);
    this.#begun.clear();
    this.#isPassingOver = false;
  }
}

class LengthFramer implements Framer {
  readonly #recordBytesMax: number;
  readonly #head = Buffer.alloc(4);
  #headBytes = 0;
  /** Bytes of the current record that are still to come; -1: the head is. */
  #missingBytes = -1;
  readonly #begun = new PartialRecord();
  #isPassingOver = false;

  constructor(recordBytesMax: number) {
    this.#recordBytesMax = recordBytesMax;
  }

  get isMidRecord(): boolean {
    return this.#headBytes > 0 || this.#missingBytes >= 0;
  }

  push(chunk: Buffer, lane: Lane): void {
    let at = 0;
    for (;;) {
      if (this.#missingBytes === -1) {
        at = this.#readHead(chunk, at);
        if (this.#missingBytes === -1) return;
      }
      const end = Math.min(chunk.length, at + this.#missingBytes);
      this.#missingBytes -= end - at;
      if (this.#missingBytes > 0) {
        if (!this.#isPassingOver && end > at) this.#begun.add(chunk.subarray(at, end));
        return;
      }
      this.#finish(chunk.subarray(at, end), lane);
      at = end;
    }
  }

  #readHead(chunk: Buffer, at: number): number {
    let bytes: number;
    let next: number;
    if (this.#headBytes === 0 && chunk.length - at >= 4) {
      bytes = chunk.readUInt32BE(at);
      next = at + 4;
    } else {
      const taken = chunk.copy(this.#head, this.#headBytes, at);
      this.#headBytes += taken;
      next = at + taken;
      if (this.#headBytes < 4) return next;
      this.#headBytes = 0;
      bytes = this.#head.readUInt32BE(0);
    }
    if (bytes > RECORD_BYTES_CEILING) {
      const detail = `a length of ${bytes} bytes cannot be; is the client sending lines instead of 4-byte big-endian lengths?`;
      throw new TandemError('TANDEM_INPUT_MALFORMED', { detail });
    }
    this.#missingBytes = bytes;
    this.#isPassingOver = bytes > this.#recordBytesMax;
    return next;
  }

  #finish(piece: Buffer, lane: Lane): void {
    if (this.#isPassingOver) lane.refuse(tooLarge(this.#recordBytesMax));
    else if (this.#begun.byteLength === 0) lane.addData(piece);
    else lane.addData(this.#begun.view(), piece);
    this.#begun.clear();
    this.#missingBytes = -1;
    this.#isPassingOver = false;
  }
}

function grown(lengths: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(lengths.length * 2);
  larger.set(lengths);
  return larger;
}
