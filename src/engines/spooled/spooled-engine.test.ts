/** The spool in fair weather: who is answered what, what goes where, what is kept for how long. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../core/testing/until.ts';
import { guardEngine } from '../guarded-engine.ts';
import { append, forwarded, metric, openStage, PLACE, TOPIC, texts, textsIn } from './testing/spool-fixture.ts';

test('an append is answered without a place, and is at the engine soon, in order, with its producer', async (t) => {
  const stage = await openStage(t);
  const { spool, remoteStore, remote } = stage;
  const engine = guardEngine(spool);
  assert.equal(engine.capabilities.ack, 'flushed');
  await engine.topics.ensure(TOPIC);
  const first = await append(engine, texts('x', 3), { id: 'p', sequence: 1 });
  assert.deepEqual(first, { epoch: '', runs: [{ count: 3, firstOffset: -1, isDuplicate: false }] });
  assert.deepEqual((await append(engine, texts('x', 4), { id: 'p', sequence: 1 })).runs, [
    { count: 3, firstOffset: -1, isDuplicate: true },
    { count: 1, firstOffset: -1, isDuplicate: false },
  ]);
  await append(engine, texts('y', 2));
  const all = [...texts('x', 4), ...texts('y', 2)];
  await until('all is forwarded', () => textsIn(remoteStore).length === 6);
  assert.deepEqual(textsIn(remoteStore), all);
  assert.equal(await remote.store.lastSequence(PLACE, 'p'), 4);
  const { batches, epoch } = await engine.store.read(PLACE, { epoch: '', offset: 0 }, 1000);
  assert.equal(batches.length, 3);
  assert.equal((await engine.store.state(PLACE)).epoch, epoch);
  await forwarded(stage);
  assert.equal(metric(spool, 'forwarded_total'), 6);
  assert.equal(metric(spool, 'oldest_seconds'), 0);
});

test('what is confirmed is kept for the window, then trimmed; a trim at the engine does not touch it', async (t) => {
  const { spool, localStore, remoteStore } = await openStage(t, { windowMs: 400 });
  await spool.topics.ensure(TOPIC);
  await append(spool, texts('x', 5));
  await until('all is forwarded', () => textsIn(remoteStore).length === 5);
  const confirmedMs = performance.now();
  await spool.store.trim(PLACE, 5);
  assert.deepEqual(textsIn(remoteStore), []);
  await until('the spool is trimmed', () => {
    const isTrimmed = textsIn(localStore).length === 0;
    if (isTrimmed) assert.ok(performance.now() - confirmedMs >= 399, 'not before');
    return isTrimmed;
  });
  assert.equal(metric(spool, 'bytes'), 0);
  assert.equal(metric(spool, 'lost_total'), 0);
  await append(spool, ['next']);
  await until('the next one is forwarded', () => textsIn(remoteStore).length === 1);
});

test('the last sequence of a producer is the higher one of here and there', async (t) => {
  const { spool, remote } = await openStage(t);
  await spool.topics.ensure(TOPIC);
  await append(remote, ['a', 'b'], { id: 'p', sequence: 4 });
  assert.equal(await spool.store.lastSequence(PLACE, 'p'), 5);
  await append(spool, ['c', 'd'], { id: 'p', sequence: 6 });
  assert.equal(await spool.store.lastSequence(PLACE, 'p'), 7);
});

test('what a client has sent to two nodes is stored once, whichever forwards first', async (t) => {
  const here = await openStage(t);
  const there = await openStage(t, { originId: 'spool/y', remote: here.remote });
  await here.spool.topics.ensure(TOPIC);
  await there.spool.topics.ensure(TOPIC);
  here.remote.faults.hold();
  await append(here.spool, texts('x', 4, 1), { id: 'p', sequence: 1 });
  await append(there.spool, texts('x', 4, 3), { id: 'p', sequence: 3 });
  await append(here.spool, texts('x', 3, 6), { id: 'p', sequence: 6 });
  here.remote.faults.release();
  await until('all is there', () => textsIn(here.remoteStore).length === 8);
  await here.spool.close();
  await there.spool.close();
  const stored = textsIn(here.remoteStore);
  assert.deepEqual(stored.toSorted(), texts('x', 8, 1));
});

test('groups, leases and terms are those of the engine, and fence nothing that was acknowledged', async (t) => {
  const { spool, remote, remoteStore } = await openStage(t);
  await spool.topics.ensure(TOPIC);
  const grant = await spool.leases.acquire('l', 'a', 1000);
  assert.equal((await remote.leases.holder('l'))?.term, grant?.term);
  await remote.store.claim(PLACE, 50);
  await remote.claim(60);
  await append(spool, ['late, but acknowledged']);
  await until('it is forwarded', () => textsIn(remoteStore).length === 1);
  await assert.rejects(spool.store.claim(PLACE, 40), { code: 'TANDEM_TERM_FENCED' });
  assert.equal(await spool.identity(), await remote.identity());
});

test('close forwards what is there; nothing works after it', async (t) => {
  const { spool, remoteStore } = await openStage(t);
  await spool.topics.ensure(TOPIC);
  const appends = texts('x', 50).map((text) => append(spool, [text]));
  await Promise.all(appends);
  await spool.close();
  await spool.close();
  assert.deepEqual(textsIn(remoteStore), texts('x', 50));
  for (const call of [
    () => append(spool, ['y']),
    () => spool.store.lastSequence(PLACE, 'p'),
    () => spool.store.state(PLACE),
    () => spool.topics.ensure(TOPIC),
    () => spool.identity(),
  ])
    await assert.rejects(call(), { code: 'TANDEM_DRAINING' }, call.toString());
});

test('what is appended while the local log is read is forwarded too', async (t) => {
  const stage = await openStage(t);
  const { spool, local } = stage;
  await spool.topics.ensure(TOPIC);
  const { read } = local.store;
  let reads = 0;
  Object.assign(local.store, {
    async read(...args: Parameters<typeof read>) {
      const result = await read(...args);
      // It has found nothing, and something comes before that is known.
      if (reads++ >= 20 || result.batches.length > 0) return result;
      await append(spool, [`late ${reads}`]);
      for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
      return result;
    },
  });
  await append(spool, ['first']);
  await until('the late ones are forwarded', () => textsIn(stage.remoteStore).length === 11);
});

test('one batch after the other of many partitions is on its way, within the bound', async (t) => {
  const stage = await openStage(t, { inFlightBytesMax: 4000 });
  const { spool, remote, remoteStore } = stage;
  await spool.topics.ensure({ ...TOPIC, partitions: 8 });
  remote.faults.hold();
  const value = 'v'.repeat(500);
  const sends = Array.from({ length: 400 }, (_, i) =>
    append(spool, [`${value}${i}`], undefined, { topic: 't', partition: i % 8 }),
  );
  await Promise.all(sends);
  await until('some are on their way', () => (metric(spool, 'in_flight_bytes') as number) > 1000);
  // One reading of each partition may be above the bound.
  assert.ok((metric(spool, 'in_flight_bytes') as number) <= 4000 + 256 * 1024);
  remote.faults.release();
  await forwarded(stage);
  for (let partition = 0; partition < 8; partition++) {
    const numbers = textsIn(remoteStore, { topic: 't', partition }).map((text) => Number(text.slice(500)));
    assert.deepEqual(
      numbers,
      Array.from({ length: 50 }, (_, i) => partition + 8 * i),
    );
  }
  assert.equal(metric(spool, 'in_flight_bytes'), 0);
});
