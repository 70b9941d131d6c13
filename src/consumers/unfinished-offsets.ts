/**
 * Which offsets of a partition are finished. `lowest` is the lowest unfinished one: what may be committed.
 *
 * Offsets are taken in order and finished in any order, at most SPAN ahead of the lowest: a ring of flags, no memory per record.
 */

/** How far finished work may run ahead of the lowest unfinished record, in offsets; also the most that a crash can make come twice. */
export const SPAN = 65_536;
const MASK = SPAN - 1;

export class UnfinishedOffsets {
  lowest = 0;
  #aheadCount = 0;
  readonly #finished = new Uint8Array(SPAN);

  /** Forgets everything; the next offset to be finished is `offset`. */
  reset(offset: number): void {
    this.lowest = offset;
    this.#aheadCount = 0;
    this.#finished.fill(0);
  }

  /** Must be true before `offset` is begun. */
  hasRoomFor(offset: number): boolean {
    return offset - this.lowest < SPAN;
  }

  /** Each offset once. */
  finish(offset: number): void {
    if (offset !== this.lowest) {
      this.#finished[offset & MASK] = 1;
      this.#aheadCount++;
      return;
    }
    this.lowest++;
    if (this.#aheadCount > 0) this.#catchUp();
  }

  #catchUp(): void {
    while (this.#finished[this.lowest & MASK] === 1) {
      this.#finished[this.lowest & MASK] = 0;
      this.#aheadCount--;
      this.lowest++;
    }
  }
}
