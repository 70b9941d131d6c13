/** `ack: replicated` while replicas are missing: what else is called over the connection is served. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missingRedis } from '../../core/testing/redis-servers/installed.ts';
import { startRedis } from '../../core/testing/redis-servers/start-redis.ts';
import { until } from '../../core/testing/until.ts';
import { append, codeOf, ensureTopic, openEngine, PLACE } from './redis-engine.fixture.ts';

const PRODUCERS = 20;
const PARTITIONS = 8;
const WAIT_MS = 1000;

for (const isGone of [false, true])
  test(`reads are answered while ${isGone ? 'no replica is connected' : 'the replica hangs'} and many append`, {
    skip: missingRedis(),
  }, async (t) => {
    const { url, servers } = await startRedis(t, { replicas: 1 });
    const replica = servers[1] as (typeof servers)[0];
    const engine = await openEngine(t, url, { replication: { replicas: 1, waitMs: WAIT_MS } });
    await ensureTopic(engine, PARTITIONS);
    const outcome = (producer: number): Promise<string> =>
      append(engine, ['x'], { ...PLACE, partition: producer % PARTITIONS }).then(() => 'stored', codeOf);
    await until('the replica is there', async () => (await outcome(0)) === 'stored');

    await (isGone ? replica.kill() : replica.pause());
    let isOver = false;
    const outcomes: string[] = [];
    const produce = async (producer: number): Promise<void> => {
      while (!isOver) outcomes.push(await outcome(producer));
    };
    const producers: Promise<void>[] = [];
    for (let producer = 0; producer < PRODUCERS; producer++) {
      producers.push(produce(producer));
      // The next one in a turn of its own.
      await new Promise((resolve) => setImmediate(resolve));
    }
    try {
      await until('all are refused', () => outcomes.length >= 2 * PRODUCERS, 5 * WAIT_MS);
      for (let i = 0; i < 5; i++) {
        const startMs = performance.now();
        await engine.store.read(PLACE, { epoch: '', offset: 0 }, 1000);
        const tookMs = performance.now() - startMs;
        assert.ok(tookMs < 2 * WAIT_MS, `a read took ${tookMs} ms`);
      }
    } finally {
      isOver = true;
    }
    await Promise.all(producers);
    assert.deepEqual([...new Set(outcomes)], ['TANDEM_NOT_REPLICATED']);

    await (isGone ? replica.restart() : replica.resume());
    await until('the replica is back', async () => (await outcome(0)) === 'stored');
    const after = await Promise.all(Array.from({ length: PRODUCERS }, (_, producer) => outcome(producer)));
    assert.deepEqual([...new Set(after)], ['stored']);
  });
