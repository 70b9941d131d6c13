/** A growing list of numbers in 8 bytes each: what a drill of half an hour notes must fit into memory. */
const FIRST_CAPACITY = 1024;

export class NumberList {
  #numbers = new Float64Array(FIRST_CAPACITY);
  #length = 0;

  static of(numbers: Iterable<number>): NumberList {
    const list = new NumberList();
    for (const number of numbers) list.push(number);
    return list;
  }

  get length(): number {
    return this.#length;
  }

  /** NaN where nothing was set. */
  at(index: number): number {
    return index < this.#length ? (this.#numbers[index] as number) : Number.NaN;
  }

  push(number: number): void {
    this.set(this.#length, number);
  }

  /** What lies between the end and `index` becomes NaN. */
  set(index: number, number: number): void {
    if (index >= this.#numbers.length) {
      const grown = new Float64Array(Math.max(index + 1, this.#numbers.length * 2));
      grown.set(this.#numbers.subarray(0, this.#length));
      this.#numbers = grown;
    }
    if (index > this.#length) this.#numbers.fill(Number.NaN, this.#length, index);
    this.#numbers[index] = number;
    this.#length = Math.max(this.#length, index + 1);
  }

  /** Forgets what lies from `length` on. */
  truncate(length: number): void {
    this.#length = Math.min(this.#length, length);
  }

  pop(): number | undefined {
    return this.#length === 0 ? undefined : this.#numbers[--this.#length];
  }
}
