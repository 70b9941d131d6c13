/** How often each value was seen, in a byte each: more than 255 times counts as 255. Foreign values are not counted. */
import { isForeign, sequenceOf, sourceOf } from './values.ts';

const FIRST_CAPACITY = 1024;

export class ValueCounts {
  readonly #bySource = new Map<number, Uint8Array>();
  /** Different values. */
  size = 0;

  /** Returns how often it was seen now. */
  up(code: number): number {
    if (isForeign(code)) return 0;
    const [source, sequence] = [sourceOf(code), sequenceOf(code)];
    let counts = this.#bySource.get(source) ?? new Uint8Array(FIRST_CAPACITY);
    if (sequence >= counts.length) {
      const grown = new Uint8Array(Math.max(sequence + 1, counts.length * 2));
      grown.set(counts);
      counts = grown;
    }
    this.#bySource.set(source, counts);
    const count = (counts[sequence] as number) + 1;
    if (count === 1) this.size++;
    counts[sequence] = Math.min(count, 255);
    return count;
  }

  of(code: number): number {
    return this.#bySource.get(sourceOf(code))?.[sequenceOf(code)] ?? 0;
  }
}
