/**
 * Random actions on the engine and on a model of it, compared after each: appends of several producers with repeats and failures of the
 * disk, trims, compactions, clean reopens, kills, kills with a torn last flush. Tiny segments, so that every action meets their bounds.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import fc from 'fast-check';
import type { EmbeddedEngine } from './embedded-engine.ts';
import { openEmbeddedEngine } from './embedded-engine.ts';
import type { TrailPace } from './log/segment-trail.ts';
import { afterKill, appendTexts, ensure, readAll, testFolder } from './testing/embedded-fixture.ts';
import type { DiskFaults } from './testing/failing-disk.ts';
import { failingDisk } from './testing/failing-disk.ts';

const PARTITIONS = 3;

interface Append {
  readonly kind: 'append';
  readonly partition: number;
  /** 0: none. */
  readonly producer: number;
  readonly count: number;
  /** How many of the producer's last records are sent again. */
  readonly back: number;
  readonly bytes: number;
}

type Action =
  | { readonly kind: 'group'; readonly appends: readonly Append[]; readonly fails: boolean }
  | { readonly kind: 'trim'; readonly partition: number; readonly fraction: number }
  | { readonly kind: 'compact'; readonly isAwaited: boolean }
  | { readonly kind: 'reopen' | 'kill' }
  | { readonly kind: 'tear'; readonly bytes: number };

const append: fc.Arbitrary<Append> = fc.record({
  kind: fc.constant('append' as const),
  partition: fc.nat(PARTITIONS - 1),
  producer: fc.nat(3),
  count: fc.integer({ min: 1, max: 4 }),
  back: fc.nat(5),
  bytes: fc.oneof(fc.nat(40), fc.nat(3000), fc.constant(20_000)),
});

const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('group' as const),
      appends: fc.array(append, { minLength: 1, maxLength: 6 }),
      fails: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('trim' as const),
      partition: fc.nat(PARTITIONS - 1),
      fraction: fc.nat(12).map((tenths) => tenths / 10),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('compact' as const), isAwaited: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('reopen' as const, 'kill' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('tear' as const), bytes: fc.integer({ min: 1, max: 400 }) }) },
);

/** What the engine must hold. */
class Model {
  readonly records = Array.from({ length: PARTITIONS }, (): string[] => []);
  readonly firstOffsets = new Array<number>(PARTITIONS).fill(0);
  /** `partition/producer` -> offset of each sequence, from 1 on. */
  readonly sequences = new Map<string, number[]>();
  serial = 0;

  of({ partition, producer }: Append): number[] {
    const key = `${partition}/${producer}`;
    const offsets = this.sequences.get(key) ?? [];
    this.sequences.set(key, offsets);
    return offsets;
  }
}

class Run {
  readonly #t: TestContext;
  readonly #model = new Model();
  readonly #pace: { readonly trailPace: TrailPace; readonly sealDelayMs: number };
  readonly #faults: DiskFaults = { partialBytes: 100 };
  #folder: string;
  #engine: EmbeddedEngine | undefined;

  constructor(t: TestContext, trailBatches: number, sealDelayMs: number) {
    this.#t = t;
    this.#pace = { trailPace: { batches: trailBatches, bytes: 1 << 20 }, sealDelayMs };
    this.#folder = testFolder(t);
  }

