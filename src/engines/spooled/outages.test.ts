/** The remote engine fails, hangs, answers late, loses what it had confirmed, or comes back with nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../core/testing/until.ts';
import {
  append,
  forwarded,
  metric,
  openStage,
  PLACE,
  TOPIC,
  takeAway,
  texts,
  textsIn,
} from './testing/spool-fixture.ts';

test('while the engine is away appends go on; when it is back all is there, once, in order', async (t) => {
  const stage = await openStage(t);
  const { spool, remoteStore, events } = stage;
  await spool.topics.ensure(TOPIC);
  await append(spool, texts('x', 3));
  await forwarded(stage);
  const outage = takeAway(stage);
  for (let i = 3; i < 40; i++)
    await append(spool, texts('x', 1, i), i % 2 === 0 ? { id: 'p', sequence: i } : undefined);
  await until('it is noticed', () => metric(spool, 'is_remote_away') === 1);
  assert.equal(await spool.store.lastSequence(PLACE, 'p'), 38);
  await until('they are counted', () => metric(spool, 'records') === 37);
  assert.deepEqual(textsIn(remoteStore), texts('x', 3));
  outage.back();
  await forwarded(stage);
  assert.deepEqual(textsIn(remoteStore), texts('x', 40));
  assert.equal(metric(spool, 'is_remote_away'), 0);
  assert.equal(metric(spool, 'lost_total'), 0);
  assert.deepEqual(
    events.map(({ event }) => event),
    ['spool_remote_away', 'spool_remote_back'],
  );
});

test('appends that fail, or were stored and answered as failed, are neither lost nor stored twice', async (t) => {
  const stage = await openStage(t);
  const { spool, remote, remoteStore } = stage;
  await spool.topics.ensure(TOPIC);
  for (let i = 0; i < 60; i++) {
    if (i % 6 === 0) remote.faults.fail(1, 'TANDEM_STORE_UNREACHABLE');
    if (i % 6 === 3) remote.faults.fail(1, 'TANDEM_STORE_UNREACHABLE', { isStored: true });
    await Promise.all([append(spool, [`a-${i}`]), append(spool, [`b-${i}`], { id: 'p', sequence: i + 1 })]);
  }
  await forwarded(stage);
  assert.deepEqual(textsIn(remoteStore), Array.from({ length: 60 }, (_, i) => [`a-${i}`, `b-${i}`]).flat());
});

test('while the engine hangs appends go on, and it is said to be away', async (t) => {
  const stage = await openStage(t);
  const { spool, remote, remoteStore } = stage;
  await spool.topics.ensure(TOPIC);
  remote.faults.hold();
  for (let i = 0; i < 30; i++) await append(spool, texts('x', 1, i));
  await until('it is noticed', () => metric(spool, 'is_remote_away') === 1);
  assert.deepEqual(textsIn(remoteStore), []);
  remote.faults.release();
  await forwarded(stage);
  assert.deepEqual(textsIn(remoteStore), texts('x', 30));
});

test('a failover that lost something is noticed without a new append, and what it lost is sent again', async (t) => {
  const stage = await openStage(t);
  const { spool, remoteStore, events } = stage;
  await spool.topics.ensure(TOPIC);
  await append(spool, texts('x', 10), { id: 'p', sequence: 1 });
  await forwarded(stage);
  const copy = remoteStore.copy();
  await append(spool, texts('x', 7, 10), { id: 'p', sequence: 11 });
  await append(spool, texts('y', 3));
  await forwarded(stage);
  remoteStore.failOverTo(copy);
  assert.equal(textsIn(remoteStore).length, 10);
  await until('all is there again', () => textsIn(remoteStore).length === 20);
  assert.deepEqual(textsIn(remoteStore), [...texts('x', 17), ...texts('y', 3)]);
  assert.equal(metric(spool, 'sent_again_total'), 10);
  assert.equal(metric(spool, 'lost_total'), 0);
  const again = events.find(({ event }) => event === 'spool_sends_again');
  assert.deepEqual(again?.fields, { ...PLACE, fromOffset: 10, toOffset: 20 });
});

test('nothing new is stored behind what a failover has lost', async (t) => {
  const stage = await openStage(t, { roundMs: 60_000 });
  const { spool, remoteStore } = stage;
  await spool.topics.ensure(TOPIC);
  let copy = remoteStore.copy();
  for (let i = 0; i < 300; i++) {
    await append(spool, texts('x', 1, i));
    if (i % 30 === 10) copy = remoteStore.copy();
    if (i % 30 === 20) remoteStore.failOverTo(copy);
  }
  await until('all is there', () => textsIn(remoteStore).length === 300);
  assert.deepEqual(textsIn(remoteStore), texts('x', 300));
});

test('an engine that comes back with nothing gets its topics and the window again', async (t) => {
  const stage = await openStage(t);
  const { spool, remoteStore } = stage;
  await spool.topics.ensure({ ...TOPIC, partitions: 2, retentionMs: 5000 });
  await append(spool, texts('x', 10));
  await append(spool, texts('z', 2), undefined, { topic: 't', partition: 1 });
  await forwarded(stage);
  remoteStore.failOverTo();
  await append(spool, ['next']);
  await until('all is there again', () => textsIn(remoteStore).length === 11);
  assert.deepEqual(textsIn(remoteStore), [...texts('x', 10), 'next']);
  await until('the other partition too', () => textsIn(remoteStore, { topic: 't', partition: 1 }).length === 2);
  assert.equal((await spool.topics.find('t'))?.retentionMs, 5000);
});

test('what is lost at the engine and kept here no more is counted and logged, and the rest goes on', async (t) => {
  const stage = await openStage(t, { windowMs: 20 });
  const { spool, localStore, remoteStore, events } = stage;
  await spool.topics.ensure(TOPIC);
  await append(spool, texts('x', 4));
  await forwarded(stage);
  const copy = remoteStore.copy();
  await append(spool, texts('x', 6, 4));
  await until('the spool is trimmed', () => textsIn(localStore).length === 0 && metric(spool, 'records') === 0);
  remoteStore.failOverTo(copy);
  // It is counted once, however often it is asked where to go on.
  stage.remote.faults.fail(2, 'TANDEM_STORE_FAILED');
  await append(spool, ['next']);
  await forwarded(stage);
  await append(spool, ['and on']);
  await forwarded(stage);
  assert.deepEqual(textsIn(remoteStore), [...texts('x', 4), 'next', 'and on']);
  assert.equal(metric(spool, 'lost_total'), 6);
  const lost = events.filter(({ event }) => event === 'spool_records_lost').map(({ fields }) => fields);
  assert.equal(lost.length, 1);
  assert.deepEqual([lost[0]?.['fromOffset'], lost[0]?.['toOffset']], [4, 10]);
});

test('a topic that is made while the engine is away works at once, and is made there later', async (t) => {
  const stage = await openStage(t, { retentionOf: () => ({ retentionMs: 7000, retentionBytes: null }) });
  const outage = takeAway(stage);
  const topic = { ...TOPIC, partitions: 3, retentionMs: 9000 };
  assert.deepEqual(await stage.spool.topics.ensure(topic), topic);
  await stage.spool.topics.ensure({ ...topic, name: 'unused' });
  assert.deepEqual(stage.spool.topics.peek('t'), topic);
  assert.deepEqual(await stage.spool.topics.find('t'), topic);
  assert.equal(await stage.spool.topics.find('unknown'), undefined);
  await append(stage.spool, ['x'], undefined, { topic: 't', partition: 2 });
  outage.back();
  await until('they are made', () => stage.remoteStore.listTopics().length === 2);
  assert.deepEqual(stage.remoteStore.findTopic('t'), topic);
  await forwarded(stage);
  assert.deepEqual(textsIn(stage.remoteStore, { topic: 't', partition: 2 }), ['x']);

  // A process that ended before it could: the next one knows the retention by itself.
  const second = takeAway(stage);
  await stage.spool.topics.ensure({ ...TOPIC, name: 'u' });
  await append(stage.spool, ['y'], undefined, { topic: 'u', partition: 0 });
  await stage.restart();
  second.back();
  await until('it is made', () => stage.remoteStore.findTopic('u') !== undefined);
  assert.equal(stage.remoteStore.findTopic('u')?.retentionMs, 7000);
  await forwarded(stage);
  assert.deepEqual(textsIn(stage.remoteStore, { topic: 'u', partition: 0 }), ['y']);
});

test('partitions that were added elsewhere are there', async (t) => {
  const stage = await openStage(t);
  await stage.spool.topics.ensure(TOPIC);
  await stage.remote.topics.ensure({ ...TOPIC, partitions: 4 });
  await until('they are followed', () => stage.spool.topics.peek('t')?.partitions === 4);
  await append(stage.spool, ['x'], undefined, { topic: 't', partition: 3 });
  await forwarded(stage);
  assert.deepEqual(textsIn(stage.remoteStore, { topic: 't', partition: 3 }), ['x']);
  // Made there, asked for here.
  await stage.remote.topics.ensure({ ...TOPIC, name: 'u', partitions: 2, retentionMs: 1 });
  assert.equal((await stage.spool.topics.find('u'))?.retentionMs, 1);
  await append(stage.spool, ['y'], undefined, { topic: 'u', partition: 1 });
  await forwarded(stage);
  assert.equal(stage.remoteStore.findTopic('u')?.retentionMs, 1);
});

for (const first of [2, 8]) {
  const name = `a local log that was put back to an earlier state gets another origin, and loses nothing: ${first} records first`;
  test(name, async (t) => {
    const stage = await openStage(t);
    await stage.spool.topics.ensure(TOPIC);
    await append(stage.spool, texts('x', 5));
    await forwarded(stage);
    const before = stage.localStore.copy();
    await append(stage.spool, texts('x', 5, 5));
    await forwarded(stage);
    await stage.spool.close();
    stage.localStore.putBack(before);
    await stage.restart();
    // They may reach beyond what was forwarded from there before anybody has asked for that.
    await append(stage.spool, texts('y', first));
    const last = texts('y', first).slice(-2).join();
    await until('the new ones are there', () => textsIn(stage.remoteStore).slice(-2).join() === last);
    await append(stage.spool, texts('y', 6, first));
    await forwarded(stage);
    await stage.restart();
    await append(stage.spool, ['z']);
    await forwarded(stage);
    assert.deepEqual(textsIn(stage.remoteStore).slice(-first - 7), [...texts('y', first + 6), 'z']);
    assert.equal(metric(stage.spool, 'lost_total'), 0);
  });
}

test('an engine that answers and takes nothing is asked ever less often, and is not away', async (t) => {
  const stage = await openStage(t);
  await stage.spool.topics.ensure(TOPIC);
  stage.remote.faults.fail(5, 'TANDEM_DISK_FULL');
  const startMs = performance.now();
  await append(stage.spool, ['x']);
  await forwarded(stage);
  // At once, then after 50, 100, 200, 400 ms.
  assert.ok(performance.now() - startMs > 700);
  assert.deepEqual(textsIn(stage.remoteStore), ['x']);
  const told = stage.events.map(({ event }) => event);
  assert.equal(told.filter((event) => event === 'spool_batch_refused').length, 1);
  assert.ok(!told.includes('spool_remote_away'));
});

test('an engine that takes nothing after an outage is told of at its first refusal', async (t) => {
  const stage = await openStage(t);
  await stage.spool.topics.ensure(TOPIC);
  await append(stage.spool, ['x']);
  await forwarded(stage);
  const outage = takeAway(stage);
  await append(stage.spool, ['y']);
  await until('it is away', () => metric(stage.spool, 'is_remote_away') === 1);
  stage.remote.faults.fail(1, 'TANDEM_DISK_FULL');
  outage.back();
  await forwarded(stage);
  assert.equal(stage.events.filter(({ event }) => event === 'spool_batch_refused').length, 1);
});
