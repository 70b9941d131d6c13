/** The guard refuses misuse by callers and wrong answers of engines; each wrong answer here is one that some engine could give. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type {
  AppendBatch,
  AppendResult,
  Engine,
  EngineCapabilities,
  LeaseGrant,
  LeaseStore,
  ReadResult,
  RecordStore,
} from '../core/contracts/engine.ts';
import { BATCH_BYTES_MAX, BATCH_RECORDS_MAX, DEFAULT_LIMITS } from '../core/limits.ts';
import { systemClock } from '../core/ports/clock.ts';
import { seededRandom } from '../core/ports/random.ts';
import { type RecordSet, recordSetOf, type StoredBatch } from '../core/record-set.ts';
import { guardEngine } from './guarded-engine.ts';
import { openMemoryEngine } from './memory/memory-engine.ts';

const place = { topic: 't', partition: 0 };
const start = { epoch: '', offset: 0 };
const setOf = (count: number): RecordSet =>
  recordSetOf(Array.from({ length: count }, () => ({ data: Buffer.from('x') })));

/** A guarded memory engine whose record store is changed by `change`. */
async function open(
  change: (store: RecordStore) => Partial<RecordStore> = () => ({}),
  capabilities: Partial<EngineCapabilities> = {},
): Promise<Engine> {
  const engine = openMemoryEngine({ clock: systemClock, random: seededRandom(1), limits: DEFAULT_LIMITS });
  await engine.topics.ensure({ name: 't', partitions: 1, retentionMs: null, retentionBytes: null });
  const { store } = engine;
  const bound: RecordStore = {
    append: (batch) => store.append(batch),
    read: (at, from, bytesMax) => store.read(at, from, bytesMax),
    state: (at) => store.state(at),
    watch: (at, wake) => store.watch(at, wake),
    trim: (at, offset) => store.trim(at, offset),
    lastSequence: (at, id) => store.lastSequence(at, id),
    originSequence: (at, id) => store.originSequence(at, id),
    claim: (at, term) => store.claim(at, term),
    localPartitions: (topic) => store.localPartitions(topic),
  };
  return guardEngine({
    ...engine,
    capabilities: { ...engine.capabilities, ...capabilities },
    store: { ...bound, ...change(bound) },
  });
}

const broken = { code: 'TANDEM_STORE_FAILED', message: /broke its contract/ };
const stored = (firstOffset: number, count: number): AppendResult => ({
  epoch: 'e',
  runs: [{ count, firstOffset, isDuplicate: false }],
});

const WRONG_APPENDS: { readonly [name: string]: readonly AppendResult[] } = {
  'too few records': [stored(0, 1)],
  'too many records': [stored(0, 3)],
  'no epoch': [{ ...stored(0, 2), epoch: '' }],
  'no offset': [stored(-1, 2)],
  'half an offset': [stored(0.5, 2)],
  'an empty run': [{ epoch: 'e', runs: [...stored(0, 2).runs, { count: 0, firstOffset: 2, isDuplicate: false }] }],
  'runs that overlap': [{ epoch: 'e', runs: [...stored(4, 1).runs, ...stored(4, 1).runs] }],
  'a duplicate of nobody': [{ epoch: 'e', runs: [{ count: 2, firstOffset: 0, isDuplicate: true }] }],
  'an offset twice': [stored(0, 2), stored(1, 2)],
};

for (const [name, answers] of Object.entries(WRONG_APPENDS))
  test(`an append answered with ${name} is refused`, async () => {
    const left = [...answers];
    const { store } = await open(() => ({ append: async () => left.shift() as AppendResult }));
    for (let i = 1; i < answers.length; i++) await store.append({ ...place, set: setOf(2) });
    await assert.rejects(store.append({ ...place, set: setOf(2) }), broken);
  });

test('only an engine that says so answers before records have places', async () => {
  const answers = [{ ...stored(-1, 2), epoch: '' }, stored(-1, 3)];
  const { store } = await open(() => ({ append: async () => answers.shift() as AppendResult }), {
    answersBeforePlaces: true,
  });
  assert.deepEqual((await store.append({ ...place, set: setOf(2) })).runs, stored(-1, 2).runs);
  await assert.rejects(store.append({ ...place, set: setOf(2) }), broken);
});

test('an engine that takes no origins is given none', async () => {
  const { store } = await open(() => ({}), { takesOrigins: false });
  const origin = { id: 'o', sequence: 1 };
  await assert.rejects(store.append({ ...place, set: setOf(1), origin }), { code: 'TANDEM_INTERNAL' });
  await assert.rejects(store.originSequence(place, 'o'), { code: 'TANDEM_INTERNAL' });
});