  async open(): Promise<void> {
    const slot = { slot: 0, slots: 1, slotTerm: 1 };
    const disk = failingDisk(this.#faults);
    this.#engine = await openEmbeddedEngine({ ...this.#pace, slot, segmentBytes: 16_384, disk, dataDir: this.#folder });
    await ensure(this.#engine, PARTITIONS);
  }

  async close(): Promise<void> {
    await this.#engine?.close();
  }

  async do(step: Action): Promise<void> {
    const engine = this.#engine as EmbeddedEngine;
    if (step.kind === 'group') await this.#appendGroup(engine, step.appends, step.fails);
    else if (step.kind === 'trim') await this.#trim(engine, step.partition, step.fraction);
    else if (step.kind === 'compact') {
      const compacting = engine.compact();
      if (step.isAwaited) await compacting;
    } else if (step.kind === 'reopen') {
      await engine.close();
      await this.open();
    } else await this.#kill(engine, step.kind === 'tear' ? step.bytes : 0);
    await this.check();
  }

  async check(): Promise<void> {
    const engine = this.#engine as EmbeddedEngine;
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const place = { topic: 't', partition };
      const expected = this.#model.records[partition] as string[];
      const first = this.#model.firstOffsets[partition] as number;
      const { firstOffset, nextOffset } = await engine.store.state(place);
      assert.deepEqual([firstOffset, nextOffset], [first, expected.length]);
      const records = await readAll(engine, place, 5000);
      assert.deepEqual(
        records.map(({ data }) => data.toString()),
        expected.slice(first),
      );
      assert.ok(records.every((record, i) => record.offset === first + i));
    }
    for (const [key, offsets] of this.#model.sequences) {
      const [partition, producer] = key.split('/');
      const last = await engine.store.lastSequence({ topic: 't', partition: Number(partition) }, `p${producer}`);
      assert.equal(last, offsets.length, key);
    }
  }

  async #appendGroup(engine: EmbeddedEngine, appends: readonly Append[], fails: boolean): Promise<void> {
    if (fails) {
      this.#faults.writeCode = 'ENOSPC';
      const refused = appends.map((one) => {
        const producer =
          one.producer === 0 ? undefined : { id: `p${one.producer}`, sequence: this.#model.of(one).length + 1 };
        return appendTexts(engine, ['refused'], producer, { topic: 't', partition: one.partition });
      });
      for (const outcome of await Promise.allSettled(refused)) assert.equal(outcome.status, 'rejected');
      this.#faults.writeCode = undefined;
    }
    await Promise.all(appends.map((one) => this.#append(engine, one)));
  }

  /** The calls of a group are made in one turn: the model follows the order of the calls. */
  #append(engine: EmbeddedEngine, one: Append): Promise<void> {
    const model = this.#model;
    const stored = model.records[one.partition] as string[];
    const texts: string[] = [];
    const offsets = one.producer === 0 ? [] : model.of(one);
    const back = one.producer === 0 ? 0 : Math.min(one.back, offsets.length);
    const sequence = offsets.length - back + 1;
    const expected: number[] = [];
    for (let i = 0; i < one.count; i++) {
      const known = offsets[sequence - 1 + i];
      if (known !== undefined) {
        texts.push(stored[known] as string);
        expected.push(known);
        continue;
      }
      const text = `${model.serial++} ${'x'.repeat(one.bytes)}`;
      texts.push(text);
      expected.push(stored.length);
      if (one.producer !== 0) offsets.push(stored.length);
      stored.push(text);
    }
    const producer = one.producer === 0 ? undefined : { id: `p${one.producer}`, sequence };
    return appendTexts(engine, texts, producer, { topic: 't', partition: one.partition }).then(({ runs }) => {
      const places = runs.flatMap(({ firstOffset, count }) =>
        Array.from({ length: count }, (_, i) => (firstOffset < 0 ? -1 : firstOffset + i)),
      );
      assert.equal(places.length, expected.length);
      places.forEach((place, i) => {
        assert.ok(place === expected[i] || (place === -1 && i < back), `place ${place}, expected ${expected[i]}`);
      });
    });
  }

  async #trim(engine: EmbeddedEngine, partition: number, fraction: number): Promise<void> {
    const { length } = this.#model.records[partition] as string[];
    const before = Math.floor(length * fraction);
    const first = Math.max(this.#model.firstOffsets[partition] as number, Math.min(before, length));
    assert.equal(await engine.store.trim({ topic: 't', partition }, before), first);
    this.#model.firstOffsets[partition] = first;
    await engine.applyRetention();
  }

  /** Goes on with what kill -9 would have left; the end of a flush that nobody was told of is added, in part. */
  async #kill(engine: EmbeddedEngine, tornBytes: number): Promise<void> {
    const before = this.#folder;
    this.#folder = afterKill(this.#t, before);
    if (tornBytes > 0) await this.#tear(engine, before, tornBytes);
    await engine.close();
    await this.open();
  }

  /** Lets the dying engine flush once more and takes over the first `bytes` bytes of that flush. */
  async #tear(engine: EmbeddedEngine, folder: string, bytes: number): Promise<void> {
    const journal = join(folder, 'journal-0');
    const names = readdirSync(journal).filter((name) => name.endsWith('.seg'));
    const contents = new Map(names.map((name) => [name, bytesOf(join(journal, name))]));
    await appendTexts(engine, ['torn '.repeat(100)], { id: 'torn', sequence: 1 }, { topic: 't', partition: 0 });
    for (const [name, old] of contents) {
      const now = bytesOf(join(journal, name));
      if (old === undefined || now === undefined) continue;
      const at = now.findIndex((byte, i) => byte !== old[i]);
      if (at < 0 || at >= old.length) continue;
      now.copy(old, at, at, Math.min(at + bytes, at + 500));
      writeFileSync(join(this.#folder, 'journal-0', name), old);
    }
  }
}

/** undefined: compaction has removed it. */
function bytesOf(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

const steps = fc.array(action, { minLength: 5, maxLength: 40 });

test('the engine does what its model does', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      steps,
      fc.constantFrom(1, 4, 1000),
      fc.constantFrom(0, 1_000_000),
      async (actions, batches, delay) => {
        const run = new Run(t, batches, delay);
        await run.open();
        try {
          for (const step of actions) await run.do(step);
        } finally {
          await run.close();
        }
      },
    ),
    { numRuns: Number(process.env['TANDEM_MODEL_RUNS'] ?? 12), interruptAfterTimeLimit: 60_000 },
  );
});
