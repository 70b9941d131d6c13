import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ManualClock } from '../../core/ports/manual-clock.ts';
import { until } from '../../core/testing/until.ts';
import { afterKill, appendTexts, ensure, openFor, PLACE, readTexts, testFolder } from './testing/embedded-fixture.ts';

const segmentsIn = (folder: string): number =>
  readdirSync(join(folder, 'journal-0')).filter((name) => name.endsWith('.seg')).length;
const TEXT = 'x'.repeat(900);
const SEGMENT = { segmentBytes: 10_000, retentionIntervalMs: 1e9 };

test('retention by age trims at batches and deletes segments; it holds after kill -9', async (t) => {
  const folder = testFolder(t);
  const clock = new ManualClock();
  const engine = await openFor(t, folder, { clock, ...SEGMENT });
  await ensure(engine, 1, 't', { retentionMs: 10_000 });
  for (let i = 0; i < 40; i++) {
    await appendTexts(engine, [`${i} ${TEXT}`]);
    await clock.advance(1000);
  }
  await until(
    'segments are sealed',
    () => readdirSync(join(folder, 'journal-0')).filter((n) => n.endsWith('.idx')).length >= 3,
  );
  const before = segmentsIn(folder);
  await until('segments are deleted', async () => {
    await engine.applyRetention();
    return segmentsIn(folder) < before - 1;
  });
  const { firstOffset, nextOffset } = await engine.store.state(PLACE);
  assert.deepEqual([firstOffset, nextOffset], [30, 40]);
  assert.equal((await readTexts(engine))[0]?.slice(0, 3), '30 ');
  const copy = afterKill(t, folder);
  const next = await openFor(t, copy, { clock, ...SEGMENT });
  assert.equal((await next.store.state(PLACE)).firstOffset, 30);
  await clock.advance(60_000);
  await next.applyRetention();
  assert.deepEqual(await next.store.state(PLACE), { ...(await engine.store.state(PLACE)), firstOffset: 40 });
  await next.close();
  const last = await openFor(t, copy, { clock, ...SEGMENT });
  await last.applyRetention();
  assert.equal((await last.store.state(PLACE)).nextOffset, 40, 'offsets go on though every segment may be gone');
  await last.applyRetention();
  assert.equal((await appendTexts(last, ['next'])).runs[0]?.firstOffset, 40);
});

test('retention by bytes keeps about so much', async (t) => {
  const folder = testFolder(t);
  const engine = await openFor(t, folder, SEGMENT);
  await ensure(engine, 1, 't', { retentionBytes: 15_000 });
  for (let i = 0; i < 40; i++) await appendTexts(engine, [`${i} ${TEXT}`]);
  await engine.applyRetention();
  const kept = (await readTexts(engine)).length;
  assert.ok(kept >= 14 && kept <= 16, `${kept} of about 1000 bytes each`);
  await engine.applyRetention();
  assert.equal((await readTexts(engine)).length, kept, 'once is enough');
});

test('one live partition keeps a segment, whoever else is trimmed', async (t) => {
  const folder = testFolder(t);
  const engine = await openFor(t, folder, SEGMENT);
  await ensure(engine, 2);
  const live = { topic: 't', partition: 1 };
  await appendTexts(engine, ['alive'], undefined, live);
  for (let i = 0; i < 40; i++) await appendTexts(engine, [TEXT]);
  await engine.store.trim(PLACE, 40);
  await until('the dead segments are deleted', async () => {
    await engine.applyRetention();
    return segmentsIn(folder) <= 3;
  });
  assert.deepEqual(await readTexts(engine, live), ['alive']);
  await engine.close();
  const next = await openFor(t, folder, SEGMENT);
  assert.deepEqual(await readTexts(next, live), ['alive']);
  await next.store.trim(live, 1);
  await next.applyRetention();
  assert.equal((await next.store.state(live)).nextOffset, 1);
});

test('producers unseen for long are forgotten, and no more than the limit are kept', async (t) => {
  const folder = testFolder(t);
  const clock = new ManualClock();
  const { DEFAULT_LIMITS } = await import('../../core/limits.ts');
  const limits = { ...DEFAULT_LIMITS, producersPerPartitionMax: 5, producerRetentionMs: 100_000 };
  const engine = await openFor(t, folder, { clock, limits });
  await ensure(engine);
  for (let i = 0; i < 8; i++) {
    await appendTexts(engine, ['r'], { id: `p${i}`, sequence: 3 });
    await clock.advance(1000);
  }
  const known = async (any: typeof engine): Promise<number[]> =>
    Promise.all(Array.from({ length: 8 }, (_, i) => any.store.lastSequence(PLACE, `p${i}`)));
  assert.deepEqual(await known(engine), [0, 0, 0, 3, 3, 3, 3, 3]);
  await engine.close();
  const next = await openFor(t, folder, { clock, limits });
  assert.deepEqual((await known(next)).slice(3), [3, 3, 3, 3, 3]);
  await clock.advance(96_500);
  assert.deepEqual(await known(next), [0, 0, 0, 0, 0, 3, 3, 3]);
});
