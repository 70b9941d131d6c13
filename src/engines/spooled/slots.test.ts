/** Two processes of a node share a folder: each forwards the partitions that it owns, whoever appends to them. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { DEFAULT_LIMITS } from '../../core/limits.ts';
import { systemClock } from '../../core/ports/clock.ts';
import { seededRandom } from '../../core/ports/random.ts';
import { until } from '../../core/testing/until.ts';
import { openEmbeddedEngine } from '../embedded/embedded-engine.ts';
import { testFolder } from '../embedded/testing/embedded-fixture.ts';
import { type MemoryEngine, MemoryStore, openMemoryEngine } from '../memory/memory-engine.ts';
import { openSpooledEngine, type SpooledEngine, type SpoolOptions } from './spooled-engine.ts';
import { append, metric, TOPIC, takeAway, texts, textsIn } from './testing/spool-fixture.ts';

const SLOTS = 2;
const PARTITIONS = 4;
const base = { clock: systemClock, random: seededRandom(1), limits: DEFAULT_LIMITS };

interface Member {
  readonly spool: SpooledEngine;
  readonly remote: MemoryEngine;
}

async function openMembers(t: TestContext, store: MemoryStore, dataDir: string, options: Partial<SpoolOptions> = {}) {
  return Promise.all(
    Array.from({ length: SLOTS }, async (_, slot): Promise<Member> => {
      const local = await openEmbeddedEngine({ dataDir, slot: { slot, slots: SLOTS, slotTerm: 1 } });
      const remote = openMemoryEngine({ ...base, store });
      const originId = `spool/${local.storeId}`;
      const spool = await openSpooledEngine({
        ...base,
        roundMs: 20,
        drainMs: 200,
        ...options,
        local,
        remote,
        originId,
      });
      t.after(() => spool.close());
      return { spool, remote };
    }),
  );
}

const placeOf = (partition: number) => ({ topic: 't', partition });
const total = (store: MemoryStore): number =>
  Array.from({ length: PARTITIONS }, (_, i) => textsIn(store, placeOf(i)).length).reduce((sum, n) => sum + n, 0);

test('whoever is asked, a partition is forwarded by its owner alone, in order; topics of the other one are known', async (t) => {
  const store = new MemoryStore(base);
  const folder = testFolder(t);
  const members = await openMembers(t, store, folder);
  const [a, b] = members as [Member, Member];
  await a.spool.topics.ensure({ ...TOPIC, partitions: PARTITIONS });
  assert.equal((await b.spool.topics.find('t'))?.partitions, PARTITIONS);
  const appendAll = async (from: number, end: number): Promise<void> => {
    for (let i = from; i < end; i++)
      await Promise.all(
        Array.from({ length: PARTITIONS }, (_, partition) => {
          const { spool } = members[(i + partition) % SLOTS] as Member;
          return append(spool, [`x-${i}`], { id: 'p', sequence: i + 1 }, placeOf(partition));
        }),
      );
  };
  await appendAll(0, 40);
  await until('all is forwarded', () => total(store) === 40 * PARTITIONS);
  for (let i = 0; i < PARTITIONS; i++) assert.deepEqual(textsIn(store, placeOf(i)), texts('x', 40));
  const forwarded = members.map(({ spool }) => metric(spool, 'forwarded_total') as number);
  assert.deepEqual(forwarded, [80, 80]);
  assert.equal(await a.spool.store.lastSequence(placeOf(1), 'p'), 40);

  // What is left is forwarded by the next processes, also if the partitions have changed hands.
  const outages = members.map((member) => takeAway(member));
  await appendAll(40, 60);
  await Promise.all(members.map(({ spool }) => spool.close()));
  assert.equal(total(store), 40 * PARTITIONS);
  for (const outage of outages) outage.back();
  await openMembers(t, store, folder);
  await until('the rest is forwarded', () => total(store) === 60 * PARTITIONS);
  for (let i = 0; i < PARTITIONS; i++) assert.deepEqual(textsIn(store, placeOf(i)), texts('x', 60));
});

test('an owner whose spool is full refuses what comes from the other process too', async (t) => {
  const store = new MemoryStore(base);
  const bounds = { bytesMax: 60_000, windowMs: 0, whenFull: 'refuse' } as const;
  const members = await openMembers(t, store, testFolder(t), bounds);
  const [a, b] = members as [Member, Member];
  await a.spool.topics.ensure({ ...TOPIC, partitions: SLOTS });
  await b.spool.topics.find('t');
  assert.deepEqual([a.spool.store.localPartitions('t'), b.spool.store.localPartitions('t')], [[0], [1]]);
  const outage = takeAway(b);
  const value = 'v'.repeat(10_000);
  await until('it is full', () =>
    append(a.spool, [value], undefined, placeOf(1)).then(
      () => false,
      (error: { code: string }) => {
        assert.equal(error.code, 'TANDEM_SPOOL_FULL');
        return true;
      },
    ),
  );
  assert.match(b.spool.problem ?? '', /^TANDEM_SPOOL_FULL/);
  assert.equal(a.spool.problem, undefined);
  await append(a.spool, [value], undefined, placeOf(0));
  outage.back();
  await until('there is room', () => b.spool.problem === undefined);
  await append(a.spool, [value], undefined, placeOf(1));
});
