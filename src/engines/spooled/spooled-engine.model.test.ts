/**
 * Random appends, outages, answers that are lost, failovers that lose what was confirmed within the window, a remote engine that comes back with
 * nothing, and deaths of the spool's process, on a clock of its own. At the end every acknowledged record is in the remote engine exactly once,
 * in the order in which the local partition has it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ErrorCode } from '../../core/errors.ts';
import { DEFAULT_LIMITS } from '../../core/limits.ts';
import { ManualClock } from '../../core/ports/manual-clock.ts';
import { seededRandom } from '../../core/ports/random.ts';
import { type MemoryEngine, MemoryStore, openMemoryEngine } from '../memory/memory-engine.ts';
import type { MemoryCopy } from '../memory/memory-store.ts';
import { openSpooledEngine, type SpooledEngine } from './spooled-engine.ts';
import { type MemorySpoolLog, openMemorySpoolLog } from './testing/memory-spool-log.ts';
import { append, metric, takeAway, textsIn } from './testing/spool-fixture.ts';

const PARTITIONS = 2;
const WINDOW_MS = 5000;
const RUNS = 1000;

type Action =
  | { readonly kind: 'append'; readonly partition: number; readonly count: number; readonly producer: number }
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'turn' }
  | { readonly kind: 'away' | 'back' | 'hang' | 'copy' | 'failOver' | 'restart' | 'empty' }
  | { readonly kind: 'fail'; readonly count: number; readonly isStored: boolean; readonly code: number };

const CODES: readonly ErrorCode[] = ['TANDEM_STORE_UNREACHABLE', 'TANDEM_STORE_FAILED', 'TANDEM_NOT_REPLICATED'];

const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      partition: fc.nat(PARTITIONS - 1),
      count: fc.integer({ min: 1, max: 4 }),
      producer: fc.nat(2),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(1500) }) },
  { weight: 4, arbitrary: fc.constant({ kind: 'turn' as const }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'away' as const,
        'back' as const,
        'back' as const,
        'hang' as const,
        'copy' as const,
        'failOver' as const,
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('restart' as const, 'empty' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('fail' as const),
      count: fc.integer({ min: 1, max: 3 }),
      isStored: fc.boolean(),
      code: fc.nat(CODES.length - 1),
    }),
  },
);

class World {
  readonly clock = new ManualClock();
  readonly base = { clock: this.clock, random: seededRandom(1), limits: DEFAULT_LIMITS };
  readonly localStore = new MemoryStore(this.base);
  readonly remoteStore = new MemoryStore(this.base);
  readonly acked = new Set<string>();
  readonly sequences = new Map<string, number>();
  #copy: { readonly copy: MemoryCopy; readonly atMs: number } | undefined;
  #texts = 0;
  readonly #appends: Promise<void>[] = [];
  local!: MemorySpoolLog;
  remote!: MemoryEngine;
  spool!: SpooledEngine;
  #outage: { back(): void } | undefined;

  async open(): Promise<void> {
    this.local = openMemorySpoolLog({ ...this.base, store: this.localStore });
    this.remote = openMemoryEngine({ ...this.base, store: this.remoteStore });
    const { local, remote, base } = this;
    const bounds = { windowMs: WINDOW_MS, inFlightBytesMax: 64, drainMs: 0 };
    this.spool = await openSpooledEngine({ ...base, ...bounds, local, remote, originId: 'spool/x' });
  }

  async run(actions: readonly Action[]): Promise<void> {
    await this.open();
    await this.spool.topics.ensure({ name: 't', partitions: PARTITIONS, retentionMs: null, retentionBytes: null });
    for (const each of actions) await this.do(each);
    this.back();
    this.remote.faults.release();
    await Promise.all(this.#appends);
    for (let round = 0; round < 100 && !this.isDone(); round++) await this.clock.advance(1000);
    this.check();
    await this.spool.close();
  }

  async do(each: Action): Promise<void> {
    const { clock } = this;
    switch (each.kind) {
      case 'append':
        return this.append(each);
      case 'pass':
        return clock.advance(each.ms);
      case 'turn':
        return new Promise((resolve) => clock.soon(resolve));
      case 'away':
        this.#outage ??= takeAway(this);
        return;
      case 'back':
        return this.back();
      case 'hang':
        return this.remote.faults.hold();
      case 'copy':
        this.#copy = { copy: this.remoteStore.copy(), atMs: clock.monotonicMs() };
        return;
      case 'failOver':
        // What is older than the window may be lost for good.
        if (this.#copy !== undefined && clock.monotonicMs() - this.#copy.atMs < WINDOW_MS)
          this.remoteStore.failOverTo(this.#copy.copy);
        return;
      case 'empty':
        if (clock.monotonicMs() < WINDOW_MS) this.remoteStore.failOverTo();
        return;
      case 'restart':
        return this.restart();
      case 'fail':
        return this.remote.faults.fail(each.count, CODES[each.code] as ErrorCode, { isStored: each.isStored });
    }
  }

  back(): void {
    this.#outage?.back();
    this.#outage = undefined;
    this.remote.faults.release();
  }

  async restart(): Promise<void> {
    this.back();
    this.local.memory.kill();
    this.remote.kill();
    const closing = this.spool.close();
    await this.clock.advance(10);
    await closing;
    await this.open();
  }

  append({ partition, count, producer }: Extract<Action, { kind: 'append' }>): void {
    const values = Array.from({ length: count }, () => `${partition}-${this.#texts++}`);
    const key = `${partition}/${producer}`;
    const sequence = (this.sequences.get(key) ?? 0) + 1;
    if (producer > 0) this.sequences.set(key, sequence + count - 1);
    const named = producer === 0 ? undefined : { id: `p${producer}`, sequence };
    const appended = append(this.spool, values, named, { topic: 't', partition }).then(
      () => {
        for (const value of values) this.acked.add(value);
      },
      () => {},
    );
    this.#appends.push(appended);
  }

  isDone(): boolean {
    return this.partitions().every(({ stored, acked }) => {
      const there = new Set(stored);
      return acked.every((text) => there.has(text));
    });
  }

  check(): void {
    for (const { stored, acked } of this.partitions()) {
      assert.equal(new Set(stored).size, stored.length, 'once');
      const there = new Set(stored);
      for (const text of acked) assert.ok(there.has(text), `${text} is there`);
      const numbers = stored.map((text) => Number(text.slice(2)));
      assert.deepEqual(
        numbers,
        numbers.toSorted((a, b) => a - b),
        'in order',
      );
    }
    assert.equal(metric(this.spool, 'lost_total'), 0);
  }

  partitions(): { readonly stored: readonly string[]; readonly acked: readonly string[] }[] {
    return Array.from({ length: PARTITIONS }, (_, partition) => ({
      stored: textsIn(this.remoteStore, { topic: 't', partition }),
      acked: [...this.acked].filter((text) => text.startsWith(`${partition}-`)),
    }));
  }
}

test('whatever happens, every acknowledged record is in the engine once, in order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 10, maxLength: 120 }), (actions) => new World().run(actions)),
    { numRuns: RUNS },
  );
});
