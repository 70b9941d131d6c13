/** The term under which this process writes. */
export class StoreTerm {
  #own = 0;
  #text = '0';

  get own(): number {
    return this.#own;
  }

  /** As calls carry it. */
  get text(): string {
    return this.#text;
  }

  /** Writes go under `term` from here on. */
  actUnder(term: number): void {
    this.#own = term;
    this.#text = String(term);
  }
}
