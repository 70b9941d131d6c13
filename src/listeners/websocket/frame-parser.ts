/**
 * Frames from client to server (RFC 6455 section 5), incrementally.
 *
 * Invariants: whatever comes in, the only outcomes are calls of the sink and a close code (1002 protocol, 1007 text that is not UTF-8, 1009
 * too big); after a close code, or the client's close frame, nothing more is parsed. Memory: nothing between messages; else at most twice what
 * was received of the message and frame in hand, never more because a head promises more. Payloads are unmasked in place.
 * Non-goals: extensions (a set RSV bit is a violation), sending.
 */
import { isUtf8 } from 'node:buffer';

export interface FrameSink {
  /** A whole message; text is valid UTF-8. The memory is the sink's. */
  message(payload: Buffer, isText: boolean): void;
  ping(payload: Buffer): void;
  pong(): void;
  /** The client's close frame; code 0: it gave none. */
  closed(code: number, reason: string): void;
}

const CLOSE_PROTOCOL = 1002;
const CLOSE_NOT_UTF8 = 1007;
const CLOSE_TOO_BIG = 1009;

const CONTINUATION = 0x0;
const TEXT = 0x1;
const BINARY = 0x2;
const CLOSE = 0x8;
const PING = 0x9;
const PONG = 0xa;
const FINAL = 0x80;
const RSV = 0x70;
const MASKED = 0x80;
const MASK_BYTES = 4;
const CONTROL_BYTES_MAX = 125;
/** A violation has no end within the source. */
const VIOLATION = -1;
const INCOMPLETE = -2;

export class FrameParser {
  readonly #messageBytesMax: number;
  /** A frame whose end has not come, in the first `#heldBytes` bytes. */
  #held: Buffer | undefined;
  #heldBytes = 0;
  /** The fragments so far, in the first `#messageBytes` bytes. */
  #message: Buffer | undefined;
  #messageBytes = 0;
  /** Of the fragmented message in hand; 0: there is none. */
  #messageOpcode = 0;
  #closeCode = 0;
  #isFinished = false;

  constructor(messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax;
  }

  /** Memory that waits for the rest of a frame or message. */
  get heldBytes(): number {
    return (this.#held?.length ?? 0) + (this.#message?.length ?? 0);
  }

  /** Takes what came; `chunk` is the parser's from here on. Returns the close code of a violation, else 0. */
  push(chunk: Buffer, sink: FrameSink): number {
    if (this.#isFinished) return this.#closeCode;
    const source = this.#held === undefined ? chunk : this.#join(chunk);
    let at = 0;
    while (at < source.length && !this.#isFinished) {
      const end = this.#frame(source, at, sink);
      if (end === INCOMPLETE) break;
      if (end === VIOLATION) this.#isFinished = true;
      else at = end;
    }
    if (this.#isFinished) this.#forget();
    else this.#keep(source, at);
    return this.#closeCode;
  }

  #frame(source: Buffer, at: number, sink: FrameSink): number {
    const available = source.length - at;
    if (available < 2) return INCOMPLETE;
    const first = source[at] as number;
    const second = source[at + 1] as number;
    const shortLength = second & 0x7f;
    if (!this.#isHeadLegal(first, second, shortLength)) return this.#violate(CLOSE_PROTOCOL);
    let length = shortLength;
    let maskAt = at + 2;
    if (shortLength === 126) {
      if (available < 4) return INCOMPLETE;
      length = source.readUInt16BE(at + 2);
      maskAt = at + 4;
      if (length < 126) return this.#violate(CLOSE_PROTOCOL);
    } else if (shortLength === 127) {
      if (available < 10) return INCOMPLETE;
      const high = source.readUInt32BE(at + 2);
      length = high * 0x1_0000_0000 + source.readUInt32BE(at + 6);
      maskAt = at + 10;
      if (high > 0x7fff_ffff || length < 0x1_0000) return this.#violate(CLOSE_PROTOCOL);
    }
    const opcode = first & 0x0f;
    if (opcode < CLOSE && this.#messageBytes + length > this.#messageBytesMax) return this.#violate(CLOSE_TOO_BIG);
    const start = maskAt + MASK_BYTES;
    const end = start + length;
    if (end > source.length) return INCOMPLETE;
    unmask(source, start, end, maskAt);
    const payload = source.subarray(start, end);
    const isTaken =
      opcode < CLOSE ? this.#data(opcode, (first & FINAL) !== 0, payload, sink) : this.#control(opcode, payload, sink);
    return isTaken ? end : VIOLATION;
  }

  #isHeadLegal(first: number, second: number, shortLength: number): boolean {
    if ((first & RSV) !== 0 || (second & MASKED) === 0) return false;
    const opcode = first & 0x0f;
    if (opcode === CONTINUATION) return this.#messageOpcode !== 0;
    if (opcode === TEXT || opcode === BINARY) return this.#messageOpcode === 0;
    const isControl = opcode === CLOSE || opcode === PING || opcode === PONG;
    return isControl && (first & FINAL) !== 0 && shortLength <= CONTROL_BYTES_MAX;
  }

  #data(opcode: number, isFinal: boolean, payload: Buffer, sink: FrameSink): boolean {
    if (opcode !== CONTINUATION && isFinal) return this.#deliver(payload, opcode, sink);
    if (opcode !== CONTINUATION) this.#messageOpcode = opcode;
    this.#message = appended(this.#message, this.#messageBytes, payload);
    this.#messageBytes += payload.length;
    if (!isFinal) return true;
    const whole = this.#message.subarray(0, this.#messageBytes);
    const messageOpcode = this.#messageOpcode;
    this.#message = undefined;
    this.#messageBytes = 0;
    this.#messageOpcode = 0;
    return this.#deliver(whole, messageOpcode, sink);
  }

  #deliver(payload: Buffer, opcode: number, sink: FrameSink): boolean {
    const isText = opcode === TEXT;
    if (isText && !isUtf8(payload)) {
      this.#violate(CLOSE_NOT_UTF8);
      return false;
    }
    sink.message(payload, isText);
    return true;
  }

  #control(opcode: number, payload: Buffer, sink: FrameSink): boolean {
    if (opcode === PING) sink.ping(payload);
    else if (opcode === PONG) sink.pong();
    else return this.#close(payload, sink);
    return true;
  }

