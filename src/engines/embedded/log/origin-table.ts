/**
 * Numbers for where batches of a segment come from: an origin is a partition, or a producer in a partition. Found by name without making
 * a string of any: a segment may have a hundred thousand of them, and recovery reads them all at once.
 */
import type { Integers, Words } from './growing-columns.ts';
import { grownBytes, grownIntegers, grownWords } from './growing-columns.ts';

/** In the place of the partition's origin: this one is a partition itself. */
export const IS_PARTITION = -1;

export class OriginTable {
  count = 0;
  /** Of each origin: the one of its partition, which of a partition is itself. */
  partitionOrigins: Words = new Uint32Array(64);
  partitionNumbers: Words = new Uint32Array(64);
  #hashes = new Uint32Array(64);
  /** Where the names end; each begins where the one before it ends. */
  #nameEnds = new Uint32Array(64);
  #names = Buffer.alloc(1024);
  /** Open addressing: origin + 1, or 0. At least twice as long as there are origins. */
  #places: Integers = new Int32Array(256);

  /** -1: there is none. */
  find(partitionOrigin: number, partition: number, name: string): number {
    const mask = this.#places.length - 1;
    for (let place = hashOf(partitionOrigin, partition, name) & mask; ; place = (place + 1) & mask) {
      const origin = (this.#places[place] as number) - 1;
      if (origin < 0 || this.#is(origin, partitionOrigin, partition, name)) return origin;
    }
  }

  add(partitionOrigin: number, partition: number, name: string): number {
    this.#names = grownBytes(this.#names, this.#namesEnd + name.length);
    this.#names.write(name, this.#namesEnd, 'latin1');
    return this.#place(partitionOrigin, partition, hashOf(partitionOrigin, partition, name), name.length);
  }

  /** As `encodedAt` gave it. */
  addEncoded(partitionOrigin: number, partition: number, hash: number, name: Buffer): number {
    this.#names = grownBytes(this.#names, this.#namesEnd + name.length);
    this.#names.set(name, this.#namesEnd);
    return this.#place(partitionOrigin, partition, hash, name.length);
  }

  isPartition(origin: number): boolean {
    return this.partitionOrigins[origin] === origin;
  }

  name(origin: number): string {
    return this.#names.toString('latin1', this.#nameStart(origin), this.#nameEnds[origin]);
  }

  hash(origin: number): number {
    return this.#hashes[origin] as number;
  }

  nameBytes(first: number, end: number): Buffer {
    return this.#names.subarray(this.#nameStart(first), this.#nameStart(end));
  }

  nameLength(origin: number): number {
    return (this.#nameEnds[origin] as number) - this.#nameStart(origin);
  }

  get #namesEnd(): number {
    return this.#nameStart(this.count);
  }

  #nameStart(origin: number): number {
    return origin === 0 ? 0 : (this.#nameEnds[origin - 1] as number);
  }

  #place(partitionOrigin: number, partition: number, hash: number, nameLength: number): number {
    const origin = this.count;
    const end = this.#namesEnd + nameLength;
    this.partitionOrigins = grownWords(this.partitionOrigins, origin + 1);
    this.partitionNumbers = grownWords(this.partitionNumbers, origin + 1);
    this.#hashes = grownWords(this.#hashes, origin + 1);
    this.#nameEnds = grownWords(this.#nameEnds, origin + 1);
    this.partitionOrigins[origin] = partitionOrigin === IS_PARTITION ? origin : partitionOrigin;
    this.partitionNumbers[origin] = partition;
    this.#hashes[origin] = hash;
    this.#nameEnds[origin] = end;
    this.count++;
    if (this.count * 2 > this.#places.length) this.#rehash();
    else this.#insert(origin);
    return origin;
  }

  #rehash(): void {
    this.#places = grownIntegers(new Int32Array(0), this.#places.length * 4);
    for (let origin = 0; origin < this.count; origin++) this.#insert(origin);
  }

  #insert(origin: number): void {
    const mask = this.#places.length - 1;
    let place = (this.#hashes[origin] as number) & mask;
    while (this.#places[place] !== 0) place = (place + 1) & mask;
    this.#places[place] = origin + 1;
  }

  #is(origin: number, partitionOrigin: number, partition: number, name: string): boolean {
    const expected = partitionOrigin === IS_PARTITION ? origin : partitionOrigin;
    if (this.partitionOrigins[origin] !== expected || this.partitionNumbers[origin] !== partition) return false;
    const start = this.#nameStart(origin);
    if ((this.#nameEnds[origin] as number) - start !== name.length) return false;
    for (let i = 0; i < name.length; i++) if (this.#names[start + i] !== name.charCodeAt(i)) return false;
    return true;
  }
}

/** FNV-1a. */
function hashOf(partitionOrigin: number, partition: number, name: string): number {
  let hash = Math.imul(0x811c9dc5 ^ (partitionOrigin + 1), 0x0100_0193);
  hash = Math.imul(hash ^ partition, 0x0100_0193);
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x0100_0193);
  // The low bits choose the place: let the high ones count too.
  return (hash ^ (hash >>> 15)) >>> 0;
}
