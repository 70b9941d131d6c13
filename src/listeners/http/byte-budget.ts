/** Unfinished input (half-received bodies and messages) of all connections of a listener together, so that many of them stay bounded. */
export class ByteBudget {
  used = 0;
  readonly bytesMax: number;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** Takes or, if negative, gives back. False: the budget is overdrawn; the caller must give up what it holds and give it back. */
  change(bytes: number): boolean {
    this.used += bytes;
    return bytes <= 0 || this.used <= this.bytesMax;
  }
}
