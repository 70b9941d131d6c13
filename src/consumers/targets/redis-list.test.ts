import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { missingRedis } from '../../core/testing/redis-servers/installed.ts';
import { startRedis } from '../../core/testing/redis-servers/start-redis.ts';
import { keyed, openBench, TOPIC, until } from '../consumers.fixture.ts';

const skip = missingRedis();
const LIST = 'data_queue';

async function open(t: TestContext) {
  const { server } = await startRedis(t, { config: ['appendonly yes', 'appendfsync always'] });
  const bench = await openBench(t);
  const endpoint = {
    servers: [{ host: server.host, port: server.port }],
    ...{ masterName: null, database: 0, isTls: false },
    ...{ username: null, password: null, sentinelUsername: null, sentinelPassword: null },
  };
  const written = async (): Promise<string[]> => (await server.call('LRANGE', LIST, '0', '-1')) as string[];
  // The server's time is real: the test's clock must not run ahead of it to the next time-out.
  const slowly = (condition: () => boolean | Promise<boolean>, what: string): Promise<void> =>
    until(async () => {
      await bench.clock.advance(10);
      return condition();
    }, what);
  const to = { to: 'redis-list://test/data_queue', redisList: { endpoint, list: LIST }, timeoutMs: 1e9 };
  return { server, bench, written, slowly, to };
}

test('the data of each record, in order, many in one command', { skip }, async (t) => {
  const { server, bench, written, to } = await open(t);
  const texts = ['{"a":1}', '', 'grün\r\n', ...Array.from({ length: 2500 }, (_, i) => `r${i}`)];
  await bench.append(...texts.map((text, i) => (i % 2 === 0 ? text : keyed('k', text))));
  const { consumers } = bench.openWorker({ consumers: [to] });
  await consumers.start();
  await until(async () => (await written()).length === texts.length, 'all is written');
  assert.deepEqual(await written(), texts);
  assert.ok(Number((await server.info('commandstats', 'cmdstat_rpush'))?.match(/calls=(\d+)/)?.[1]) <= 5);
  const binary = Buffer.from([0xff, 0, 0x80]);
  await bench.append({ data: binary });
  await until(async () => (await written()).length > texts.length, 'the bytes are written');
  assert.equal((await written()).at(-1), binary.toString('utf8'));
});

test('Redis away for a while: deliveries wait, nothing becomes a dead letter', { skip }, async (t) => {
  const { server, bench, written, slowly, to } = await open(t);
  const { consumers } = bench.openWorker({ consumers: [to] });
  await consumers.start();
  await bench.append('a');
  await until(async () => (await written()).length === 1, 'the first is written');
  await server.kill();
  await bench.append('b', 'c');
  const startMs = bench.clock.monotonicMs();
  await slowly(() => bench.clock.monotonicMs() - startMs > 5000, 'time passes');
  await server.restart();
  await slowly(async () => (await written()).length >= 3, 'the rest is written');
  assert.deepEqual([...new Set(await written())], ['a', 'b', 'c']);
  assert.equal((await consumers.status())[0]?.totals.deadLettered, 0);
});

test('what the server refuses becomes a dead letter with its words', { skip }, async (t) => {
  const { server, bench, slowly, to } = await open(t);
  await server.call('SET', LIST, 'not a list');
  const retry = { attemptsMax: 2, backoffMs: 10, backoffMsMax: 10 };
  const { consumers } = bench.openWorker({ consumers: [{ ...to, retry }] });
  await consumers.start();
  await bench.append('a');
  const isBuried = async (): Promise<boolean> => (await consumers.status())[0]?.totals.deadLettered === 1;
  await slowly(isBuried, 'it is buried');
  const [letter] = await bench.read(`${TOPIC}.dead`);
  assert.match(JSON.stringify(letter?.headers), /WRONGTYPE/);
});
