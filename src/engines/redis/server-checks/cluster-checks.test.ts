/** Each check of a Redis Cluster sees a real one whose settings are bad, and a good one. */
import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { type TestContext, test } from 'node:test';
import { freePorts } from '../../../core/testing/redis-servers/free-ports.ts';
import { missingRedis } from '../../../core/testing/redis-servers/installed.ts';
import { ServerGroup } from '../../../core/testing/redis-servers/server-group.ts';
import type { ServerProcess } from '../../../core/testing/redis-servers/server-process.ts';
import { startCluster } from '../../../core/testing/redis-servers/start-cluster.ts';
import { until } from '../../../core/testing/until.ts';
import { assertCheck, checksOf, named, set } from './checking.fixture.ts';

const skip = missingRedis();
const OUTER_HOST = Object.values(networkInterfaces())
  .flat()
  .find((address) => address?.internal === false && address.family === 'IPv4')?.address;
const SLOT_LAST = 16_383;

const GOOD = ['cluster-require-full-coverage no', 'appendonly yes', 'maxmemory 200mb', 'repl-backlog-size 64mb'];

/** A node of its own, which is a cluster when it has slots. */
async function startNode(t: TestContext, config: readonly string[] = []): Promise<ServerProcess> {
  const group = new ServerGroup({ config: [...GOOD, ...config] }, t);
  const [port = 0, busPort] = await freePorts(2);
  return group.startServer({ index: 0, port }, ['cluster-enabled yes', `cluster-port ${busPort}`]);
}

test('three masters with a replica each: good, and each setting that is bad', { skip }, async (t) => {
  const cluster = await startCluster(t, { config: GOOD, nodeTimeoutMs: 500 });
  const { servers: nodes, url } = cluster;
  const first = nodes[0] as ServerProcess;

  await t.test('good', async () => {
    const checks = await checksOf(url);
    assert.deepEqual(
      checks.filter(({ result }) => result !== 'ok'),
      [],
    );
    assert.equal(checks.filter(({ name }) => name === 'redis version').length, 6);
    assert.match(named(checks, 'cluster timing').finding, /takes about 2\.5 s, and leases outlive 2\.8 s/);
    assert.match(named(checks, 'redis min-replicas', first.address).finding, /stops by itself/);
  });
  await t.test('cluster-node-timeout, coverage, replicas that may not take over', async () => {
    await set(first, 'cluster-node-timeout 15000');
    assertCheck(named(await checksOf(url), 'cluster timing'), 'warning', /about 17 s, but leases outlive only 2\.8 s/);
    const short = named(await checksOf(url, { windowMs: 15_000 }), 'cluster timing');
    assertCheck(short, 'warning', /keep what it confirmed only for 15 s/);
    await set(first, 'cluster-node-timeout 500, cluster-require-full-coverage yes');
    assertCheck(named(await checksOf(url), 'cluster coverage'), 'warning', /stops all partitions/);
    await set(first, 'cluster-require-full-coverage no, cluster-replica-no-failover yes');
    assertCheck(named(await checksOf(url), 'cluster replicas'), 'failed', /no replica takes over by itself/);
    await set(first, 'cluster-replica-no-failover no');
  });
  await t.test('a promoted replica would refuse writes', async () => {
    await set(first, 'min-replicas-to-write 1');
    const check = named(await checksOf(url), 'redis min-replicas', first.address);
    assertCheck(check, 'warning', /after a failover the new master has one fewer/);
    await set(first, 'min-replicas-to-write 0');
  });
  await t.test('settings that are not told', async () => {
    for (const node of nodes) await node.call('ACL', 'SETUSER', 'tandem', 'on', '>x', '~*', '&*', '+@all', '-config');
    const checks = await checksOf(url.replace('://', '://tandem:x@'));
    for (const name of ['cluster timing', 'cluster coverage'])
      assertCheck(named(checks, name), 'warning', /^not known/);
  });
  await t.test('slots that nobody serves', async () => {
    await first.call('CLUSTER', 'DELSLOTS', '0');
    assertCheck(named(await checksOf(url), 'cluster state'), 'failed', /16383 of 16384 slots are assigned/);
    await first.call('CLUSTER', 'ADDSLOTS', '0');
  });
  await t.test('a replica dies, then its master', async () => {
    const replica = nodes[3] as ServerProcess;
    await replica.kill();
    await until('that is noticed', async () => named(await checksOf(url), 'cluster replicas').result === 'failed');
    const alone = new RegExp(`without a replica that answers: ${first.address}`);
    assertCheck(named(await checksOf(url), 'cluster replicas'), 'failed', alone);
    await first.kill();
    await until('that is noticed', async () => named(await checksOf(url), 'cluster state').result === 'failed');
    const dead = await checksOf(url);
    assertCheck(named(dead, 'cluster node', first.address), 'failed', /cannot be asked: ECONNREFUSED/);
    assertCheck(named(dead, 'cluster masters'), 'failed', new RegExp(`do not answer: ${first.address}`));
    assertCheck(named(dead, 'cluster state'), 'failed', /with a master that does not answer/);
  });
});

test('a cluster of one master, and a server that is no cluster', { skip }, async (t) => {
  const node = await startNode(t);
  await node.call('CLUSTER', 'ADDSLOTSRANGE', '0', String(SLOT_LAST));
  const checks = await checksOf(`redis+cluster://${node.address}`);
  assertCheck(named(checks, 'cluster masters'), 'failed', /1 masters with slots: a failover needs the votes/);
  assertCheck(named(checks, 'cluster replicas'), 'failed', /without a replica/);
  assertCheck(named(checks, 'redis replicas'), 'failed', /nobody can take over/);
  const group = new ServerGroup({}, t);
  const [port = 0] = await freePorts(1);
  const plain = await group.startServer({ index: 0, port });
  assertCheck(
    named(await checksOf(`redis+cluster://${plain.address}`), 'cluster node'),
    'failed',
    /cluster support disabled/,
  );
});

test('nodes that are known to other machines by a loopback address', {
  skip: skip || (OUTER_HOST === undefined && 'this machine has no address but loopback'),
}, async (t) => {
  const config = ['bind * -::*', 'protected-mode no', 'cluster-announce-ip 127.0.0.1'];
  const node = await startNode(t, config);
  const checks = await checksOf(`redis+cluster://${OUTER_HOST}:${node.port}`);
  assertCheck(named(checks, 'cluster addresses'), 'failed', /every machine looks for them on itself/);
});