const batchAt = (firstOffset: number, count: number, term = 1): StoredBatch => ({
  ...place,
  firstOffset,
  timeMs: 0,
  term,
  set: setOf(count),
});
const read = (...batches: StoredBatch[]): ReadResult => ({ epoch: 'e', firstOffset: 0, nextOffset: 9, batches });

const WRONG_READS: { readonly [name: string]: ReadResult } = {
  'nothing before the end': read(),
  'a gap at the start': read(batchAt(1, 2)),
  'a gap between': read(batchAt(0, 2), batchAt(3, 2)),
  'a batch twice': read(batchAt(0, 2), batchAt(0, 2)),
  'more than there is': read(batchAt(0, 10)),
  'an older term later': read(batchAt(0, 2, 5), batchAt(2, 2, 4)),
  'another place': read({ ...batchAt(0, 2), partition: 1 }),
  'an end before its beginning': { ...read(batchAt(0, 2)), firstOffset: 10 },
};

for (const [name, answer] of Object.entries(WRONG_READS))
  test(`a read answered with ${name} is refused`, async () => {
    const { store } = await open(() => ({ read: async () => answer }));
    await assert.rejects(store.read(place, start, 1000), broken);
  });

const set = setOf(1);
const MISUSES: readonly (readonly [string, Partial<AppendBatch>])[] = [
  ['TANDEM_TOPIC_UNKNOWN', { topic: '../t' }],
  ['TANDEM_PARTITION_UNKNOWN', { partition: -1 }],
  ['TANDEM_PARTITION_UNKNOWN', { partition: 0.5 }],
  ['TANDEM_INTERNAL', { set: { ...set, count: 0 } }],
  ['TANDEM_INTERNAL', { set: { ...set, count: 99 } }],
  ['TANDEM_INTERNAL', { term: -1 }],
  ['TANDEM_BATCH_TOO_LARGE', { set: setOf(BATCH_RECORDS_MAX + 1) }],
  ['TANDEM_BATCH_TOO_LARGE', { set: { ...setOf(2), data: Buffer.alloc(BATCH_BYTES_MAX + 1) } }],
  ['TANDEM_PRODUCER_INVALID', { producer: { id: '', sequence: 1 } }],
  ['TANDEM_PRODUCER_INVALID', { producer: { id: 'p', sequence: 0 } }],
  ['TANDEM_PRODUCER_INVALID', { producer: { id: 'p', sequence: Number.MAX_SAFE_INTEGER } }],
  ['TANDEM_INTERNAL', { origin: { id: 'an origin', sequence: 1 } }],
  ['TANDEM_INTERNAL', { origin: { id: 'o', sequence: 0 } }],
  ['TANDEM_INTERNAL', { origin: { id: 'o', sequence: 2, after: 2 } }],
  ['TANDEM_INTERNAL', { origin: { id: 'o', sequence: 2, after: -1 } }],
];

test('misuse does not reach the engine', async () => {
  let calls = 0;
  const { store } = await open((inner) => ({
    append: (batch) => {
      calls++;
      return inner.append(batch);
    },
  }));
  for (const [code, change] of MISUSES) await assert.rejects(store.append({ ...place, set, ...change }), { code });
  await assert.rejects(store.read(place, { epoch: '', offset: -1 }, 1000), { code: 'TANDEM_POSITION_MALFORMED' });
  assert.equal(calls, 0);
  await store.append({ ...place, set });
  assert.equal(calls, 1);
});

test('a process does not write under an older term than before, whatever the engine would accept', async () => {
  const { store } = await open(() => ({
    claim: async () => {},
    append: async ({ set: { count } }) => stored(0, count),
  }));
  await store.claim(place, 7);
  await assert.rejects(store.append({ ...place, set, term: 6 }), { code: 'TANDEM_TERM_FENCED' });
  await assert.rejects(store.claim(place, 6), { code: 'TANDEM_TERM_FENCED' });
});

