/**
 * The records of the demo, and the book of what somebody saw of them: a subscriber, or the one who reads the store back. Each source numbers its
 * records 1, 2, 3, … and they belong into that order.
 */
import { NumberSet } from './number-set.ts';

/** `source` counts from 0. */
export const recordText = (source: number, number: number): string => `{"source":${source},"number":${number}}`;

const RECORD = /^\{"source":(\d{1,4}),"number":(\d{1,15})\}$/;

export class RecordTally {
  records = 0;
  /** Seen before. */
  duplicated = 0;
  /** After a higher number of its source. */
  outOfOrder = 0;
  /** No record of this demo. */
  foreign = 0;
  /** By source. */
  readonly numbers: readonly NumberSet[];
  /** The first few things that were wrong, for people. */
  readonly findings: string[] = [];

  constructor(sources: number) {
    this.numbers = Array.from({ length: sources }, () => new NumberSet());
  }

  /** `place` is for people. */
  take(data: string, place: () => string): void {
    this.records++;
    const match = RECORD.exec(data);
    const source = Number(match?.[1]);
    const number = Number(match?.[2]);
    const numbers = this.numbers[source];
    if (numbers === undefined || number < 1) {
      this.foreign++;
      this.#find(`${place()}: ${data.slice(0, 60)} is no record of this demo`);
      return;
    }
    const { highest } = numbers;
    if (!numbers.add(number)) {
      this.duplicated++;
      this.#find(`${place()}: number ${number} of source ${source} again`);
    } else if (number < highest) {
      this.outOfOrder++;
      this.#find(`${place()}: number ${number} of source ${source} after ${highest}`);
    }
  }

  #find(text: string): void {
    if (this.findings.length < FINDINGS_MAX) this.findings.push(text);
  }
}

const FINDINGS_MAX = 5;
