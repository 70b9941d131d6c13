/**
 * The embedded engine beside its model, the memory engine: every action is done to both, and what can be seen must be the same.
 * Epochs, times and terms differ by nature; of epochs it is checked that they stay as long as nothing was lost.
 */
import assert from 'node:assert/strict';
import type { AppendBatch, AppendResult, Engine } from '../../core/contracts/engine.ts';
import { TandemError } from '../../core/errors.ts';
import { DEFAULT_LIMITS } from '../../core/limits.ts';
import { systemClock } from '../../core/ports/clock.ts';
import { systemRandom } from '../../core/ports/random.ts';
import type { RecordInput, TopicPartition } from '../../core/record.ts';
import { recordSetOf, recordsOf } from '../../core/record-set.ts';
import { type MemoryEngine, openMemoryEngine } from '../memory/memory-engine.ts';
import type { Action, AppendChoice } from './embedded-actions.fixture.ts';
import { EmbeddedNode, type NodePace } from './embedded-node.fixture.ts';

const TOPICS = ['a', 'b', 'c'] as const;
const PRODUCERS = ['p', 'q'] as const;
const GROUP = 'g';
/** Above all that the engines issue: commits need no membership then. */
const COMMIT_TERM = 1_000_000_000;

export interface PlainRecord {
  readonly offset: number;
  readonly text: string;
}

export class ModelRun {
  readonly node: EmbeddedNode;
  readonly model: MemoryEngine = openMemoryEngine({ clock: systemClock, random: systemRandom, limits: DEFAULT_LIMITS });
  readonly #epochs = new Map<string, string>();
  #texts = 0;

  constructor(pace: NodePace) {
    this.node = new EmbeddedNode(pace);
  }

  async open(slots: number): Promise<void> {
    await this.node.open(slots);
    await this.#both((engine) => ensure(engine, 'a', 3));
    await this.#both((engine) => ensure(engine, 'b', 1));
  }

  dispose(): Promise<void> {
    return this.node.dispose();
  }

  async step(action: Action): Promise<void> {
    switch (action.kind) {
      case 'append':
        return this.append(action.appends, action.via);
      case 'ensure':
        return this.#both((engine) => ensure(engine, action.topic, action.partitions));
      case 'trim':
        return this.#trim(this.#place(action.place), action.fraction);
      case 'retain':
        return this.#retain();
      case 'compact':
        return this.#compact(action.isAwaited);
      case 'commit':
        return this.#commit(this.#place(action.place), action.offset);
      case 'probe':
        return this.#probe(this.#place(action.place), action.ahead, action.bytesMax);
      case 'reopen':
        await this.node.close();
        return this.node.open(action.slots);
      case 'crash':
        return this.#crash(action);
    }
  }

  /** Appends of one tick; both answer the same. */
  async append(appends: readonly AppendChoice[], via: number): Promise<void> {
    const batches = this.batchesOf(appends);
    const engine = this.node.engines[via % this.node.slots] as Engine;
    const [stored, wanted] = await Promise.all([
      Promise.all(batches.map((batch) => engine.store.append(batch))),
      Promise.all(batches.map((batch) => this.model.store.append(batch))),
    ]);
    for (const [i, result] of stored.entries()) assertSameRuns(result, wanted[i] as AppendResult);
  }

