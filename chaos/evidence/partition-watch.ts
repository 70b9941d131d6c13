/** What a subscriber has seen: checks while it listens that each partition comes without gap and without repeat. */
import { NumberList } from './number-list.ts';
import type { Values } from './values.ts';

export interface DeliveredRecord {
  readonly partition: number;
  readonly offset: number;
  readonly data?: string;
  /** Under which the node that sent it was active. */
  readonly term?: number;
}

export class PartitionWatch {
  readonly complaints: string[] = [];
  readonly name: string;
  /** Partition -> codes of the values in order of offset, from 0. */
  readonly seen = new Map<number, NumberList>();
  readonly #values: Values;
  /** The highest so far. */
  term = 0;
  count = 0;

  constructor(name: string, values: Values) {
    this.name = name;
    this.#values = values;
  }

  take({ partition, offset, data = '', term }: DeliveredRecord): void {
    let codes = this.seen.get(partition);
    if (codes === undefined) {
      codes = new NumberList();
      this.seen.set(partition, codes);
    }
    if (offset !== codes.length)
      this.complain(`partition ${partition}: got offset ${offset} where ${codes.length} was due`);
    if (offset >= codes.length) this.count++;
    codes.set(offset, this.#values.codeOf(data));
    if (term === undefined) return;
    if (term < this.term) this.complain(`got ${partition}:${offset} under term ${term} after term ${this.term}`);
    else this.term = term;
  }

  complain(problem: string): void {
    this.complaints.push(`${this.name}: ${problem}`);
  }
}
