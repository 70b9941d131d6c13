import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '../../../core/contracts/telemetry.ts';
import { TandemError } from '../../../core/errors.ts';
import { parseRedisUrl } from '../../../core/redis-url.ts';
import { missingRedis } from '../../../core/testing/redis-servers/installed.ts';
import { startRedis } from '../../../core/testing/redis-servers/start-redis.ts';
import { until } from '../../../core/testing/until.ts';
import { openForTest } from './connections.fixture.ts';
import { openRedisServers } from './open-redis-servers.ts';

const skip = missingRedis();

test('calls are executed in their order, after the preparation of their tag', { skip }, async (t) => {
  const { url, server } = await startRedis(t);
  const { servers, prepared } = openForTest(t, url);
  const shard = servers.shard('a');
  assert.equal(servers.shard('a'), shard);
  const replies = await Promise.all(
    Array.from({ length: 5000 }, (_, index) => shard.call(['RPUSH', '{a}list', String(index)])),
  );
  assert.deepEqual(
    replies,
    Array.from({ length: 5000 }, (_, index) => index + 1),
  );
  const list = (await shard.call(['LRANGE', '{a}list', '0', '-1'])) as readonly Buffer[];
  assert.deepEqual(
    list.map(Number),
    replies.map((_, index) => index),
  );
  await servers.shard('b').call(['PING']);
  assert.deepEqual(
    prepared.map(({ tag }) => tag),
    ['a', 'b'],
  );
  // The hook's own mark was there before the first call.
  assert.deepEqual(String(await server.call('LRANGE', '{a}seen', '0', '-1')), 'prepared');
  const { incarnation, configEpoch, replicas } = prepared[0] ?? assert.fail();
  assert.equal(
    incarnation,
    `${await server.info('server', 'run_id')}:${await server.info('replication', 'master_replid')}`,
  );
  assert.deepEqual([configEpoch, replicas], [0, 0]);
});

test("bytes, integers, nulls and arrays come back as they are; a server's refusal as an error with its code", {
  skip,
}, async (t) => {
  const { url } = await startRedis(t);
  const shard = openForTest(t, url).servers.shard('a');
  const bytes = Buffer.from([0, 13, 10, 255, 0xc3]);
  assert.equal(String(await shard.call(['SET', '{a}k', bytes])), 'OK');
  assert.deepEqual(await shard.call(['GET', '{a}k']), bytes);
  assert.equal(await shard.call(['GET', '{a}none']), null);
  assert.equal(await shard.call(['STRLEN', '{a}k']), 5);
  assert.deepEqual(await shard.call(['MGET', '{a}k', '{a}none']), [bytes, null]);
  const big = Buffer.alloc(5_000_000, 7);
  await shard.call(['SET', '{a}big', big]);
  assert.deepEqual(await shard.call(['GET', '{a}big']), big);
  await assert.rejects(shard.call(['INCR', '{a}k']), { name: 'RedisReplyError', code: 'ERR' });
  await assert.rejects(shard.call(['LPUSH', '{a}k', 'x']), { code: 'WRONGTYPE' });
});

test('the identity is what the live server says', { skip }, async (t) => {
  const { url, server } = await startRedis(t);
  const { servers } = openForTest(t, url);
  assert.equal(await servers.identity(), `redis ${await server.info('server', 'redis_version')} standalone`);
});

test('calls wait for a server that is restarted, and are executed once', { skip }, async (t) => {
  const { url, server } = await startRedis(t, { config: ['appendonly yes', 'appendfsync always'] });
  const { servers, prepared, events } = openForTest(t, url);
  const shard = servers.shard('a');
  let reconnected = 0;
  shard.onReconnected(() => reconnected++);
  await shard.call(['INCR', '{a}n']);
  assert.equal(reconnected, 1);
  await server.kill();
  await until('the loss is noticed', () => events.some((event) => event.startsWith('warn redis_unreachable')));
  const waiting = Array.from({ length: 100 }, () => shard.call(['INCR', '{a}n']));
  await server.restart();
  assert.deepEqual(
    await Promise.all(waiting),
    Array.from({ length: 100 }, (_, index) => index + 2),
  );
  assert.equal(reconnected, 2);
  const [before, after] = prepared.map(({ incarnation }) => incarnation);
  assert.equal(prepared.length, 2);
  assert.notEqual(before, after);
});

