import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missingRedis } from '../../core/testing/redis-servers/installed.ts';
import { startSentinel } from '../../core/testing/redis-servers/start-sentinel.ts';
import { until } from '../../core/testing/until.ts';
import { endpointOf, LIST, ListBench, numbered } from './list-bench.fixture.ts';

const skip = missingRedis();

test('the master dies with items in hand: the next one is found, each item once', { skip }, async (t) => {
  const { servers, sentinels, masterName, master } = await startSentinel(t);
  const [first, second] = servers;
  assert.ok(first && second);
  const bench = ListBench.over(t, first);
  const items = numbered(3000);
  await bench.push(...items);
  const endpoint = { ...endpointOf(first), servers: sentinels.map(({ host, port }) => ({ host, port })), masterName };
  const { engine } = bench.take({ endpoint });
  engine.faults.hold();
  const own = `${LIST}:tandem:a/0`;
  await until('it has items in hand', async () => Number(await first.call('LLEN', own)) > 1000);
  await until('the replica has them too', async () => {
    const [there, here] = await Promise.all([first.call('LLEN', own), second.call('LLEN', own)]);
    return there === here;
  });
  await first.kill();
  engine.faults.release();
  await until('the other one is master', async () => (await master().catch(() => first)) === second);
  bench.server = second;
  await bench.push('after');
  await bench.untilEmptied();
  await bench.assertOnce([...items, 'after']);
});

test('a master that no Sentinel knows is told with what each of them said', { skip }, async (t) => {
  const { servers, sentinels } = await startSentinel(t, { replicas: 0, sentinels: 1 });
  const [first] = servers;
  assert.ok(first);
  const bench = ListBench.over(t, first);
  const endpoint = { ...endpointOf(sentinels[0] ?? first), masterName: 'nobody' };
  bench.take({ endpoint });
  await until('it is told', () => bench.events('redis_list_interrupted').length > 0);
  assert.match(String(bench.events('redis_list_interrupted')[0]?.['reason']), /knows no master "nobody"/);
});
