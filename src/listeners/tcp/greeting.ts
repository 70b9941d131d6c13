/**
 * The first record of a stream decides: HELLO, or data already. Pure: bytes in, decision out; memory bounded by HELLO_BYTES_MAX plus
 * one read.
 */
import { TandemError } from '../../core/errors.ts';
import type { Framing } from './answers.ts';
import { HELLO_BYTES_MAX, HELLO_PREFIX, type Hello, parseHello } from './hello.ts';

export interface Greeted {
  /** undefined: the stream begins with data. */
  readonly hello: Hello | undefined;
  /** What came after the HELLO (or all). */
  readonly rest: Buffer;
}

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;

export class Greeting {
  readonly #framing: Framing;
  #held: Buffer | undefined;

  constructor(framing: Framing) {
    this.#framing = framing;
  }

  /** The decision, or undefined while more bytes are needed. Errors: TANDEM_INPUT_MALFORMED. */
  push(chunk: Buffer): Greeted | undefined {
    const bytes = this.#held === undefined ? chunk : Buffer.concat([this.#held, chunk]);
    this.#held = bytes;
    const head = this.#framing === 'length' ? 4 : 0;
    if (!beginsLikeHello(bytes.subarray(head))) return { hello: undefined, rest: bytes };
    const end = this.#framing === 'line' ? bytes.indexOf(LINE_FEED) : frameEnd(bytes);
    if (end === -1 ? bytes.length > HELLO_BYTES_MAX : end > HELLO_BYTES_MAX) {
      throw new TandemError('TANDEM_INPUT_MALFORMED', { detail: `HELLO has more than ${HELLO_BYTES_MAX} bytes` });
    }
    if (end === -1 || end > bytes.length) return undefined;
    const isTelnet = this.#framing === 'line' && bytes[end - 1] === CARRIAGE_RETURN;
    const hello = parseHello(bytes.subarray(head, isTelnet ? end - 1 : end));
    return { hello, rest: bytes.subarray(this.#framing === 'line' ? end + 1 : end) };
  }
}

/** True as long as the bytes could become a HELLO. */
function beginsLikeHello(bytes: Buffer): boolean {
  const length = Math.min(bytes.length, HELLO_PREFIX.length);
  return bytes.compare(HELLO_PREFIX, 0, length, 0, length) === 0;
}

const frameEnd = (bytes: Buffer): number => (bytes.length < 4 ? -1 : 4 + bytes.readUInt32BE(0));