test('calls that wait in vain are rejected as not executed, and say why', { skip }, async (t) => {
  const { url, server } = await startRedis(t);
  await server.kill();
  const { servers, events } = openForTest(t, url, { unreachableAfterMs: 300 });
  const startMs = performance.now();
  await assert.rejects(servers.shard('a').call(['PING']), (error: TandemError) => {
    assert.equal(error.code, 'TANDEM_STORE_UNREACHABLE');
    assert.match(error.message, /ECONNREFUSED/);
    assert.deepEqual(error.data, { mayBeExecuted: false });
    return true;
  });
  assert.ok(performance.now() - startMs >= 300);
  assert.equal(events.filter((event) => event === 'warn redis_unreachable TANDEM_STORE_UNREACHABLE').length, 1);
});

test('a server that hangs: calls that were sent are rejected as unknown, later ones wait and are executed', {
  skip,
}, async (t) => {
  const { url, server } = await startRedis(t);
  t.after(() => server.resume());
  const { servers } = openForTest(t, url, { suspectAfterMs: 100, hungAfterMs: 400 });
  const shard = servers.shard('a');
  await shard.call(['PING']);
  server.pause();
  const sent = shard.call(['INCR', '{a}sent']);
  await assert.rejects(sent, (error: TandemError) => {
    assert.deepEqual(error.data, { mayBeExecuted: true });
    assert.match(error.message, /silent for 400 ms/);
    return error.code === 'TANDEM_STORE_UNREACHABLE';
  });
  const waiting = shard.call(['INCR', '{a}waited']);
  server.resume();
  assert.equal(await waiting, 1);
});

test('a server that is slow for a while loses no call', { skip }, async (t) => {
  const { url, server } = await startRedis(t);
  const { servers, prepared } = openForTest(t, url, { suspectAfterMs: 50, hungAfterMs: 3000 });
  const shard = servers.shard('a');
  await shard.call(['PING']);
  const asleep = server.call('DEBUG', 'SLEEP', '0.4');
  const calls: Promise<unknown>[] = [];
  let isAwake = false;
  void asleep.then(() => {
    isAwake = true;
  });
  await until('the server is back', () => {
    calls.push(shard.call(['INCR', '{a}n']));
    return isAwake;
  });
  assert.deepEqual(
    await Promise.all(calls),
    calls.map((_, index) => index + 1),
  );
  assert.equal(prepared.length, 1);
});

test('that this process stood still is not taken for a silence of the server', { skip }, async (t) => {
  const { url } = await startRedis(t);
  const { servers, prepared } = openForTest(t, url, { suspectAfterMs: 50, hungAfterMs: 300 });
  const shard = servers.shard('a');
  await shard.call(['PING']);
  // As when the whole machine stood still: the answer comes some time after this process goes on.
  const sentAtMs = performance.now();
  const inHand = shard.call(['DEBUG', 'SLEEP', '0.6']);
  await until('the watch has looked', () => performance.now() - sentAtMs > 30);
  for (const startMs = performance.now(); performance.now() - startMs < 500; );
  assert.equal(String(await inHand), 'OK');
  assert.equal(prepared.length, 1);
});

test('calls of one turn leave together', { skip }, async (t) => {
  const { url, server } = await startRedis(t);
  const shard = openForTest(t, url).servers.shard('a');
  await shard.call(['PING']);
  const reads = async (): Promise<number> => Number(await server.info('stats', 'total_reads_processed'));
  const before = await reads();
  await Promise.all(Array.from({ length: 500 }, () => shard.call(['PING'])));
  // The question for the number is some itself.
  assert.ok((await reads()) - before < 10);
});

test('messages arrive, and after each new connection the listener is told that some may be missing', {
  skip,
}, async (t) => {
  const { url, server } = await startRedis(t);
  const { servers } = openForTest(t, url);
  const shard = servers.shard('a');
  const heard: (string | undefined)[] = [];
  const stop = shard.subscribe('{a}wake', (message) => heard.push(message?.toString()));
  await until('it is subscribed', () => heard.length === 1);
  const second: (string | undefined)[] = [];
  const stopSecond = shard.subscribe('{a}wake', (message) => second.push(message?.toString()));
  await until('so is the second listener', () => second.length === 1);
  assert.equal(await shard.call(['SPUBLISH', '{a}wake', 'one']), 1);
  await until('the message', () => heard.length === 2 && second.length === 2);
  stopSecond();
  await server.restart();
  await until('it is subscribed again', () => heard.length === 3);
  assert.equal(await shard.call(['SPUBLISH', '{a}wake', 'two']), 1);
  await until('the next message', () => heard.length === 4);
  assert.deepEqual(heard, [undefined, 'one', undefined, 'two']);
  assert.deepEqual(second, [undefined, 'one']);
  stop();
  await until('nobody listens', async () => (await shard.call(['SPUBLISH', '{a}wake', 'three'])) === 0);
});

