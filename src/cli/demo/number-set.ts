/**
 * A set of whole numbers from 1, for the books of a long run: one bit each, and next to nothing for a page that is full, which the pages of a
 * run without loss are.
 */

const PAGE_NUMBERS = 32_768;
const WORD_BITS = 32;
const PAGE_WORDS = PAGE_NUMBERS / WORD_BITS;

const FULL = new Uint32Array(PAGE_WORDS).fill(0xffff_ffff);
const EMPTY = new Uint32Array(PAGE_WORDS);

export interface Difference {
  readonly count: number;
  /** Some of them, the lowest first. */
  readonly examples: readonly number[];
}

const EXAMPLES_MAX = 5;

export class NumberSet {
  /** How many there are. */
  count = 0;
  /** 0: none. */
  highest = 0;
  readonly #pages: Uint32Array[] = [];
  readonly #counts: number[] = [];

  /** False: it was there already. */
  add(number: number): boolean {
    const at = (number - 1) % PAGE_NUMBERS;
    const index = (number - 1 - at) / PAGE_NUMBERS;
    const word = at >>> 5;
    const bit = 1 << (at & 31);
    let page = this.#pages[index] ?? EMPTY;
    if (((page[word] as number) & bit) !== 0) return false;
    if (page === EMPTY) {
      page = new Uint32Array(PAGE_WORDS);
      while (this.#pages.length <= index) this.#pages.push(EMPTY);
      this.#pages[index] = page;
    }
    page[word] = (page[word] as number) | bit;
    const count = (this.#counts[index] ?? 0) + 1;
    this.#counts[index] = count;
    if (count === PAGE_NUMBERS) this.#pages[index] = FULL;
    this.count++;
    if (number > this.highest) this.highest = number;
    return true;
  }

  /** What is here and not in `other`. */
  without(other: NumberSet): Difference {
    let count = 0;
    const examples: number[] = [];
    for (const [index, mine] of this.#pages.entries()) {
      const theirs = other.#pages[index] ?? EMPTY;
      if (mine === EMPTY || theirs === FULL) continue;
      for (let word = 0; word < PAGE_WORDS; word++) {
        let rest = (mine[word] as number) & ~(theirs[word] as number);
        for (; rest !== 0; rest &= rest - 1) {
          count++;
          const bit = WORD_BITS - 1 - Math.clz32(rest & -rest);
          if (examples.length < EXAMPLES_MAX) examples.push(index * PAGE_NUMBERS + word * WORD_BITS + bit + 1);
        }
      }
    }
    return { count, examples };
  }
}