  #close(payload: Buffer, sink: FrameSink): boolean {
    const code = payload.length >= 2 ? payload.readUInt16BE() : 0;
    if (payload.length === 1 || (payload.length >= 2 && !isCloseCodeLegal(code))) this.#violate(CLOSE_PROTOCOL);
    else if (!isUtf8(payload.subarray(2))) this.#violate(CLOSE_NOT_UTF8);
    if (this.#closeCode !== 0) return false;
    this.#isFinished = true;
    sink.closed(code, payload.toString('utf8', 2));
    return true;
  }

  #violate(code: number): number {
    this.#closeCode = code;
    return VIOLATION;
  }

  #join(chunk: Buffer): Buffer {
    this.#held = appended(this.#held, this.#heldBytes, chunk);
    this.#heldBytes += chunk.length;
    return this.#held.subarray(0, this.#heldBytes);
  }

  /** Keeps `source` from `at` on for the next push. */
  #keep(source: Buffer, at: number): void {
    const isHeldAlready = at === 0 && this.#held !== undefined;
    if (isHeldAlready) return;
    const rest = source.subarray(at);
    // A copy of its own: a view would keep the whole of what was parsed.
    this.#held = rest.length === 0 ? undefined : appended(undefined, 0, rest);
    this.#heldBytes = rest.length;
  }

  #forget(): void {
    this.#held = undefined;
    this.#message = undefined;
    this.#heldBytes = 0;
    this.#messageBytes = 0;
  }
}

/** `target` (or a larger copy of it) with `bytes` after the first `used`. */
function appended(target: Buffer | undefined, used: number, bytes: Buffer): Buffer {
  const needed = used + bytes.length;
  if (target !== undefined && needed <= target.length) {
    target.set(bytes, used);
    return target;
  }
  const grown = Buffer.allocUnsafeSlow(target === undefined ? needed : Math.max(needed, target.length * 2));
  if (target !== undefined) grown.set(target.subarray(0, used));
  grown.set(bytes, used);
  return grown;
}

function unmask(source: Buffer, start: number, end: number, maskAt: number): void {
  const mask0 = source[maskAt] as number;
  const mask1 = source[maskAt + 1] as number;
  const mask2 = source[maskAt + 2] as number;
  const mask3 = source[maskAt + 3] as number;
  let at = start;
  for (const whole = end - 3; at < whole; at += 4) {
    source[at] = (source[at] as number) ^ mask0;
    source[at + 1] = (source[at + 1] as number) ^ mask1;
    source[at + 2] = (source[at + 2] as number) ^ mask2;
    source[at + 3] = (source[at + 3] as number) ^ mask3;
  }
  if (at < end) source[at] = (source[at] as number) ^ mask0;
  if (at + 1 < end) source[at + 1] = (source[at + 1] as number) ^ mask1;
  if (at + 2 < end) source[at + 2] = (source[at + 2] as number) ^ mask2;
}

/** RFC 6455 section 7.4: codes that may stand in a frame. */
function isCloseCodeLegal(code: number): boolean {
  if (code >= 3000) return code <= 4999;
  return code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006;
}
