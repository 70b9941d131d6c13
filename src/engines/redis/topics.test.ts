/** Topics that the catalog has lost are made again by whoever knows them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TopicInfo } from '../../core/contracts/engine.ts';
import { missingRedis } from '../../core/testing/redis-servers/installed.ts';
import { startRedis } from '../../core/testing/redis-servers/start-redis.ts';
import { until } from '../../core/testing/until.ts';
import { append, ensureTopic, openEngine, readTexts, texts } from './redis-engine.fixture.ts';

const skip = missingRedis();

test('topics and partitions that a restart from an older snapshot has lost are made again', { skip }, async (t) => {
  const { server, url } = await startRedis(t);
  const engine = await openEngine(t, url);
  const kept: TopicInfo = { name: 'kept', partitions: 2, retentionMs: 1000, retentionBytes: null };
  await engine.topics.ensure(kept);
  await ensureTopic(engine, 4, 'grown');
  await server.call('SAVE');
  await engine.topics.ensure({ ...kept, retentionMs: 2000 });
  const grown = await engine.topics.ensure({ name: 'grown', partitions: 8, retentionMs: 3000, retentionBytes: null });
  const made = await engine.topics.ensure({ name: 'made', partitions: 3, retentionMs: null, retentionBytes: 4096 });
  await server.restart();
  const other = await openEngine(t, url);
  await until('they are there for others', async () => {
    const partitions = (await other.topics.list()).map((topic) => topic.partitions);
    return partitions.join() === '8,2,3';
  });
  // What the catalog says of a topic that it has may be newer than what this process knows.
  assert.deepEqual(await other.topics.list(), [{ ...grown, retentionMs: null }, kept, made]);
  assert.deepEqual(await engine.topics.list(), await other.topics.list());
  await other.groups.join('g', 'made', () => {});
  const place = { topic: 'made', partition: 2 };
  await append(engine, texts('x', 3), place);
  assert.deepEqual(await readTexts(other, place), texts('x', 3));
});

test('a catalog of another history that was changed as often is not taken for the known one', { skip }, async (t) => {
  const { server, url } = await startRedis(t);
  const engine = await openEngine(t, url);
  const made = await ensureTopic(engine, 2, 'made');
  await engine.topics.list();
  await server.call('HDEL', '{tandem}:topics', 'made');
  await server.call('HSET', '{tandem}:topics', 'elsewhere', JSON.stringify({ ...made, name: undefined }));
  await server.call('HSET', '{tandem}:shard', 'history', '100-other');
  const wanted = [{ ...made, name: 'elsewhere' }, made];
  assert.deepEqual(await engine.topics.list(), wanted);
  const other = await openEngine(t, url);
  assert.deepEqual(await other.topics.list(), wanted);
});
