/** What a subscriber has seen: checks while it listens that each partition comes without gap and without repeat. */
import { identityOf } from '../producers/producer.ts';

export interface DeliveredRecord {
  readonly partition: number;
  readonly offset: number;
  readonly data?: string;
}

export class PartitionWatch {
  readonly complaints: string[] = [];
  readonly #name: string;
  /** partition -> values in order of offset, from 0. */
  readonly seen = new Map<number, string[]>();

  constructor(name: string) {
    this.#name = name;
  }

  take(record: DeliveredRecord): void {
    let values = this.seen.get(record.partition);
    if (values === undefined) {
      values = [];
      this.seen.set(record.partition, values);
    }
    if (record.offset !== values.length) {
      this.complaints.push(
        `${this.#name}: partition ${record.partition}: got offset ${record.offset} where ${values.length} was due`,
      );
    }
    values[record.offset] = identityOf(record.data ?? '');
  }

  count(): number {
    let count = 0;
    for (const values of this.seen.values()) count += values.length;
    return count;
  }
}
