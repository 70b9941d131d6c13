import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { missingRedis } from '../../../core/testing/redis-servers/installed.ts';
import type { ServerProcess } from '../../../core/testing/redis-servers/server-process.ts';
import { startCluster } from '../../../core/testing/redis-servers/start-cluster.ts';
import { startRedis } from '../../../core/testing/redis-servers/start-redis.ts';
import { until } from '../../../core/testing/until.ts';
import { openForTest } from './connections.fixture.ts';
import { Drip, judgeDrip } from './drip.fixture.ts';
import { hashSlot } from './hash-slot.ts';

const skip = missingRedis();
const NODE_TIMEOUT_MS = 800;
const SLOT = hashSlot('a');

async function startForTest(t: TestContext) {
  const cluster = await startCluster(t, { masters: 3, replicasPerMaster: 1, nodeTimeoutMs: NODE_TIMEOUT_MS });
  const opened = openForTest(t, cluster.url);
  const master = await cluster.ownerOf(SLOT);
  const replica = cluster.servers[cluster.servers.indexOf(master) + 3] as ServerProcess;
  return { cluster, master, replica, ...opened, shard: opened.servers.shard('a') };
}

const stored = async (server: ServerProcess, key: string): Promise<number[]> =>
  ((await server.call('LRANGE', key, '0', '-1')) as readonly string[]).map(Number);

test('each tag goes to the master of its slot; MOVED after a slot was moved is followed in order', {
  skip,
}, async (t) => {
  const { cluster, servers, shard, master, prepared } = await startForTest(t);
  const tags = ['b', 'c', 'd', 'e', 'f'];
  await Promise.all(tags.map((tag) => servers.shard(tag).call(['SET', `{${tag}}own`, tag])));
  for (const tag of tags) {
    const owner = await cluster.ownerOf(hashSlot(tag));
    assert.equal(hashSlot(tag), await owner.call('CLUSTER', 'KEYSLOT', `{${tag}}own`));
    assert.equal(await owner.call('GET', `{${tag}}own`), tag);
  }
  assert.match(await servers.identity(), /^(redis|valkey) \S+ cluster \(3 masters, 3 replicas\)$/);
  assert.equal(prepared.length, tags.length + 1);

  const heard: unknown[] = [];
  shard.subscribe('{a}wake', (message) => heard.push(message));
  const drip = new Drip(t, shard);
  await drip.more();
  const target = cluster.servers.slice(0, 3).find((server) => server !== master) as ServerProcess;
  await cluster.migrate(SLOT, target);
  await drip.more();
  await until('the subscription has moved', () => heard.length >= 2);
  assert.equal(await shard.call(['SPUBLISH', '{a}wake', 'x']), 1);
  const result = await drip.stop();
  t.diagnostic(`moved slot: longest gap ${result.longestGapMs} ms`);
  judgeDrip(await stored(target, drip.key), result, 0);
  assert.deepEqual([result.refused, result.unknown], [[], []]);
  assert.equal(prepared.filter(({ tag }) => tag === 'a').length, 2);
});

test('a call that was refused for now is made later, but not after one that came behind it', { skip }, async (t) => {
  const { cluster, master, servers, shard } = await startForTest(t);
  const target = cluster.servers.slice(0, 3).find((server) => server !== master) as ServerProcess;
  await shard.call(['SET', '{a}there', '1']);
  // A slot on its way: the server refuses what is not there (ASK), and executes what is.
  await target.call('CLUSTER', 'SETSLOT', String(SLOT), 'IMPORTING', cluster.idOf(master));
  await master.call('CLUSTER', 'SETSLOT', String(SLOT), 'MIGRATING', cluster.idOf(target));
  const refused = shard.call(['INCR', '{a}new']);
  const behind = shard.call(['INCR', '{a}there']);
  await assert.rejects(refused, { code: 'TANDEM_STORE_UNREACHABLE', data: { mayBeExecuted: false } });
  assert.equal(await behind, 2);
  const settled: string[] = [];
  const waiting = ['SETNX {a}new 0', 'INCR {a}there', 'INCR {a}new'].map(async (words) => {
    const reply = await shard.call(words.split(' '));
    settled.push(words);
    return reply;
  });
  // The second is executed, for it is the first that the server does not refuse: the first is rejected, the third waits.
  await assert.rejects(waiting[0] as Promise<unknown>, { code: 'TANDEM_STORE_UNREACHABLE' });
  assert.equal(await waiting[1], 3);
  await master.call('CLUSTER', 'SETSLOT', String(SLOT), 'STABLE');
  assert.equal(await waiting[2], 1);
  assert.deepEqual(settled, ['INCR {a}there', 'INCR {a}new']);
  await servers.close();
  await until('no socket is left', () => !process.getActiveResourcesInfo().includes('TCPSocketWrap'));
});

for (const fault of ['kill', 'pause'] as const)
  test(`${fault} of a master: calls wait, and are executed once by the promoted replica`, { skip }, async (t) => {
    const { cluster, master, replica, servers, shard, prepared } = await startForTest(t);
    const otherTag = ['b', 'c', 'd'].find((tag) => hashSlot(tag) < SLOT - 6000) ?? assert.fail();
    const heard: unknown[] = [];
    shard.subscribe('{a}wake', (message) => heard.push(message));
    const drip = new Drip(t, shard);
    const otherDrip = new Drip(t, servers.shard(otherTag));
    await drip.more();
    await otherDrip.more();
    t.after(() => master.resume());
    if (fault === 'kill') await master.kill();
    else master.pause();
    const ackedBefore = drip.lastAcked;
    await drip.more();
    await until('the subscription has moved', () => heard.length >= 2);
    const sentBefore = drip.lastAcked;
    if (fault === 'pause') master.resume();
    await drip.more(100);
    const result = await drip.stop();
    const other = await otherDrip.stop();
    const { longestGapMs, slowestMs, unknown, refused } = result;
    t.diagnostic(`${fault}: longest gap ${longestGapMs} ms, slowest call ${slowestMs} ms, unknown ${unknown.length}`);
    t.diagnostic(`another master's: longest gap ${other.longestGapMs} ms`);
    judgeDrip(await stored(replica, drip.key), result, ackedBefore + 1);
    assert.deepEqual(refused, []);
    assert.ok(slowestMs < 5000, 'a call is settled within a bound');
    judgeDrip(await stored(await cluster.ownerOf(hashSlot(otherTag)), otherDrip.key), other, 0);
    const [before, after, ...more] = prepared.filter(({ tag }) => tag === 'a');
    assert.ok(before !== undefined && after !== undefined && more.length === 0);
    assert.ok(after.configEpoch > before.configEpoch);
    assert.notEqual(before.incarnation, after.incarnation);
    if (fault === 'kill') return;
    // What was on its way when it was paused it may execute, and nothing after that: it copies its successor then.
    await until('the former master is a replica', async () => (await master.role()) === 'replica');
    assert.ok(sentBefore > ackedBefore);
  });

test('a server that is no cluster node is told at once', { skip }, async (t) => {
  const { server } = await startRedis(t);
  const { servers, events } = openForTest(t, `redis+cluster://${server.address}`);
  const words = /is not a node of a cluster: redis:/;
  await assert.rejects(servers.shard('a').call(['PING']), { code: 'TANDEM_CONFIG_INVALID', message: words });
  assert.equal(events[0], 'error redis_refused TANDEM_CONFIG_INVALID');
});
