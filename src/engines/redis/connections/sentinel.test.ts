import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { missingRedis } from '../../../core/testing/redis-servers/installed.ts';
import type { ServerProcess } from '../../../core/testing/redis-servers/server-process.ts';
import { startSentinel } from '../../../core/testing/redis-servers/start-sentinel.ts';
import { until } from '../../../core/testing/until.ts';
import { openForTest } from './connections.fixture.ts';
import { Drip, judgeDrip } from './drip.fixture.ts';

const skip = missingRedis();
const DOWN_AFTER_MS = 500;

async function startForTest(t: TestContext, { replicas = 1 } = {}) {
  const sentinel = await startSentinel(t, { replicas, downAfterMs: DOWN_AFTER_MS });
  const [first, second] = sentinel.servers as [ServerProcess, ServerProcess];
  const opened = openForTest(t, sentinel.url);
  return { sentinel, first, second, ...opened, shard: opened.servers.shard('a') };
}

const stored = async (server: ServerProcess, key: string): Promise<number[]> =>
  ((await server.call('LRANGE', key, '0', '-1')) as readonly string[]).map(Number);

test('the master is found, and who else there is', { skip }, async (t) => {
  const { servers, shard, prepared } = await startForTest(t);
  assert.equal(String(await shard.call(['PING'])), 'PONG');
  assert.match(await servers.identity(), /^(redis|valkey) \S+ sentinel \(1 replica, 3 sentinels\)$/);
  assert.deepEqual(
    prepared.map(({ tag, configEpoch, replicas }) => [tag, configEpoch, replicas]),
    [['a', 0, 1]],
  );
  await servers.close();
  await until('no socket is left', () => !process.getActiveResourcesInfo().includes('TCPSocketWrap'));
});

for (const fault of ['kill', 'pause'] as const)
  test(`${fault} of the master: calls wait, and are executed once by the promoted replica`, { skip }, async (t) => {
    const { first, second, prepared, shard } = await startForTest(t);
    const heard: unknown[] = [];
    shard.subscribe('{a}wake', (message) => heard.push(message));
    const drip = new Drip(t, shard);
    await drip.more();
    t.after(() => first.resume());
    if (fault === 'kill') await first.kill();
    else first.pause();
    const ackedBefore = drip.lastAcked;
    await drip.more();
    await until('the subscription has moved', () => heard.length === 2);
    const sentBefore = drip.lastAcked;
    if (fault === 'pause') first.resume();
    await drip.more(100);
    const result = await drip.stop();
    const { longestGapMs, slowestMs, unknown, refused } = result;
    t.diagnostic(`${fault}: longest gap ${longestGapMs} ms, slowest call ${slowestMs} ms, unknown ${unknown.length}`);
    judgeDrip(await stored(second, drip.key), result, ackedBefore + 1);
    assert.deepEqual(refused, []);
    assert.ok(slowestMs < 4000, 'a call is settled within a bound');
    assert.deepEqual(
      prepared.map(({ configEpoch }) => configEpoch),
      [0, 1],
    );
    assert.notEqual(prepared[0]?.incarnation, prepared[1]?.incarnation);
    if (fault === 'kill') return;
    // What was on its way when it was paused it executes, and nothing after that.
    assert.ok(Math.max(...(await stored(first, drip.key))) < sentBefore);
  });

test('a planned switch costs a pause; the former master is left when it says that it is one no more', {
  skip,
}, async (t) => {
  const { sentinel, second, prepared, shard } = await startForTest(t);
  const drip = new Drip(t, shard);
  await drip.more();
  await sentinel.sentinels[0]?.call('SENTINEL', 'FAILOVER', sentinel.masterName);
  await until('the replica is prepared', () => prepared.length === 2);
  const ackedBefore = drip.lastAcked;
  await drip.more(100);
  const result = await drip.stop();
  t.diagnostic(`longest gap ${result.longestGapMs} ms, unknown ${result.unknown.length}`);
  judgeDrip(await stored(second, drip.key), result, ackedBefore + 1);
  assert.deepEqual(result.refused, []);
});

test('without Sentinels the master goes on, also over a new connection', { skip }, async (t) => {
  const { sentinel, first, prepared, shard } = await startForTest(t);
  await shard.call(['PING']);
  await Promise.all(sentinel.sentinels.map((one) => one.kill()));
  await first.call('CLIENT', 'KILL', 'TYPE', 'normal');
  await until('it is connected again', () => prepared.length === 2);
  assert.equal(await shard.call(['INCR', '{a}n']), 1);
  assert.equal(prepared[0]?.incarnation, prepared[1]?.incarnation);
});

test('a replica that was promoted is used before any Sentinel says so', { skip }, async (t) => {
  const { sentinel, first, second, prepared, shard } = await startForTest(t);
  t.after(() => first.resume());
  await shard.call(['PING']);
  await Promise.all(sentinel.sentinels.map((one) => one.kill()));
  first.pause();
  await second.call('REPLICAOF', 'NO', 'ONE');
  await until('it is prepared', () => prepared.length === 2);
  assert.equal(await shard.call(['INCR', '{a}n']), 1);
  assert.equal(await second.call('GET', '{a}n'), '1');
  assert.equal(prepared[1]?.configEpoch, 1);
});

test("a server that says it is master, but whose history is not the lost one's, is not written to", {
  skip,
}, async (t) => {
  const { sentinel, first, second, shard } = await startForTest(t);
  t.after(() => first.resume());
  await shard.call(['PING']);
  await Promise.all(sentinel.sentinels.map((one) => one.kill()));
  first.pause();
  await second.call('DEBUG', 'CHANGE-REPL-ID');
  await second.call('REPLICAOF', 'NO', 'ONE');
  const waiting = shard.call(['INCR', '{a}n']);
  await until('it is asked', async () => Number(await second.info('clients', 'connected_clients')) > 1);
  const asked = Number(await second.info('stats', 'total_commands_processed'));
  await until(
    'it is asked often',
    async () => Number(await second.info('stats', 'total_commands_processed')) > asked + 20,
  );
  assert.equal(await second.call('EXISTS', '{a}n'), 0);
  first.resume();
  // Sent before the silence was noticed: executed; or held: executed too.
  assert.equal(await waiting, 1);
});

test('Sentinels that do not know the name, and servers that are none, are told at once', { skip }, async (t) => {
  const { sentinel, first } = await startForTest(t);
  const refused = async (url: string, words: RegExp): Promise<void> => {
    const { servers, events } = openForTest(t, url);
    await assert.rejects(servers.shard('a').call(['PING']), { code: 'TANDEM_CONFIG_INVALID', message: words });
    assert.equal(events[0], 'error redis_refused TANDEM_CONFIG_INVALID');
  };
  const [one = assert.fail()] = sentinel.sentinels;
  await refused(`redis+sentinel://${one.address}/other`, /knows no master named "other"/);
  await refused(`redis+sentinel://${first.address}/main`, /is no Sentinel/);
  await refused(`redis://${one.address}`, /is a Sentinel: redis\+sentinel:/);
});
