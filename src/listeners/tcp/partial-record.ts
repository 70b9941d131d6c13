/** A record of which only a part has come: copied together with doubling capacity, so that many tiny reads cost neither time nor memory. */
const NOTHING = Buffer.alloc(0);
const FIRST_CAPACITY_BYTES = 256;

export class PartialRecord {
  #bytes: Buffer = NOTHING;
  byteLength = 0;

  add(piece: Uint8Array): void {
    const needed = this.byteLength + piece.length;
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(FIRST_CAPACITY_BYTES, this.#bytes.length * 2, needed));
      larger.set(this.#bytes.subarray(0, this.byteLength));
      this.#bytes = larger;
    }
    this.#bytes.set(piece, this.byteLength);
    this.byteLength = needed;
  }

  /** Valid until the next `add` or `clear`. */
  view(): Buffer {
    return this.#bytes.subarray(0, this.byteLength);
  }

  clear(): void {
    this.byteLength = 0;
    // An idle connection keeps no more than a small buffer.
    if (this.#bytes.length > 16 * FIRST_CAPACITY_BYTES) this.#bytes = NOTHING;
  }
}