  /** Each batch of a producer goes on where the ones before it in the list end, less what it repeats. */
  batchesOf(appends: readonly AppendChoice[]): AppendBatch[] {
    const next = new Map<string, number>();
    return appends.map(({ place, sizes, attributes, producer, back }) => {
      const { topic, partition } = this.#place(place);
      const set = recordSetOf(sizes.map((bytes) => this.#record(bytes, attributes)));
      if (producer === undefined) return { topic, partition, set };
      const id = PRODUCERS[producer % PRODUCERS.length] as string;
      const key = `${topic}/${partition}/${id}`;
      const expected = next.get(key) ?? this.#lastSequence({ topic, partition }, id) + 1;
      const sequence = Math.max(1, expected - back);
      next.set(key, Math.max(expected, sequence + sizes.length));
      return { topic, partition, set, producer: { id, sequence } };
    });
  }

  /** All partitions that there are. */
  places(): TopicPartition[] {
    return TOPICS.flatMap((topic) =>
      Array.from({ length: this.model.topics.peek(topic)?.partitions ?? 0 }, (_, partition) => ({ topic, partition })),
    );
  }

  async compare(): Promise<void> {
    for (const [i, place] of this.places().entries()) {
      const engine = this.node.engines[i % this.node.slots] as Engine;
      const [state, wanted] = await Promise.all([engine.store.state(place), this.model.store.state(place)]);
      const what = `${place.topic}/${place.partition}`;
      assert.deepEqual([what, state.firstOffset, state.nextOffset], [what, wanted.firstOffset, wanted.nextOffset]);
      assert.equal(this.#epochs.get(what) ?? state.epoch, state.epoch, `the epoch of ${what} stays`);
      this.#epochs.set(what, state.epoch);
      assert.deepEqual(await readPlain(engine, place), await readPlain(this.model, place), what);
      for (const id of PRODUCERS)
        assert.equal(await engine.store.lastSequence(place, id), this.#lastSequence(place, id), `${what} of ${id}`);
    }
    const engine = this.node.engines[0] as Engine;
    const names = async ({ topics }: Engine): Promise<string[]> => (await topics.list()).map(({ name }) => name);
    assert.deepEqual(await names(engine), await names(this.model));
    for (const topic of await names(this.model))
      assert.deepEqual(await engine.groups.committed(GROUP, topic), await this.model.groups.committed(GROUP, topic));
  }

  async #crash({ appends, moment, tornEnd, fraction, slots }: Action & { readonly kind: 'crash' }): Promise<void> {
    const ends = this.node.contentEnds();
    if (moment === 'flush') this.node.dieInFlush();
    const batches = this.batchesOf(appends);
    const pending = batches.map((batch) => this.node.ownerOf(batch.topic, batch.partition).store.append(batch));
    const settled = Promise.allSettled(pending);
    if (typeof moment === 'string') await settled;
    else for (let turn = 0; turn < moment; turn++) await new Promise((resolve) => setImmediate(resolve));
    await this.node.die();
    await settled;
    if (moment === 'flush') this.node.tear(ends, tornEnd, fraction);
    await this.node.open(slots);
    await this.#adopt(batches);
    assert.deepEqual(this.node.reportsOf('log_damaged'), [], 'a torn end is no damage');
  }

  /** Batches that were in flight at the death may be there, whole and in order: then the model gets them too. */
  async #adopt(batches: readonly AppendBatch[]): Promise<void> {
    for (const place of this.places()) {
      const { nextOffset } = await this.node.ownerOf(place.topic, place.partition).store.state(place);
      for (const batch of batches) {
        if (batch.topic !== place.topic || batch.partition !== place.partition) continue;
        if ((await this.model.store.state(place)).nextOffset >= nextOffset) break;
        await this.model.store.append(batch);
      }
    }
  }

  async #trim(place: TopicPartition, fraction: number): Promise<void> {
    const { nextOffset } = await this.model.store.state(place);
    // Beyond the end, too.
    const beforeOffset = Math.floor(nextOffset * fraction * 1.2);
    const engine = this.node.engines[0] as Engine;
    assert.equal(await engine.store.trim(place, beforeOffset), await this.model.store.trim(place, beforeOffset));
  }

  /** How much retention takes is the engine's choice within bounds; the model follows. */
  async #retain(): Promise<void> {
    const bound = 8 * 1024;
    const { partitions = 3 } = this.model.topics.peek('a') ?? {};
    const engine = this.node.engines[0] as Engine;
    await engine.topics.ensure({ name: 'a', partitions, retentionMs: null, retentionBytes: bound });
    for (const each of this.node.engines) {
      await each.topics.list();
      await each.applyRetention();
    }
    await engine.topics.ensure({ name: 'a', partitions, retentionMs: null, retentionBytes: null });
    for (const each of this.node.engines) await each.topics.list();
    for (const place of this.places()) {
      const before = await readPlain(this.model, place);
      const { firstOffset, nextOffset } = await engine.store.state(place);
      const taken = before.filter(({ offset }) => offset < firstOffset);
      const kept = before.slice(taken.length).reduce((sum, { text }) => sum + text.length, 0);
      assert.ok(taken.length === 0 || (place.topic === 'a' && firstOffset < nextOffset && kept > 0), 'keeps something');
      await this.model.store.trim(place, firstOffset);
    }
  }

