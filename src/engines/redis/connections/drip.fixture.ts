/** A steady drip of numbered calls on a shard, and what became of each: to see what a fault does to them. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { TandemError } from '../../../core/errors.ts';
import { until } from '../../../core/testing/until.ts';
import type { RedisShard } from './redis-servers.ts';

export interface DripResult {
  readonly acked: readonly number[];
  /** Rejected, and nobody knows. */
  readonly unknown: readonly number[];
  /** Rejected as surely not executed. */
  readonly refused: readonly number[];
  /** The longest time in which no call was answered. */
  readonly longestGapMs: number;
  /** The longest that one call took, answered or rejected. */
  readonly slowestMs: number;
}

const EVERY_MS = 4;

export class Drip {
  readonly #shard: RedisShard;
  readonly #key: string;
  readonly #acked: number[] = [];
  readonly #unknown: number[] = [];
  readonly #refused: number[] = [];
  readonly #timer: NodeJS.Timeout;
  #sent = 0;
  #settled = 0;
  #answeredAtMs = performance.now();
  #longestGapMs = 0;
  #slowestMs = 0;

  /** Appends 0, 1, 2, ... to the list `{tag}drip`. */
  constructor(t: TestContext, shard: RedisShard) {
    this.#shard = shard;
    this.#key = `{${shard.tag}}drip`;
    this.#timer = setInterval(() => void this.#drop(this.#sent++), EVERY_MS);
    t.after(() => clearInterval(this.#timer));
  }

  get key(): string {
    return this.#key;
  }
  get lastAcked(): number {
    return this.#acked.at(-1) ?? -1;
  }

  /** Resolves when as many more are answered. */
  async more(count: number = 20): Promise<void> {
    const goal = this.#acked.length + count;
    await until(`${count} more calls are answered`, () => this.#acked.length >= goal);
  }

  async stop(): Promise<DripResult> {
    clearInterval(this.#timer);
    await until('all calls are settled', () => this.#settled === this.#sent);
    return {
      acked: this.#acked,
      unknown: this.#unknown,
      refused: this.#refused,
      longestGapMs: Math.round(this.#longestGapMs),
      slowestMs: Math.round(this.#slowestMs),
    };
  }

  async #drop(index: number): Promise<void> {
    const startMs = performance.now();
    try {
      await this.#shard.call(['RPUSH', this.#key, String(index)]);
      this.#acked.push(index);
      const nowMs = performance.now();
      this.#longestGapMs = Math.max(this.#longestGapMs, nowMs - this.#answeredAtMs);
      this.#answeredAtMs = nowMs;
    } catch (error) {
      assert.ok(error instanceof TandemError && error.code === 'TANDEM_STORE_UNREACHABLE', String(error));
      (error.data?.['mayBeExecuted'] === true ? this.#unknown : this.#refused).push(index);
    }
    this.#settled++;
    this.#slowestMs = Math.max(this.#slowestMs, performance.now() - startMs);
  }
}

/** What a list must be after a fault: each call at most once, in order, none that was refused, and all that were acked from `from` on. */
export function judgeDrip(stored: readonly number[], { acked, refused }: DripResult, from: number): void {
  assert.deepEqual(
    stored,
    [...new Set(stored)].sort((a, b) => a - b),
    'in order, none twice',
  );
  const present = new Set(stored);
  assert.deepEqual(
    refused.filter((index) => present.has(index)),
    [],
    'refused and stored',
  );
  assert.deepEqual(
    acked.filter((index) => index >= from && !present.has(index)),
    [],
    'acked and not stored',
  );
}
