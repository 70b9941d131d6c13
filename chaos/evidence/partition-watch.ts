/**
 * What a subscriber has seen: checks while it listens that each partition comes without gap and without repeat.
 *
 * Where the store may lose what it had (`mayBeTold`), the server may say that records are missed: then each partition may go on at any place, and
 * what was seen from there on counts no more.
 */
import { NumberList } from './number-list.ts';
import { ValueCounts } from './value-counts.ts';
import type { Values } from './values.ts';

export interface DeliveredRecord {
  readonly partition: number;
  readonly offset: number;
  readonly data?: string;
  /** Under which the node that sent it was active. */
  readonly term?: number;
}

export interface WatchOptions {
  /** Records may be missed if the server says so. */
  readonly mayBeTold?: boolean;
  /** Several nodes serve at a time: terms say nothing. */
  readonly hasManyTerms?: boolean;
}

export class PartitionWatch {
  readonly complaints: string[] = [];
  readonly name: string;
  /** Partition -> codes of the values in order of offset, from 0; NaN: the server said that these were missed. */
  readonly seen = new Map<number, NumberList>();
  readonly #values: Values;
  readonly #options: WatchOptions;
  readonly #counts = new ValueCounts();
  /** Partitions of which nothing came since the server said that records are missed. */
  #told = new Set<number>();
  /** The highest so far. */
  term = 0;
  #count = 0;
  /** How often the server said so. */
  gaps = 0;

  constructor(name: string, values: Values, options: WatchOptions = {}) {
    this.name = name;
    this.#values = values;
    this.#options = options;
  }

  /** Different records; where history may be lost, different values. */
  get count(): number {
    return this.#options.mayBeTold === true ? this.#counts.size : this.#count;
  }

  take({ partition, offset, data = '', term }: DeliveredRecord): void {
    let codes = this.seen.get(partition);
    if (codes === undefined) {
      codes = new NumberList();
      this.seen.set(partition, codes);
    }
    if (this.#told.delete(partition)) codes.truncate(offset);
    else if (offset !== codes.length)
      this.complain(`partition ${partition}: got offset ${offset} where ${codes.length} was due`);
    if (offset >= codes.length) this.#count++;
    const code = this.#values.codeOf(data);
    this.#counts.up(code);
    codes.set(offset, code);
    if (term === undefined || this.#options.hasManyTerms === true) return;
    if (term < this.term) this.complain(`got ${partition}:${offset} under term ${term} after term ${this.term}`);
    else this.term = term;
  }

  /** The server has said that records are missed. */
  tellGap(what: string): void {
    this.gaps++;
    this.#told = new Set(this.seen.keys());
    if (this.#options.mayBeTold !== true) this.complain(what);
  }

  complain(problem: string): void {
    this.complaints.push(`${this.name}: ${problem}`);
  }
}
