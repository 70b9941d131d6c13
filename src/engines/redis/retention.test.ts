/** Retention by age and bytes, in the partitions that are the process's own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TopicInfo } from '../../core/contracts/engine.ts';
import { type Logger, silentLogger } from '../../core/contracts/telemetry.ts';
import { delay, systemClock } from '../../core/ports/clock.ts';
import { missingRedis } from '../../core/testing/redis-servers/installed.ts';
import { startRedis } from '../../core/testing/redis-servers/start-redis.ts';
import { until } from '../../core/testing/until.ts';
import { append, openEngine, PLACE, readTexts, TOPIC } from './redis-engine.fixture.ts';

const skip = missingRedis();
const KIB = 1024;
const topic = (retention: Partial<TopicInfo>, partitions = 1): TopicInfo => ({
  ...{ name: TOPIC, partitions, retentionMs: null, retentionBytes: null },
  ...retention,
});

test('a partition keeps about as many bytes as it may', { skip }, async (t) => {
  const { server, url } = await startRedis(t);
  const engine = await openEngine(t, url);
  await engine.topics.ensure(topic({ retentionBytes: 1024 * KIB }));
  const text = 'x'.repeat(16 * KIB);
  for (let i = 0; i < 300; i++) await append(engine, [`${i} ${text}`]);
  await engine.applyRetention();
  const { firstOffset, nextOffset } = await engine.store.state(PLACE);
  assert.equal(nextOffset, 300);
  // Marks stand about every 256 KiB.
  assert.ok(300 - firstOffset >= 64 && 300 - firstOffset <= 64 + 17, `from ${firstOffset} on`);
  const kept = await readTexts(engine);
  assert.equal(kept.length, 300 - firstOffset);
  assert.match(kept[0] as string, new RegExp(`^${firstOffset} `));
  const entries = Number(await server.call('XLEN', `{tandem:0}:log:${TOPIC}:0`));
  assert.ok(entries <= 300 - firstOffset + 1, `${entries} entries`);
  const again = await engine.store.state(PLACE);
  await engine.applyRetention();
  assert.deepEqual(await engine.store.state(PLACE), again);
});

test('records go when they are old, the last ones too', { skip }, async (t) => {
  const { url } = await startRedis(t);
  const engine = await openEngine(t, url);
  await engine.topics.ensure(topic({ retentionMs: 400 }));
  const text = 'x'.repeat(100 * KIB);
  for (let i = 0; i < 9; i++) await append(engine, [`${i} ${text}`]);
  await until('the first ones are old', async () => {
    await append(engine, [`young ${text}`]);
    await engine.applyRetention();
    const { firstOffset, nextOffset } = await engine.store.state(PLACE);
    return firstOffset >= 9 && firstOffset < nextOffset;
  });
  const allAreOld = async (): Promise<boolean> => {
    await engine.applyRetention();
    const { firstOffset, nextOffset } = await engine.store.state(PLACE);
    return firstOffset === nextOffset;
  };
  // Marks alone would take 10 s.
  await until('all are old', allAreOld, 5000);
  const { nextOffset } = await engine.store.state(PLACE);
  assert.deepEqual((await append(engine, ['next'])).runs, [{ count: 1, firstOffset: nextOffset, isDuplicate: false }]);
  assert.deepEqual(await readTexts(engine), ['next']);
});

test('each process applies it to its own partitions', { skip }, async (t) => {
  const { url } = await startRedis(t);
  const engines = [await openEngine(t, url, { slot: 0, slots: 2 }), await openEngine(t, url, { slot: 1, slots: 2 })];
  const [a, b] = engines as [(typeof engines)[0], (typeof engines)[0]];
  await a.topics.ensure(topic({ retentionMs: 1 }, 5));
  await b.topics.list();
  assert.deepEqual(a.store.localPartitions(TOPIC), [0, 2, 4]);
  assert.deepEqual(b.store.localPartitions(TOPIC), [1, 3]);
  const places = [0, 1, 2, 3, 4].map((partition) => ({ topic: TOPIC, partition }));
  for (const place of places) await append(a, ['x'], place);
  const lengths = (): Promise<number[]> => Promise.all(places.map(async (place) => (await readTexts(a, place)).length));
  await until('the records are old', async () => {
    await a.applyRetention();
    return (await lengths()).reduce((sum, length) => sum + length) === 2;
  });
  assert.deepEqual(await lengths(), [0, 1, 0, 1, 0]);
  await b.applyRetention();
  assert.deepEqual(await lengths(), [0, 0, 0, 0, 0]);
});

test('a topic with fewer partitions than slots is everybody’s where a slot has none', { skip }, async (t) => {
  const { url } = await startRedis(t);
  const engine = await openEngine(t, url, { slot: 3, slots: 4 });
  await engine.topics.ensure(topic({}, 2));
  assert.deepEqual(engine.store.localPartitions(TOPIC), [0, 1]);
  assert.throws(() => engine.store.localPartitions('unknown'), { code: 'TANDEM_TOPIC_UNKNOWN' });
});

test('a process that is fenced leaves retention to the active one, in silence', { skip }, async (t) => {
  const { url } = await startRedis(t);
  const warnings: string[] = [];
  const logger: Logger = { ...silentLogger, warn: (event) => void warnings.push(event) };
  const fenced = await openEngine(t, url, { logger });
  await fenced.topics.ensure(topic({ retentionMs: 1 }));
  await append(fenced, ['kept']);
  const active = await openEngine(t, url);
  await active.claim(7);
  await delay(systemClock, 10);
  await fenced.applyRetention();
  assert.deepEqual([warnings, await readTexts(active)], [[], ['kept']]);
});
