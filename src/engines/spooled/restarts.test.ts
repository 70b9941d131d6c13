/** A new process of the slot goes on where the last one was. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../core/testing/until.ts';
import { append, forwarded, metric, openStage, TOPIC, takeAway, texts, textsIn } from './testing/spool-fixture.ts';

test('what was not forwarded before the end is forwarded by the next process, once', async (t) => {
  const stage = await openStage(t);
  await stage.spool.topics.ensure({ ...TOPIC, partitions: 3 });
  let sent = 0;
  for (let round = 0; round < 8; round++) {
    const sends = Array.from({ length: 30 }, () => {
      const place = { topic: 't', partition: sent % 3 };
      return append(stage.spool, [`x-${sent++}`], undefined, place);
    });
    await Promise.all(sends);
    // At any stage of forwarding.
    for (let turn = 0; turn < round; turn++) await new Promise((resolve) => setImmediate(resolve));
    await stage.restart();
  }
  await forwarded(stage);
  for (let partition = 0; partition < 3; partition++)
    assert.deepEqual(
      textsIn(stage.remoteStore, { topic: 't', partition }),
      texts('x', sent).filter((_, i) => i % 3 === partition),
    );
  assert.equal(metric(stage.spool, 'lost_total'), 0);
});

test('appends of a dead process that arrive late change nothing', async (t) => {
  const stage = await openStage(t);
  await stage.spool.topics.ensure(TOPIC);
  stage.remote.faults.hold();
  await Promise.all(texts('x', 20).map((text) => append(stage.spool, [text])));
  await until('they are on their way', () => (metric(stage.spool, 'in_flight_bytes') as number) > 0);
  const successor = await stage.another();
  await until('they are forwarded', () => textsIn(stage.remoteStore).length === 20);
  await append(successor, ['y']);
  await until('so is the next', () => textsIn(stage.remoteStore).length === 21);
  stage.remote.faults.release();
  await until('the late ones are answered', () => metric(stage.spool, 'in_flight_bytes') === 0);
  await append(successor, ['z']);
  await until('the last one is there', () => textsIn(stage.remoteStore).length === 22);
  assert.deepEqual(textsIn(stage.remoteStore), [...texts('x', 20), 'y', 'z']);
});

test('a process that starts while the engine is away forwards what it finds and what it gets', async (t) => {
  const stage = await openStage(t);
  await stage.spool.topics.ensure(TOPIC);
  takeAway(stage);
  await append(stage.spool, texts('x', 3));
  await stage.restart();
  const outage = takeAway(stage);
  await append(stage.spool, texts('x', 3, 3));
  await until('it is noticed', () => metric(stage.spool, 'is_remote_away') === 1);
  assert.ok((metric(stage.spool, 'oldest_seconds') as number) > 0);
  outage.back();
  await forwarded(stage);
  assert.deepEqual(textsIn(stage.remoteStore), texts('x', 6));
});

test('topics that the local store keeps by age or size are kept whole once they are a spool', async (t) => {
  const stage = await openStage(t);
  await stage.local.topics.ensure({ ...TOPIC, retentionMs: 1, retentionBytes: 1 });
  await stage.restart();
  assert.deepEqual(stage.localStore.findTopic('t'), TOPIC);
});
