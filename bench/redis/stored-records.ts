/**
 * How many records of a topic a Redis server has, seen from outside: each partition is a stream whose entries have the id
 * `<first offset>-<count>`, so the last id says how many came before it and with it.
 */
import type { ServerProcess } from '../../src/core/testing/redis-servers/server-process.ts';

const SAMPLE_INTERVAL_MS = 100;
/** Nothing came for so long: all that was on its way is there. */
const STILL_MS = 1500;

export interface Sample {
  /** Unix ms. */
  readonly atMs: number;
  readonly records: number;
}

export class StoredRecords {
  readonly #server: ServerProcess;
  readonly #topic: string;
  readonly #samples: Sample[] = [];
  #isOver = false;
  #sampling: Promise<void> | undefined;

  constructor(server: ServerProcess, topic: string) {
    this.#server = server;
    this.#topic = topic;
  }

  async count(): Promise<number> {
    let records = 0;
    for (const key of (await this.#server.call('KEYS', `*:log:${this.#topic}:*`)) as string[]) {
      const facts = (await this.#server.call('XINFO', 'STREAM', key)) as string[];
      const [firstOffset, count] = `${facts[facts.indexOf('last-generated-id') + 1]}`.split('-');
      records += Number(firstOffset) + Number(count);
    }
    return records;
  }

  /** Samples from now on, until all that is on its way is there or `end`. */
  start(): this {
    this.#sampling = this.#run();
    return this;
  }

  /** As far as samples tell, in between linearly. */
  at(atMs: number): number {
    const next = this.#samples.findIndex((sample) => sample.atMs >= atMs);
    const later = this.#samples[next];
    const earlier = this.#samples[next - 1];
    if (later === undefined) return this.#samples.at(-1)?.records ?? 0;
    if (earlier === undefined) return later.records;
    const share = (atMs - earlier.atMs) / (later.atMs - earlier.atMs);
    return earlier.records + share * (later.records - earlier.records);
  }

  /** Resolves with the first sample that has all, when no more come. */
  async complete(): Promise<Sample> {
    for (;;) {
      const last = this.#samples.at(-1);
      const first = this.#samples.find((sample) => sample.records === last?.records);
      if (last !== undefined && first !== undefined && last.records > 0 && last.atMs - first.atMs > STILL_MS)
        return first;
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_INTERVAL_MS));
    }
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#sampling;
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      this.#samples.push({ records: await this.count(), atMs: Date.now() });
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_INTERVAL_MS));
    }
  }
}
