/**
 * The highest term that this process has seen in the store. It goes with calls that issue terms, so that a server that has lost its data (a
 * restart without persistence) does not issue the same ones again, and is noticed.
 */
export class SeenTerms {
  #highest = 0;

  get highest(): number {
    return this.#highest;
  }

  saw(term: number): void {
    if (term > this.#highest) this.#highest = term;
  }
}