test('assignments under older terms than before are dropped', async () => {
  const memory = openMemoryEngine({ clock: systemClock, random: seededRandom(1), limits: DEFAULT_LIMITS });
  let change: (terms: { partition: number; term: number }[]) => void = () => {};
  const groups = {
    ...memory.groups,
    join: async (_group: string, _topic: string, onChange: typeof change) => {
      change = onChange;
      return { assignments: [{ partition: 0, term: 5 }], leave: async () => {} };
    },
  } as unknown as Engine['groups'];
  const told: unknown[] = [];
  const membership = await guardEngine({ ...memory, groups }).groups.join('g', 't', (now) => void told.push(now));
  assert.equal(membership.assignments.length, 1);
  change([
    { partition: 0, term: 4 },
    { partition: 1, term: 1 },
  ]);
  assert.deepEqual(told, [[{ partition: 1, term: 1 }]]);
});

test('a lease that is granted under a term twice is refused', async () => {
  const memory = openMemoryEngine({ clock: systemClock, random: seededRandom(1), limits: DEFAULT_LIMITS });
  const leases = { acquire: async (name: string, holder: string) => ({ name, holder, term: 3 }) };
  const guarded = guardEngine({ ...memory, leases: leases as unknown as Engine['leases'] });
  await guarded.leases.acquire('a', 'x', 1000);
  await assert.rejects(guarded.leases.acquire('a', 'x', 1000), broken);
});

test('whatever an engine throws comes out as a TandemError with its cause', async () => {
  const cause = new TypeError('driver');
  const { store } = await open(() => ({
    append: () => {
      throw cause;
    },
    state: () => Promise.reject(cause),
  }));
  await assert.rejects(store.append({ ...place, set }), { name: 'TandemError', code: 'TANDEM_STORE_FAILED', cause });
  await assert.rejects(store.state(place), { name: 'TandemError', code: 'TANDEM_STORE_FAILED', cause });
});

test('nothing works after close, and watches are silent', async () => {
  let wake: () => void = () => {};
  const engine = await open(() => ({
    watch: (_place, callback) => {
      wake = callback;
      return () => {};
    },
  }));
  let wakes = 0;
  engine.store.watch(place, () => wakes++);
  wake();
  await engine.close();
  await engine.close();
  wake();
  assert.equal(wakes, 1);
  const closed = { code: 'TANDEM_DRAINING' };
  await assert.rejects(engine.store.append({ ...place, set }), closed);
  await assert.rejects(engine.topics.list(), closed);
  await assert.rejects(engine.leases.holder('x'), closed);
  await assert.rejects(engine.identity(), closed);
  assert.throws(() => engine.store.watch(place, () => {}), closed);
});

test('a process that has claimed the store writes under no older term, whatever the engine would say', async () => {
  const engine = openMemoryEngine({ clock: systemClock, random: seededRandom(1), limits: DEFAULT_LIMITS });
  await engine.topics.ensure({ name: 't', partitions: 1, retentionMs: null, retentionBytes: null });
  const guarded = guardEngine({ ...engine, claim: async () => {} });
  await guarded.claim(7);
  const fenced = { code: 'TANDEM_TERM_FENCED' };
  const offset = { partition: 0, offset: 0, epoch: 'e' };
  await assert.rejects(guarded.claim(6), fenced);
  await assert.rejects(guarded.store.append({ ...place, set: setOf(1), term: 6 }), fenced);
  await assert.rejects(guarded.store.claim(place, 6), fenced);
  await assert.rejects(guarded.groups.commit('g', 't', offset, 6), fenced);
  await guarded.store.append({ ...place, set: setOf(1), term: 7 });
  await guarded.groups.commit('g', 't', offset, 7);
  await assert.rejects(guarded.claim(0.5), { code: 'TANDEM_INTERNAL' });
});

test('a term that was issued before, or that is not above its grant, is refused', async () => {
  const engine = openMemoryEngine({ clock: systemClock, random: seededRandom(1), limits: DEFAULT_LIMITS });
  const terms = [9, 9, 10, 3];
  const leases: LeaseStore = {
    acquire: (name, holder, ttlMs) => engine.leases.acquire(name, holder, ttlMs),
    renew: (grant, ttlMs) => engine.leases.renew(grant, ttlMs),
    release: (grant) => engine.leases.release(grant),
    holder: (name) => engine.leases.holder(name),
    issueTerm: async () => terms.shift() as number,
  };
  const guarded = guardEngine({ ...engine, leases });
  const grant = (await guarded.leases.acquire('x', 'a', 1000)) as LeaseGrant;
  assert.equal(await guarded.leases.issueTerm(grant), 9);
  await assert.rejects(guarded.leases.issueTerm(grant), broken);
  assert.equal(await guarded.leases.issueTerm(grant), 10);
  await assert.rejects(guarded.leases.issueTerm({ ...grant, term: 20 }), broken);
});
