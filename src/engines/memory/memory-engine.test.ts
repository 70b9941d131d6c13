/** What the memory engine has beyond the contract: several members, a bound, fault switches. The contract itself: the conformance suite. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Assignment } from '../../core/contracts/engine.ts';
import { DEFAULT_LIMITS } from '../../core/limits.ts';
import { systemClock } from '../../core/ports/clock.ts';
import { seededRandom } from '../../core/ports/random.ts';
import { type RecordSet, recordSetOf, recordsOf } from '../../core/record-set.ts';
import { MemoryStore, openMemoryEngine } from './memory-engine.ts';

const base = { clock: systemClock, random: seededRandom(1), limits: DEFAULT_LIMITS };
const topic = { name: 't', partitions: 2, retentionMs: null, retentionBytes: null };
const at = { topic: 't', partition: 0 };
const setOf = (...texts: string[]): RecordSet => recordSetOf(texts.map((data) => ({ data: Buffer.from(data) })));

test('a full store refuses, keeps what it acked and takes records again after a trim', async () => {
  const engine = openMemoryEngine({ ...base, bytesMax: 30 });
  await engine.topics.ensure(topic);
  await engine.store.append({ ...at, set: setOf('0123456789') });
  await assert.rejects(engine.store.append({ ...at, set: setOf('0123456789-0123456789') }), {
    code: 'TANDEM_DISK_FULL',
  });
  assert.equal((await engine.store.state(at)).nextOffset, 1);
  await engine.store.trim(at, 1);
  const result = await engine.store.append({ ...at, set: setOf('0123456789-0123456789') });
  assert.deepEqual(result.runs, [{ count: 1, firstOffset: 1, isDuplicate: false }]);
});

test('survivors take over the partitions of a killed member under higher terms', async () => {
  const store = new MemoryStore(base);
  const [a, b] = [openMemoryEngine({ ...base, store }), openMemoryEngine({ ...base, store })];
  await a.topics.ensure(topic);
  const first = await a.groups.join('g', 't', () => {});
  const firstTerms = first.assignments.map(({ term }) => term);
  let onChange: (assignments: readonly Assignment[]) => void = () => {};
  const changed = new Promise<readonly Assignment[]>((resolve) => {
    onChange = resolve;
  });
  const second = await b.groups.join('g', 't', (assignments) => onChange(assignments));
  assert.deepEqual(
    second.assignments.map(({ partition }) => partition),
    [1],
  );
  a.kill();
  const taken = await changed;
  assert.deepEqual(
    taken.map(({ partition }) => partition),
    [0, 1],
  );
  for (const { term } of taken) assert.ok(term > Math.max(...firstTerms));
  const late = b.groups.commit('g', 't', { partition: 0, offset: 1, epoch: '' }, firstTerms[0] as number);
  await assert.rejects(late, { code: 'TANDEM_TERM_FENCED' });
});

test('appends fail and wait as a test asks', async () => {
  const { store, faults, topics } = openMemoryEngine(base);
  await topics.ensure(topic);
  faults.fail(1, 'TANDEM_STORE_FAILED');
  faults.fail(1, 'TANDEM_OWNER_UNAVAILABLE', { isStored: true });
  await assert.rejects(store.append({ ...at, set: setOf('lost') }), { code: 'TANDEM_STORE_FAILED' });
  await assert.rejects(store.append({ ...at, set: setOf('kept') }), { code: 'TANDEM_OWNER_UNAVAILABLE' });
  faults.hold();
  let isAnswered = false;
  const held = store.append({ ...at, set: setOf('held') }).then(() => {
    isAnswered = true;
  });
  await new Promise((resolve) => systemClock.soon(() => systemClock.soon(() => resolve(undefined))));
  assert.equal(isAnswered, false);
  faults.release();
  await held;
  const { batches } = await store.read(at, { epoch: '', offset: 0 }, 1000);
  assert.deepEqual(
    batches.flatMap((batch) => recordsOf(batch).map((record) => record.data.toString())),
    ['kept', 'held'],
  );
});

test('retention by bytes and by age keeps the newest batch', async () => {
  let nowMs = 1000;
  const engine = openMemoryEngine({ ...base, clock: { ...systemClock, nowMs: () => nowMs } });
  await engine.topics.ensure({ ...topic, retentionBytes: 40 });
  for (let i = 0; i < 5; i++) await engine.store.append({ ...at, set: setOf('0123456789') });
  assert.deepEqual((await engine.store.state(at)).firstOffset, 3);
  await engine.topics.ensure({ ...topic, retentionMs: 500 });
  nowMs = 2000;
  await engine.store.append({ ...at, set: setOf('x') });
  assert.deepEqual((await engine.store.state(at)).firstOffset, 5);
});

test('a lost history is another epoch', async () => {
  const engine = openMemoryEngine(base);
  await engine.topics.ensure(topic);
  const { epoch } = await engine.store.append({ ...at, set: setOf('x') });
  engine.shared.loseHistory(at);
  await assert.rejects(engine.store.read(at, { epoch, offset: 1 }, 1000), { code: 'TANDEM_POSITION_LOST' });
});
