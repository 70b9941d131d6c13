/**
 * Random histories: records of several keys, workers that come, die and leave, handlers that answer at once, late, wrongly or never, a store
 * that refuses now and then. Held in every one of them, at every step:
 *
 *   a commit never passes a record that is neither handled nor stored as a dead letter;
 *   one worker has a key in one call at a time, and at most `concurrency` calls per partition;
 * and at the end every record is settled, the ones that never succeed as dead letters, and the records of each key were settled (for the first
 * time) in their order.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import type { GroupStore, RecordStore } from '../core/contracts/engine.ts';
import type { Ingest } from '../core/contracts/ingest.ts';
import { TandemError } from '../core/errors.ts';
import { delay } from '../core/ports/clock.ts';
import { type Random, seededRandom } from '../core/ports/random.ts';
import type { TandemRecord } from '../core/record.ts';
import { type Bench, openBench, TOPIC, untilWithTime, type Worker, withMethods } from './consumers.fixture.ts';
import type { HandlerContext, HandlerRecord } from './handler-api.ts';

type Step =
  | { readonly kind: 'append'; readonly keys: readonly number[] }
  | { readonly kind: 'open' | 'kill' | 'drain' | 'pause' | 'resume' | 'refuse'; readonly worker: number }
  | { readonly kind: 'pass'; readonly ms: number };

const PARTITIONS = 2;
const KEYS = 5;
const WORKERS_MAX = 3;

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('append' as const), keys: keysOf() }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 3000 }) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom('open', 'kill', 'drain', 'pause', 'resume', 'refuse'),
      worker: fc.nat(WORKERS_MAX - 1),
    }),
  },
);

function keysOf(): fc.Arbitrary<number[]> {
  return fc.array(fc.nat(KEYS), { minLength: 1, maxLength: 30 });
}

/** What happened to the records, and the checks that hold at every step. */
class History {
  readonly #random: Random;
  readonly #concurrency: number;
  readonly settled = Array.from({ length: PARTITIONS }, () => new Set<number>());
  readonly handled = new Set<string>();
  readonly buried = new Set<string>();
  /** The first promise that was broken. */
  broken: Error | undefined;

  constructor(random: Random, concurrency: number) {
    this.#random = random;
    this.#concurrency = concurrency;
  }

  check(holds: boolean, promise: string): void {
    if (!holds) this.broken ??= new Error(promise);
  }

  /** `settled` keeps the order of the first times. */
  settle(partition: number, offset: number): void {
    this.settled[partition]?.add(offset);
  }

  checkOrder(records: readonly TandemRecord[]): void {
    const last = new Map<string | undefined, number>();
    for (const { partition } of records.slice(0, 1))
      for (const offset of this.settled[partition] ?? []) {
        const key = records[offset]?.key;
        this.check((last.get(key) ?? -1) < offset, `${partition}:${offset} was settled after a later one of its key`);
        last.set(key, offset);
      }
  }

  committed(partition: number, offset: number): void {
    for (let below = 0; below < offset; below++)
      this.check(
        this.settled[partition]?.has(below) === true,
        `committed ${offset} past unfinished ${partition}:${below}`,
      );
  }

