/**
 * Turns the batches of one flush into the pieces of one write. Headers, lengths and small data are copied side by side into memory
 * that is used again; large data goes to the system as it is, without a copy.
 */
import { crc32 } from 'node:zlib';
import type { BatchFields, FlushPlace } from './batch-format.ts';
import { align8, bodyStartOf, writeBatchHeader } from './batch-format.ts';

const COPIED_DATA_BYTES_MAX = 16 * 1024;
const ARENA_BYTES = 512 * 1024;
/** So many arenas are kept for the next flush. */
const ARENAS_KEPT_MAX = 8;
const ZEROS = Buffer.alloc(8);

export class FlushBuffer {
  readonly #arenas = [Buffer.allocUnsafeSlow(ARENA_BYTES)];
  #arenasUsed = 1;
  #arena = this.#arenas[0] as Buffer;
  /** What of the arena is not yet among the pieces: [start, end). */
  #start = 0;
  #end = 0;
  #pieces: Uint8Array[] = [];
  byteLength = 0;

  reset(): void {
    this.#arena = this.#arenas[0] as Buffer;
    this.#arenasUsed = 1;
    this.#start = 0;
    this.#end = 0;
    this.#pieces = [];
    this.byteLength = 0;
  }

  /** Adds a batch; `set` must not change until the pieces are written. Returns the batch's bytes. */
  add(fields: BatchFields, place: FlushPlace): number {
    const { set } = fields;
    const body = bodyStartOf(fields.topic.length, fields.producerId.length);
    const headBytes = body + set.count * 4;
    const total = align8(headBytes + set.data.length);
    const isCopied = set.data.length <= COPIED_DATA_BYTES_MAX;
    this.#reserve(isCopied ? total : headBytes);
    const arena = this.#arena;
    const at = this.#end;
    const { lengths } = set;
    arena.set(new Uint8Array(lengths.buffer, lengths.byteOffset, set.count * 4), at + body);
    let checksum: number;
    if (isCopied) {
      const dataEnd = at + headBytes + set.data.length;
      arena.set(set.data, at + headBytes);
      for (let i = dataEnd; i < at + total; i++) arena[i] = 0;
      this.#end = at + total;
      checksum = crc32(arena.subarray(at + body, dataEnd));
    } else {
      this.#end = at + headBytes;
      checksum = crc32(set.data, crc32(arena.subarray(at + body, at + headBytes)));
    }
    writeBatchHeader(arena, at, fields, place, checksum);
    if (!isCopied) this.#addLarge(set.data, total - headBytes - set.data.length);
    this.byteLength += total;
    return total;
  }

  /** All batches so far, for one write. Valid until `reset`. */
  pieces(): readonly Uint8Array[] {
    this.#cut();
    return this.#pieces;
  }

  #addLarge(data: Uint8Array, paddingBytes: number): void {
    this.#cut();
    this.#pieces.push(data);
    if (paddingBytes > 0) this.#pieces.push(ZEROS.subarray(0, paddingBytes));
  }

  #cut(): void {
    if (this.#end > this.#start) this.#pieces.push(this.#arena.subarray(this.#start, this.#end));
    this.#start = this.#end;
  }

  #reserve(bytes: number): void {
    if (this.#end + bytes <= this.#arena.length) return;
    // The pieces keep the old memory alive until they are written.
    this.#cut();
    this.#arena = this.#nextArena(bytes);
    this.#start = 0;
    this.#end = 0;
  }

  #nextArena(bytes: number): Buffer {
    if (bytes > ARENA_BYTES) return Buffer.allocUnsafeSlow(align8(bytes));
    const kept = this.#arenas[this.#arenasUsed];
    this.#arenasUsed++;
    if (kept !== undefined) return kept;
    const arena = Buffer.allocUnsafeSlow(ARENA_BYTES);
    if (this.#arenas.length < ARENAS_KEPT_MAX) this.#arenas.push(arena);
    return arena;
  }
}