test('the replicas that have everything are counted', { skip }, async (t) => {
  const { url, servers: processes } = await startRedis(t, { replicas: 1 });
  const shard = openForTest(t, url, { suspectAfterMs: 100, hungAfterMs: 300 }).servers.shard('a');
  assert.equal(await shard.replicas(), 1);
  const [, replicas] = await Promise.all([shard.call(['INCR', '{a}n']), shard.waitForReplicas(1, 1000)]);
  assert.equal(replicas, 1);
  assert.equal(await processes[1]?.call('GET', '{a}n'), '1');
  processes[1]?.pause();
  t.after(() => processes[1]?.resume());
  // Longer than a server may be silent: this silence is asked for.
  const [, late] = await Promise.all([shard.call(['INCR', '{a}n']), shard.waitForReplicas(1, 600)]);
  assert.equal(late, 0);
});

test('nobody is told that replicas have what another server got', { skip }, async (t) => {
  const { url, server } = await startRedis(t, { replicas: 1 });
  const { servers, prepared } = openForTest(t, url);
  const shard = servers.shard('a');
  await shard.call(['INCR', '{a}n']);
  await server.restart({ empty: true });
  await until('it is connected again', () => prepared.length === 2);
  await assert.rejects(shard.waitForReplicas(1, 1000), { code: 'TANDEM_STORE_UNREACHABLE' });
});

test('a wrong password, a wrong database, a wrong kind of server are told at once, and in the log', {
  skip,
}, async (t) => {
  const { server } = await startRedis(t, { password: 'right' });
  const refused = async (url: string, words: RegExp, event: string): Promise<void> => {
    const { servers, events } = openForTest(t, url, { unreachableAfterMs: 3000 });
    await assert.rejects(servers.shard('a').call(['PING']), (error: TandemError) => {
      assert.ok(error instanceof TandemError);
      assert.doesNotMatch(error.message, /no master for/);
      assert.match(error.message, words);
      assert.doesNotMatch(error.message, /secret/);
      return true;
    });
    assert.deepEqual(events, [event]);
  };
  const { address } = server;
  await refused(`redis://:secret@${address}`, /refuses: WRONGPASS/, 'error redis_refused WRONGPASS');
  await refused(`redis://${address}`, /refuses: NOAUTH/, 'error redis_refused NOAUTH');
  await refused(`redis://:right@${address}/99`, /DB index is out of range/, 'error redis_refused ERR');
});

test('a preparation that fails: who waits is told, and it is tried again', { skip }, async (t) => {
  const { url } = await startRedis(t);
  let attempts = 0;
  const servers = openRedisServers({
    url: parseRedisUrl(url),
    logger: silentLogger,
    prepare: async (_tag, call) => {
      if (++attempts === 1) await call(['NONSENSE']);
    },
  });
  t.after(() => servers.close());
  const shard = servers.shard('a');
  await assert.rejects(shard.call(['PING']), { name: 'RedisReplyError', code: 'ERR' });
  assert.equal(String(await shard.call(['PING'])), 'PONG');
  assert.equal(attempts, 2);
});

test('after close calls are rejected, and nothing keeps the process alive', { skip }, async (t) => {
  const { url, server } = await startRedis(t);
  const { servers } = openForTest(t, url);
  const shard = servers.shard('a');
  shard.subscribe('{a}wake', () => {});
  await shard.call(['PING']);
  await until('both connections are there', async () => (await server.info('clients', 'connected_clients')) === '3');
  const inHand = shard.call(['PING']);
  const closing = servers.close();
  await assert.rejects(inHand, { code: 'TANDEM_STORE_UNREACHABLE' });
  await closing;
  await servers.close();
  await assert.rejects(shard.call(['PING']), { code: 'TANDEM_STORE_UNREACHABLE' });
  await assert.rejects(servers.shard('new').call(['PING']), { code: 'TANDEM_STORE_UNREACHABLE' });
  await until('both are gone', async () => (await server.info('clients', 'connected_clients')) === '1');
  await until('no socket is left', () => !process.getActiveResourcesInfo().includes('TCPSocketWrap'));
});