  async #compact(isAwaited: boolean): Promise<void> {
    const compacting = Promise.all(this.node.engines.map((engine) => engine.compact()));
    if (isAwaited) await compacting;
  }

  async #commit({ topic, partition }: TopicPartition, offset: number): Promise<void> {
    await this.#both((engine) => engine.groups.commit(GROUP, topic, { partition, offset, epoch: 'e' }, COMMIT_TERM));
  }

  /** A read anywhere, the wrong places too: the same records from there on, or the same refusal. */
  async #probe(place: TopicPartition, ahead: number, bytesMax: number): Promise<void> {
    const { nextOffset } = await this.model.store.state(place);
    const from = { epoch: '', offset: Math.max(0, nextOffset - ahead) };
    const seen = await Promise.all(
      [this.node.engines.at(-1) as Engine, this.model].map(async (engine) => {
        try {
          const { batches } = await engine.store.read(place, from, bytesMax);
          return batches.flatMap((batch) => recordsOf(batch, from.offset).map(plain));
        } catch (error) {
          assert.ok(error instanceof TandemError, String(error));
          return error.code;
        }
      }),
    );
    const [got, wanted] = seen as [PlainRecord[] | string, PlainRecord[] | string];
    if (typeof got === 'string' || typeof wanted === 'string') return assert.deepEqual(got, wanted);
    const shorter = Math.min(got.length, wanted.length);
    assert.deepEqual(got.slice(0, shorter), wanted.slice(0, shorter));
    assert.equal(got.length > 0, wanted.length > 0);
  }

  #lastSequence(place: TopicPartition, id: string): number {
    return this.model.shared.partition(place).lastSequence(id);
  }

  /** The number names one of the places that there are now. */
  #place(number: number): TopicPartition {
    const places = this.places();
    return places[number % places.length] as TopicPartition;
  }

  #record(bytes: number, attributes: boolean): RecordInput {
    const number = this.#texts++;
    const data = Buffer.from(`${number}:${'x'.repeat(bytes)}`);
    return attributes ? { key: `key-${number % 5}`, headers: { n: String(number) }, data } : { data };
  }

  async #both(action: (engine: Engine) => Promise<unknown>): Promise<void> {
    await action(this.node.engines.at(-1) as Engine);
    await action(this.model);
  }
}

const ensure = (engine: Engine, name: string, partitions: number): Promise<unknown> =>
  engine.topics.ensure({ name, partitions, retentionMs: null, retentionBytes: null });

export const plain = (record: ReturnType<typeof recordsOf>[number]): PlainRecord => {
  const { offset, key, headers, data } = record;
  return { offset, text: `${key ?? ''}|${headers?.['n'] ?? ''}|${data.toString()}` };
};

/** All records, by reads of about `bytesMax`. */
export async function readPlain(engine: Engine, place: TopicPartition, bytesMax = 5000): Promise<PlainRecord[]> {
  const { firstOffset, nextOffset } = await engine.store.state(place);
  const records: PlainRecord[] = [];
  for (let offset = firstOffset; offset < nextOffset; ) {
    const { batches } = await engine.store.read(place, { epoch: '', offset }, bytesMax);
    assert.ok(batches.length > 0, 'records before the end');
    const from = offset;
    for (const batch of batches) {
      records.push(...recordsOf(batch, from).map(plain));
      offset = batch.firstOffset + batch.set.count;
    }
    assert.deepEqual([records[from - firstOffset]?.offset, records.at(-1)?.offset], [from, offset - 1], 'no gap');
  }
  return records;
}

/** The same, but the place of a repeat may have left one's window earlier than the other's. */
function assertSameRuns(result: AppendResult, wanted: AppendResult): void {
  const flat = ({ runs }: AppendResult): (readonly [number, boolean])[] =>
    runs.flatMap(({ count, firstOffset, isDuplicate }) =>
      Array.from({ length: count }, (_, i) => [firstOffset === -1 ? -1 : firstOffset + i, isDuplicate] as const),
    );
  const [got, expected] = [flat(result), flat(wanted)];
  assert.equal(got.length, expected.length);
  for (const [i, [offset, isDuplicate]] of got.entries()) {
    const [wantedOffset, isWantedDuplicate] = expected[i] as readonly [number, boolean];
    assert.equal(isDuplicate, isWantedDuplicate);
    if (!isDuplicate || (offset !== -1 && wantedOffset !== -1)) assert.equal(offset, wantedOffset);
  }
}
