/**
 * Law: read-back.
 * - A resolved append MUST be readable at once, by every process.
 * - A read MUST give at least one batch if there is one, about `bytesMax` at most, without a gap from the asked offset.
 * - A read at the end MUST be empty and tell the end; `state` MUST agree.
 * - A batch that was appended with a producer MUST be read with it, and with the sequence of its first record; another one MUST be read without.
 * - After a clean close and reopen all records MUST be there, at the same offsets, under the same epoch.
 * - `close` MUST finish the appends in hand, and be idempotent; after it every call MUST reject with TANDEM_DRAINING.
 */
import assert from 'node:assert/strict';
import type { Engine } from '../../../core/contracts/engine.ts';
import { recordsOf } from '../../../core/record-set.ts';
import {
  append,
  ensureTopic,
  type Law,
  type LawContext,
  PLACE,
  readAll,
  readTexts,
  START,
  storedAt,
  TOPIC,
  textSet,
  texts,
} from '../law.ts';

export const readback: Law = {
  name: 'readback',
  cases: [
    { name: 'what was acked is read at once', run: readAtOnce },
    {
      name: 'what was acked is read at once by another process',
      members: 2,
      needs: { isShared: 'two processes' },
      run: readElsewhere,
    },
    { name: 'reads are bounded and end at the end', run: boundedReads },
    { name: 'batches are read with their producers', run: producersRead },
    {
      name: 'batches are read with their producers by another process',
      members: 2,
      needs: { isShared: 'two processes' },
      run: producersReadElsewhere,
    },
    {
      name: 'batches are read with their producers after a reopen',
      needs: { reopens: 'nothing outlives a close' },
      run: producersReopened,
    },
    { name: 'a reopened engine has it all', needs: { reopens: 'nothing outlives a close' }, run: reopened },
    { name: 'close finishes what is in hand', needs: { reopens: 'nothing outlives a close' }, run: closeFinishes },
    { name: 'nothing works after close', run: nothingAfterClose },
  ],
};

