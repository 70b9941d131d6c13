/**
 * The protocol between the processes of a node, over Unix domain sockets. Both ends are of one version, so it may change freely.
 *
 * frame   0 u32 bytes of the whole frame   4 u32 request id   8 u8 kind   9 zeros   12 u32 bytes of the JSON head
 *         16 head (JSON), zeros to a position divisible by 4, body (bytes). Numbers are little-endian.
 *
 * A client asks with ids of its own choice; each request is answered by one `ok` or `failed` with its id, in any order. `watch` is
 * answered by any number of `wake`, until `unwatch`. A server that is about to end says `closing`; the client then sends `bye` and
 * nothing after it, so that every request sent before is answered before the connection ends.
 */
import { align4 } from '../log/batch-format.ts';

export const KIND = {
  append: 1,
  read: 2,
  state: 3,
  trim: 4,
  lastSequence: 5,
  claim: 6,
  watch: 7,
  unwatch: 8,
  bye: 9,
  ok: 16,
  failed: 17,
  wake: 18,
  closing: 19,
} as const;

export type FrameKind = (typeof KIND)[keyof typeof KIND];

export interface Frame {
  readonly id: number;
  readonly kind: FrameKind;
  readonly head: unknown;
  /** Begins at a position divisible by 4 in its memory. */
  readonly body: Buffer;
}

const FRAME_HEADER_BYTES = 16;
/** Above every frame that either end makes: damage, not a frame. */
const FRAME_BYTES_MAX = 256 * 1024 * 1024;
const POOLED_BYTES_MAX = 1024;
const NOTHING = Buffer.alloc(0);

/** The pieces of a frame, for one write; body pieces are not copied. */
export function encodeFrame(
  id: number,
  kind: FrameKind,
  head: unknown,
  body: readonly Uint8Array[] = [],
): Uint8Array[] {
  const json = head === undefined ? '' : JSON.stringify(head);
  const jsonBytes = Buffer.byteLength(json);
  const start = Buffer.alloc(align4(FRAME_HEADER_BYTES + jsonBytes));
  let bytes = start.length;
  for (const piece of body) bytes += piece.length;
  start.writeUInt32LE(bytes, 0);
  start.writeUInt32LE(id, 4);
  start.writeUInt8(kind, 8);
  start.writeUInt32LE(jsonBytes, 12);
  start.write(json, FRAME_HEADER_BYTES);
  return [start, ...body];
}

/** Puts frames together from what a socket gives; each frame is copied once, into memory of its own. */
export class FrameReader {
  readonly #take: (frame: Frame) => void;
  readonly #header = Buffer.alloc(FRAME_HEADER_BYTES);
  #headerBytes = 0;
  #frame: Buffer = NOTHING;
  #filled = 0;

  constructor(take: (frame: Frame) => void) {
    this.#take = take;
  }

  /** False: this is no frame; the connection is of no use any more. */
  push(chunk: Buffer): boolean {
    let at = 0;
    while (at < chunk.length) {
      if (this.#headerBytes < FRAME_HEADER_BYTES) {
        const copied = chunk.copy(this.#header, this.#headerBytes, at);
        this.#headerBytes += copied;
        at += copied;
        if (this.#headerBytes === FRAME_HEADER_BYTES && !this.#begin()) return false;
      } else {
        const copied = chunk.copy(this.#frame, this.#filled, at);
        this.#filled += copied;
        at += copied;
      }
      if (this.#headerBytes === FRAME_HEADER_BYTES && this.#filled === this.#frame.length) this.#end();
    }
    return true;
  }

  #begin(): boolean {
    const bytes = this.#header.readUInt32LE(0);
    const jsonBytes = this.#header.readUInt32LE(12);
    if (bytes > FRAME_BYTES_MAX || align4(FRAME_HEADER_BYTES + jsonBytes) > bytes) return false;
    // Both kinds of memory begin at a position divisible by 8.
    this.#frame = bytes > POOLED_BYTES_MAX ? Buffer.allocUnsafeSlow(bytes) : Buffer.allocUnsafe(bytes);
    this.#header.copy(this.#frame);
    this.#filled = FRAME_HEADER_BYTES;
    return true;
  }

  #end(): void {
    const frame = this.#frame;
    this.#frame = NOTHING;
    this.#headerBytes = 0;
    this.#filled = 0;
    const headEnd = FRAME_HEADER_BYTES + frame.readUInt32LE(12);
    const head: unknown =
      headEnd === FRAME_HEADER_BYTES ? undefined : JSON.parse(frame.toString('utf8', FRAME_HEADER_BYTES, headEnd));
    this.#take({
      id: frame.readUInt32LE(4),
      kind: frame.readUInt8(8) as FrameKind,
      head,
      body: frame.subarray(align4(headEnd)),
    });
  }
}
