/** Compares what one lane was told is stored with what is stored: each record it sent has a sequence. */
export interface Verdict {
  readonly acked: number;
  /** Acknowledged and not stored. */
  readonly lost: number;
  /** Stored again, however often. */
  readonly duplicated: number;
  /** Stored for the first time after one with a higher sequence. */
  readonly outOfOrder: number;
}

export class Ledger {
  readonly #acked: Uint8Array;
  readonly #stored: Uint8Array;
  #highest = 0;
  #duplicated = 0;
  #outOfOrder = 0;
  /** Acknowledged and not seen yet. */
  missing: number;

  constructor(acked: Uint8Array) {
    this.#acked = acked;
    this.#stored = new Uint8Array(acked.length);
    this.missing = acked.reduce((sum, isAcked) => sum + isAcked, 0);
  }

  /** In the order in which they are stored. Errors: a sequence that was never sent. */
  take(sequence: number): void {
    const i = sequence - 1;
    if (this.#stored[i] === undefined) throw new RangeError(`sequence ${sequence} was never sent`);
    if (this.#stored[i] === 1) {
      this.#duplicated++;
      return;
    }
    this.#stored[i] = 1;
    if (this.#acked[i] === 1) this.missing--;
    if (sequence < this.#highest) this.#outOfOrder++;
    this.#highest = Math.max(this.#highest, sequence);
  }

  verdict(): Verdict {
    const acked = this.#acked.reduce((sum, isAcked) => sum + isAcked, 0);
    return { acked, lost: this.missing, duplicated: this.#duplicated, outOfOrder: this.#outOfOrder };
  }
}

export function sum(verdicts: readonly Verdict[]): Verdict {
  const of = (what: keyof Verdict): number => verdicts.reduce((total, verdict) => total + verdict[what], 0);
  return { acked: of('acked'), lost: of('lost'), duplicated: of('duplicated'), outOfOrder: of('outOfOrder') };
}