async function readAtOnce({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  for (let i = 0; i < 30; i++) {
    const result = await append(engine, [`x-${i}`]);
    const { batches } = await engine.store.read(PLACE, { epoch: result.epoch, offset: i }, 1000);
    assert.equal(batches.length, 1);
  }
  assert.deepEqual(await readTexts(engine), texts('x', 30));
}

async function readElsewhere({ engines }: LawContext): Promise<void> {
  const [a, b] = engines as [Engine, Engine];
  await ensureTopic(a, 2);
  for (const partition of [0, 1]) {
    const place = { topic: TOPIC, partition };
    for (let i = 0; i < 10; i++) {
      await append(i % 2 === 0 ? a : b, [`x-${i}`], { place });
      const other = i % 2 === 0 ? b : a;
      assert.deepEqual(await readTexts(other, place), texts('x', i + 1));
    }
  }
}

async function boundedReads({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  const value = 'v'.repeat(1000);
  for (let i = 0; i < 50; i++) await append(engine, [value]);
  const { epoch } = await engine.store.state(PLACE);
  const small = await engine.store.read(PLACE, { epoch, offset: 7 }, 1);
  assert.equal(small.batches.length, 1);
  assert.equal(small.batches[0]?.firstOffset, 7);
  const some = await engine.store.read(PLACE, { epoch, offset: 0 }, 10_000);
  const bytes = some.batches.reduce((sum, { set }) => sum + set.data.length, 0);
  assert.ok(bytes <= 20_000 && bytes >= 5_000, `${bytes} bytes for 10,000 asked`);
  const end = await engine.store.read(PLACE, { epoch, offset: 50 }, 1000);
  assert.deepEqual({ ...end }, { epoch, firstOffset: 0, nextOffset: 50, batches: [] });
  assert.deepEqual({ ...(await engine.store.state(PLACE)) }, { epoch, firstOffset: 0, nextOffset: 50 });
}

/** `a-1` to `a-5` of producer a, the last two of them sent again with the next ones, and records of no producer between. */
async function appendOfProducers(engine: Engine, place = PLACE): Promise<void> {
  await append(engine, ['none'], { place });
  await append(engine, texts('a', 3, 1), { place, producer: { id: 'a', sequence: 1 } });
  await append(engine, texts('b', 2, 7), { place, producer: { id: 'b', sequence: 7 } });
  await append(engine, texts('a', 4, 2), { place, producer: { id: 'a', sequence: 2 } });
  await append(engine, texts('a', 5, 1), { place, producer: { id: 'a', sequence: 1 } });
  await append(engine, ['none'], { place });
}

/** However batches are cut, each record's sequence is the number in its text. Reads from every offset, in small and in large steps. */
async function checkProducers(engine: Engine, place = PLACE, firstOffset = 0): Promise<void> {
  for (const bytesMax of [1, 64 * 1024])
    for (let from = firstOffset; from < 9; from++) {
      for (let offset = from; offset < 9; ) {
        const { batches } = await engine.store.read(place, { epoch: '', offset }, bytesMax);
        for (const batch of batches) {
          for (const { data, offset: at } of recordsOf(batch)) {
            const index = at - batch.firstOffset;
            const said = batch.producer && `${batch.producer.id}-${batch.producer.sequence + index}`;
            assert.equal(said ?? 'none', data.toString(), `offset ${at}`);
          }
          offset = batch.firstOffset + batch.set.count;
        }
      }
    }
}

async function producersRead({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  await appendOfProducers(engine);
  await checkProducers(engine);
  assert.equal(await engine.store.trim(PLACE, 2), 2);
  await checkProducers(engine, PLACE, 2);
}

async function producersReadElsewhere({ engines }: LawContext): Promise<void> {
  const [a, b] = engines as [Engine, Engine];
  await ensureTopic(a, 2);
  for (const partition of [0, 1]) {
    const place = { topic: TOPIC, partition };
    await appendOfProducers(a, place);
    await checkProducers(b, place);
    await checkProducers(a, place);
  }
}

async function producersReopened({ engine, reopen }: LawContext): Promise<void> {
  await ensureTopic(engine);
  await appendOfProducers(engine);
  await checkProducers(await reopen());
}

async function reopened({ engine, reopen }: LawContext): Promise<void> {
  await ensureTopic(engine, 2);
  const wanted = texts('kept', 200);
  for (let i = 0; i < wanted.length; i += 20) await append(engine, wanted.slice(i, i + 20));
  const before = await readAll(engine);
  const { epoch } = await engine.store.state(PLACE);
  const again = await reopen();
  assert.equal((await again.store.state(PLACE)).epoch, epoch);
  assert.deepEqual(await readAll(again), before);
  assert.equal(storedAt(await append(again, ['next'])), 200);
}

async function closeFinishes({ engine, reopen }: LawContext): Promise<void> {
  await ensureTopic(engine);
  const answers = texts('hand', 60).map((text) => append(engine, [text]));
  const settled = Promise.allSettled(answers);
  const again = await reopen();
  const results = await settled;
  assert.deepEqual(
    results.map(({ status }) => status),
    results.map(() => 'fulfilled'),
  );
  assert.deepEqual(await readTexts(again), texts('hand', 60));
}

async function nothingAfterClose({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  await append(engine, ['x']);
  await engine.close();
  await engine.close();
  const { store, topics, groups, leases } = engine;
  const calls: readonly (() => Promise<unknown>)[] = [
    () => store.append({ ...PLACE, set: textSet('x') }),
    () => store.read(PLACE, START, 1000),
    () => store.state(PLACE),
    () => store.trim(PLACE, 0),
    () => store.lastSequence(PLACE, 'p'),
    () => store.originSequence(PLACE, 'o'),
    () => store.claim(PLACE, 1),
    () => topics.ensure({ name: 'n', partitions: 1, retentionMs: null, retentionBytes: null }),
    () => topics.find(TOPIC),
    () => topics.list(),
    () => groups.join('g', TOPIC, () => {}),
    () => groups.commit('g', TOPIC, { partition: 0, offset: 0, epoch: '' }, 1),
    () => groups.committed('g', TOPIC),
    () => leases.acquire('l', 'h', 1000),
    () => leases.renew({ name: 'l', holder: 'h', term: 1 }, 1000),
    () => leases.release({ name: 'l', holder: 'h', term: 1 }),
    () => leases.issueTerm({ name: 'l', holder: 'h', term: 1 }),
    () => leases.holder('l'),
    () => engine.claim(1_000_000),
    () => engine.identity(),
  ];
  for (const call of calls) await assert.rejects(call(), { code: 'TANDEM_DRAINING' }, call.toString());
}
