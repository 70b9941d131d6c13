import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../until.ts';
import { missingRedis } from './installed.ts';
import { startCluster } from './start-cluster.ts';

test('a cluster fails over when a master is killed, and moves slots', { skip: missingRedis() }, async (t) => {
  const startMs = performance.now();
  const cluster = await startCluster(t, { masters: 3, replicasPerMaster: 1, nodeTimeoutMs: 800 });
  t.diagnostic(`ready after ${Math.round(performance.now() - startMs)} ms`);
  const owner = await cluster.ownerOf(0);
  assert.equal(owner, cluster.servers[0]);
  const slot = Number(await owner.call('CLUSTER', 'KEYSLOT', '{06S}'));
  const before = await cluster.ownerOf(slot);
  await before.call('SET', '{06S}name', 'value');
  const target = cluster.servers.slice(0, 3).find((server) => server !== before) ?? assert.fail();
  await cluster.migrate(slot, target);
  assert.equal(await cluster.ownerOf(slot), target);
  assert.equal(await target.call('GET', '{06S}name'), 'value');
  await target.kill();
  const promoted = await until('another serves the slot', () => cluster.ownerOf(slot).catch(() => undefined));
  assert.equal(promoted?.port, cluster.servers[cluster.servers.indexOf(target) + 3]?.port);
  await target.restart();
  await cluster.settled(3);
  assert.equal(await target.role(), 'replica');
});