  /** The handler of one worker. After its death it never answers and notes nothing. */
  handlerOf(worker: { isDead: boolean }, clock: Bench['clock']) {
    const running = new Set<string>();
    const save = (record: HandlerRecord, context: HandlerContext): unknown => {
      if (worker.isDead) return new Promise(() => {});
      const lane = `${record.partition}/${record.key}`;
      const inPartition = [...running].filter((other) => other.startsWith(`${record.partition}/`)).length;
      this.check(!running.has(lane), `key ${lane} twice at once`);
      this.check(inPartition < this.#concurrency, `more than ${this.#concurrency} calls at once`);
      const end = (isDone: boolean): void => {
        running.delete(lane);
        if (worker.isDead) return;
        if (!isDone || record.text === 'poison') throw new Error('no');
        this.settle(record.partition, record.offset);
        this.handled.add(record.id);
      };
      running.add(lane);
      const luck = this.#random.fraction();
      if (luck < 0.5) return end(true);
      if (luck < 0.6) return end(false);
      const abortable = delay(clock, this.#random.fraction() * 2000, context.signal);
      return abortable.then(
        () => end(luck < 0.85),
        () => end(false),
      );
    };
    return save;
  }
}

class Simulation {
  readonly history: History;
  readonly #bench: Bench;
  readonly #random: Random;
  readonly #concurrency: number;
  readonly #workers: ({ readonly opened: Worker; readonly life: { isDead: boolean } } | undefined)[] = [];
  appended = 0;
  poisoned = 0;

  constructor(bench: Bench, random: Random, concurrency: number) {
    this.#bench = bench;
    this.#random = random;
    this.#concurrency = concurrency;
    this.history = new History(random, concurrency);
  }

  async run(step: Step): Promise<void> {
    if (step.kind === 'append') return this.#append(step.keys);
    if (step.kind === 'pass') return this.#bench.clock.advance(step.ms);
    const worker = this.#workers[step.worker];
    if (step.kind === 'open') return worker === undefined ? this.open(step.worker) : undefined;
    if (worker === undefined) return;
    const { consumers, engine } = worker.opened;
    if (step.kind === 'refuse') return engine.faults.fail(3, 'TANDEM_DISK_FULL');
    // Not awaited: it takes time, which other steps let pass.
    if (step.kind === 'pause') void consumers.pause('save');
    else if (step.kind === 'resume') void consumers.resume('save');
    else if (step.kind === 'drain') void consumers.drain(500).then(() => engine.close());
    else {
      worker.life.isDead = true;
      engine.kill();
    }
    if (step.kind === 'drain' || step.kind === 'kill') this.#workers[step.worker] = undefined;
  }

  async open(index: number): Promise<void> {
    const life = { isDead: false };
    const opened = this.#bench.openWorker({
      consumers: [{ concurrency: this.#concurrency, retry: { attemptsMax: 3, backoffMs: 100, backoffMsMax: 500 } }],
      module: { save: this.history.handlerOf(life, this.#bench.clock) },
      wrapStore: (store) => this.#moody(store),
      wrapGroups: (groups) => this.#watched(groups, life),
      wrapIngest: (ingest) => this.#noting(ingest, life),
    });
    this.#workers[index] = { opened, life };
    void opened.consumers.start();
  }

  /** The last worker finishes everything. */
  async finish(): Promise<void> {
    for (let worker = 0; worker < WORKERS_MAX; worker++) await this.run({ kind: 'kill', worker });
    await this.open(0);
    const { settled } = this.history;
    const count = (): number => settled.reduce((sum, offsets) => sum + offsets.size, 0);
    await untilWithTime(
      this.#bench.clock,
      () => count() >= this.appended || this.history.broken !== undefined,
      'all settle',
    );
  }

  async #append(keys: readonly number[]): Promise<void> {
    const records = keys.map((key) => {
      const isPoison = this.#random.fraction() < 0.05;
      if (isPoison) this.poisoned++;
      const data = Buffer.from(isPoison ? 'poison' : 'fine');
      return key === KEYS ? { data } : { key: `k${key}`, data };
    });
    this.appended += records.length;
    await this.#bench.append(...records);
  }

  #moody(store: RecordStore): RecordStore {
    const read: RecordStore['read'] = async (...call) => {
      if (this.#random.fraction() < 0.1) throw new TandemError('TANDEM_OWNER_UNAVAILABLE');
      return store.read(call[0], call[1], 500);
    };
    return withMethods(store, { read });
  }

  #watched(groups: GroupStore, life: { isDead: boolean }): GroupStore {
    const commit: GroupStore['commit'] = async (group, topic, row, term) => {
      if (this.#random.fraction() < 0.1) throw new TandemError('TANDEM_STORE_FAILED');
      await groups.commit(group, topic, row, term);
      if (!life.isDead) this.history.committed(row.partition, row.offset);
    };
    return withMethods(groups, { commit });
  }

  #noting(ingest: Ingest, life: { isDead: boolean }): Ingest {
    const append: Ingest['append'] = async (options) => {
      const receipts = await ingest.append(options);
      const headers = options.records[0]?.headers ?? {};
      const [partition, offset] = [Number(headers['tandem-partition']), Number(headers['tandem-offset'])];
      if (!life.isDead) this.history.settle(partition, offset);
      this.history.buried.add(`${partition}:${offset}`);
      return receipts;
    };
    return withMethods(ingest, { append });
  }
}

async function simulate(t: TestContext, steps: readonly Step[], seed: number, concurrency: number): Promise<void> {
  const random = seededRandom(seed);
  const bench = await openBench(t, { partitions: PARTITIONS, random });
  const simulation = new Simulation(bench, random, concurrency);
  await simulation.open(0);
  for (const step of steps) {
    await simulation.run(step);
    if (simulation.history.broken !== undefined) throw simulation.history.broken;
  }
  await simulation.finish();
  const { history, poisoned } = simulation;
  for (let partition = 0; partition < PARTITIONS; partition++) history.checkOrder(await bench.read(TOPIC, partition));
  if (history.broken !== undefined) throw history.broken;
  assert.ok(history.buried.size >= poisoned, 'every record that never succeeds has a dead letter');
}

for (const concurrency of [1, 3])
  test(`concurrency ${concurrency}: no history loses, reorders or passes over a record`, async (t) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), fc.nat(), (steps, seed) =>
        simulate(t, steps, seed, concurrency),
      ),
      { numRuns: 60 },
    );
  });
