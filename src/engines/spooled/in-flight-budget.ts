interface Reservation {
  readonly bytes: number;
  readonly resolve: () => void;
}

/** Bytes on the way to the remote engine, over all partitions. Who would exceed the bound waits, in order; so it is exceeded by one reservation at most. */
export class InFlightBudget {
  #bytes = 0;
  readonly #bytesMax: number;
  #waiting: Reservation[] = [];
  #isClosed = false;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** They are taken when this resolves; undefined: they are taken. */
  reserve(bytes: number): Promise<void> | undefined {
    if ((this.#bytes < this.#bytesMax && this.#waiting.length === 0) || this.#isClosed) {
      this.#bytes += bytes;
      return undefined;
    }
    return new Promise((resolve) => this.#waiting.push({ bytes, resolve }));
  }

  /** What was reserved turned out to be another number. */
  correct(bytes: number): void {
    if (bytes < 0) this.give(-bytes);
    else this.#bytes += bytes;
  }

  give(bytes: number): void {
    this.#bytes -= bytes;
    let passed = 0;
    for (; passed < this.#waiting.length && (this.#bytes < this.#bytesMax || this.#isClosed); passed++) {
      const { bytes: wanted, resolve } = this.#waiting[passed] as Reservation;
      this.#bytes += wanted;
      resolve();
    }
    if (passed > 0) this.#waiting = this.#waiting.slice(passed);
  }

  /** Everybody goes on. */
  close(): void {
    this.#isClosed = true;
    this.give(0);
  }
}
