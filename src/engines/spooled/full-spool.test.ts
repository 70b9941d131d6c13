/** What happens at `bytesMax`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../core/testing/until.ts';
import { append, forwarded, metric, openStage, TOPIC, takeAway, texts, textsIn } from './testing/spool-fixture.ts';

const VALUE = 'v'.repeat(1000);
const valuesOf = (first: number, end: number): string[] =>
  Array.from({ length: end - first }, (_, i) => `${VALUE}${first + i}`);
const SMALL = { bytesMax: 50_000, windowMs: 30, windowMinMs: 10 };

test('a full spool refuses, says so, keeps what it acknowledged, and takes records again when there is room', async (t) => {
  const stage = await openStage(t, { ...SMALL, whenFull: 'refuse' });
  const { spool, remoteStore } = stage;
  await spool.topics.ensure(TOPIC);
  const outage = takeAway(stage);
  let taken = 0;
  for (; taken < 100; taken++) {
    const result = await append(spool, valuesOf(taken, taken + 1)).catch((error: { code: string }) => error.code);
    if (typeof result !== 'string') continue;
    assert.equal(result, 'TANDEM_SPOOL_FULL');
    break;
  }
  assert.ok(taken > 35 && taken < 50, `${taken} of 1000 bytes and more in 50000`);
  assert.match(spool.problem ?? '', /^TANDEM_SPOOL_FULL/);
  assert.equal(metric(spool, 'refused_appends_total'), 1);
  // A repeat needs no room, but whether it is one is known only later.
  await assert.rejects(append(spool, ['x'.repeat(9000)]), { code: 'TANDEM_SPOOL_FULL' });
  outage.back();
  await until('there is room', () => spool.problem === undefined);
  await append(spool, valuesOf(taken, taken + 1));
  await forwarded(stage);
  assert.deepEqual(textsIn(remoteStore), valuesOf(0, taken + 1));
});

test('appends wait for room in their order, and go on when the engine is back', async (t) => {
  const stage = await openStage(t, SMALL);
  const { spool, remoteStore } = stage;
  await spool.topics.ensure({ ...TOPIC, partitions: 2 });
  const outage = takeAway(stage);
  let answered = 0;
  const sends = Array.from({ length: 300 }, async (_, i) => {
    // Small ones must not overtake large ones.
    await append(spool, [i % 2 === 0 ? `${VALUE}${i}` : `${i}`], undefined, {
      topic: 't',
      partition: i % 3 === 0 ? 1 : 0,
    });
    answered++;
  });
  await until('some wait', () => (metric(spool, 'waiting_appends') as number) > 100);
  await until('the others are answered', () => answered + (metric(spool, 'waiting_appends') as number) === 300);
  assert.ok((metric(spool, 'bytes') as number) <= 50_000);
  assert.equal(spool.problem, undefined, 'it waits');
  outage.back();
  await Promise.all(sends);
  await forwarded(stage);
  const numbersIn = (partition: number) =>
    textsIn(remoteStore, { topic: 't', partition }).map((text) => Number(text.replace(VALUE, '')));
  const all = Array.from({ length: 300 }, (_, i) => i);
  assert.deepEqual(
    numbersIn(1),
    all.filter((i) => i % 3 === 0),
  );
  assert.deepEqual(
    numbersIn(0),
    all.filter((i) => i % 3 !== 0),
  );
});

test('who waits is refused when the spool drains or closes', async (t) => {
  const stage = await openStage(t, { ...SMALL, drainMs: 50 });
  const { spool } = stage;
  await spool.topics.ensure(TOPIC);
  takeAway(stage);
  const sends = Array.from({ length: 100 }, (_, i) => append(spool, [`${VALUE}${i}`]));
  await until('some wait', () => (metric(spool, 'waiting_appends') as number) > 10);
  spool.stopWaiting();
  const results = await Promise.allSettled(sends);
  const refused = results.filter((result) => result.status === 'rejected');
  assert.ok(refused.length > 10);
  for (const { reason } of refused) assert.equal(reason.code, 'TANDEM_SPOOL_FULL');
  assert.equal(textsIn(stage.localStore).length, 100 - refused.length);
});

test('what is confirmed makes room for what is new before its window has passed, but not before the shortest', async (t) => {
  const stage = await openStage(t, { bytesMax: 50_000, windowMs: 60_000, windowMinMs: 300 });
  const { spool, localStore } = stage;
  await spool.topics.ensure(TOPIC);
  const startMs = performance.now();
  await Promise.all(valuesOf(0, 20).map((value) => append(spool, [value])));
  await forwarded(stage);
  assert.equal(metric(spool, 'window_seconds'), 60);
  await Promise.all(valuesOf(20, 44).map((value) => append(spool, [value])));
  await append(spool, ['x'.repeat(20_000)]);
  assert.ok(performance.now() - startMs >= 299);
  assert.ok(textsIn(localStore).length < 44);
  assert.equal(metric(spool, 'lost_total'), 0);
});

test('a batch that is larger than the spool fits into an empty one', async (t) => {
  const stage = await openStage(t, { ...SMALL, bytesMax: 5000 });
  await stage.spool.topics.ensure(TOPIC);
  const all = texts('x', 3).map((text) => text.padEnd(20_000));
  for (const text of all) await append(stage.spool, [text]);
  await forwarded(stage);
  assert.deepEqual(textsIn(stage.remoteStore), all);
});
