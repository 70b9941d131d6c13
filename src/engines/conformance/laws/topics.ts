/**
 * Law: topics.
 * - `ensure` MUST be idempotent, and atomic across processes: of several that create one topic at once, all MUST get the same, and its
 *   partitions MUST be those of the largest wish. Partitions MUST NOT shrink; retention MUST become what was given last.
 * - A new topic MUST be empty, readable and appendable at once; growing MUST NOT touch what is stored.
 * - `list` MUST be by name; `peek` MUST know what this process ensured or found.
 * - An invalid name or number of partitions MUST be refused with TANDEM_TOPIC_INVALID.
 * - Topics MUST be there after a reopen; `localPartitions` MUST NOT be empty for a known topic.
 */
import assert from 'node:assert/strict';
import type { Engine } from '../../../core/contracts/engine.ts';
import { append, ensureTopic, type Law, type LawContext, PLACE, readTexts, storedAt, TOPIC } from '../law.ts';

export const topics: Law = {
  name: 'topics',
  cases: [
    { name: 'ensure creates, keeps and grows', run: ensure },
    { name: 'names and numbers that are not valid are refused', run: invalid },
    { name: 'all ensures at once give the largest wish', run: atOnce },
    {
      name: 'processes that ensure at once agree',
      members: 2,
      needs: { isShared: 'two processes' },
      run: twoProcesses,
    },
    { name: 'topics are there after a reopen', needs: { reopens: 'nothing outlives a close' }, run: afterReopen },
  ],
};

async function ensure({ engine }: LawContext): Promise<void> {
  assert.equal(await engine.topics.find(TOPIC), undefined);
  assert.deepEqual(await engine.topics.list(), []);
  const wanted = { name: TOPIC, partitions: 2, retentionMs: 1000, retentionBytes: null };
  assert.deepEqual({ ...(await engine.topics.ensure(wanted)) }, wanted);
  assert.deepEqual({ ...(await engine.topics.ensure(wanted)) }, wanted);
  assert.equal(storedAt(await append(engine, ['x'])), 0);
  const changed = { name: TOPIC, partitions: 1, retentionMs: null, retentionBytes: 1e9 };
  assert.deepEqual({ ...(await engine.topics.ensure(changed)) }, { ...changed, partitions: 2 });
  const grown = { ...changed, partitions: 4 };
  assert.deepEqual({ ...(await engine.topics.ensure(grown)) }, grown);
  assert.deepEqual({ ...(await engine.topics.find(TOPIC)) }, grown);
  assert.deepEqual({ ...engine.topics.peek(TOPIC) }, grown);
  assert.deepEqual(await readTexts(engine), ['x']);
  assert.equal(storedAt(await append(engine, ['y'], { place: { topic: TOPIC, partition: 3 } })), 0);
  for (const name of ['middle', 'another']) await ensureTopic(engine, 1, name);
  assert.deepEqual(
    (await engine.topics.list()).map(({ name }) => name),
    ['another', TOPIC, 'middle'],
  );
  const local = engine.store.localPartitions(TOPIC);
  assert.ok(local.length > 0 && local.every((partition) => partition >= 0 && partition < 4), `${local}`);
}

async function invalid({ engine }: LawContext): Promise<void> {
  const refused = { code: 'TANDEM_TOPIC_INVALID' };
  for (const name of ['', '.', '..', '-a', 'a/b', 'a b', '../a', 'ü', 'a\n', 'a'.repeat(129)])
    await assert.rejects(ensureTopic(engine, 1, name), refused, JSON.stringify(name));
  for (const partitions of [0, -1, 1.5, Number.NaN, 1e9])
    await assert.rejects(ensureTopic(engine, partitions), refused);
  assert.deepEqual(await engine.topics.list(), []);
  for (const name of ['a', '0', 'A.b_c-d', 'a'.repeat(128)]) await ensureTopic(engine, 1, name);
  assert.equal((await engine.topics.list()).length, 4);
}

async function atOnce({ engine }: LawContext): Promise<void> {
  await Promise.all([3, 1, 5, 2].map((partitions) => ensureTopic(engine, partitions)));
  assert.equal((await engine.topics.find(TOPIC))?.partitions, 5);
  const epochs = await Promise.all([0, 4].map((partition) => engine.store.state({ topic: TOPIC, partition })));
  for (const { nextOffset } of epochs) assert.equal(nextOffset, 0);
}

async function twoProcesses({ engines }: LawContext): Promise<void> {
  const [a, b] = engines as [Engine, Engine];
  await Promise.all(Array.from({ length: 20 }, (_, i) => ensureTopic(i % 2 === 0 ? a : b, 1 + (i % 3), `t-${i >> 2}`)));
  assert.deepEqual(await a.topics.list(), await b.topics.list());
  assert.deepEqual(
    (await a.topics.list()).map(({ partitions }) => partitions),
    [3, 3, 3, 3, 3],
  );
  const place = { topic: 't-0', partition: 0 };
  assert.equal((await a.store.state(place)).epoch, (await b.store.state(place)).epoch);
  await ensureTopic(a, 2, 'late');
  assert.equal((await b.topics.find('late'))?.partitions, 2);
}

async function afterReopen({ engine, reopen }: LawContext): Promise<void> {
  const wanted = { name: TOPIC, partitions: 3, retentionMs: 123_456, retentionBytes: 7_000_000 };
  await engine.topics.ensure(wanted);
  const { epoch } = await engine.store.state(PLACE);
  const again = await reopen();
  assert.deepEqual({ ...(await again.topics.find(TOPIC)) }, wanted);
  assert.equal((await again.store.state(PLACE)).epoch, epoch);
}
