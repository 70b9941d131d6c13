/** Counts events per tenth of a second over the last seconds. */

const BUCKET_MS = 100;
const BUCKETS = 100;
const BUCKETS_PER_SECOND = 1000 / BUCKET_MS;

export class Meter {
  total = 0;
  readonly #counts = new Array<number>(BUCKETS).fill(0);
  /** Number of the newest bucket since the start of time. */
  #newest = 0;

  add(count: number, nowMs: number): void {
    this.#turnTo(nowMs);
    this.total += count;
    const at = this.#newest % BUCKETS;
    this.#counts[at] = (this.#counts[at] as number) + count;
  }

  /** The last `count` buckets that are over, oldest first. */
  buckets(count: number, nowMs: number): number[] {
    this.#turnTo(nowMs);
    const wanted = Math.min(count, BUCKETS - 1);
    return Array.from(
      { length: wanted },
      (_, i) => this.#counts[(this.#newest - wanted + i + BUCKETS) % BUCKETS] as number,
    );
  }

  /** Over the last second. */
  perSecond(nowMs: number): number {
    return this.buckets(BUCKETS_PER_SECOND, nowMs).reduce((sum, each) => sum + each, 0);
  }

  #turnTo(nowMs: number): void {
    const now = Math.floor(nowMs / BUCKET_MS);
    const passed = Math.min(now - this.#newest, BUCKETS);
    for (let i = 1; i <= passed; i++) this.#counts[(now - passed + i) % BUCKETS] = 0;
    this.#newest = Math.max(this.#newest, now);
  }
}
