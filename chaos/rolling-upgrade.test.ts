/** The recipe of docs/high-availability.md, under load: every node is stopped and started once, and nobody notices more than a pause. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../src/core/testing/until.ts';
import { ClusterUnderTest } from './cluster-under-test.ts';
import { Values } from './evidence/values.ts';
import type { NodeUnderTest } from './node-under-test.ts';
import { TcpProducer } from './producers/tcp-producer.ts';
import { readLog } from './read-back.ts';

const WITHIN_MS = 30_000;

test('a rolling upgrade loses nothing and stores nothing twice', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-upgrade-'));
  const cluster = await ClusterUnderTest.create({
    ...{ folder, dataFolder: join(folder, 'data'), nodes: 3, workers: 1, extraConfig: '' },
    ...{ heartbeatTimeoutMs: 2000, workerHeartbeatTimeoutMs: 5000 },
  });
  t.after(async () => {
    await cluster.killAll();
    rmSync(folder, { recursive: true, force: true });
  });
  await cluster.start();
  const values = new Values();
  const load = {
    port: cluster.ports.lines,
    framing: 'line',
    hasSequence: true,
    inFlight: 16,
    recordsPerSecond: 500,
  } as const;
  const producers = ['p1', 'p2'].map((name) => new TcpProducer({ name, values, ...load }).start());

  const first = await settled(cluster);
  for (const standby of cluster.nodes.filter((node) => node !== first)) await upgrade(cluster, standby);
  const response = await fetch(`http://127.0.0.1:${first.ports.admin}/admin/v1/switchover`, { method: 'POST' });
  assert.equal(response.status, 200, await response.clone().text());
  const { recordsLost } = (await response.json()) as { recordsLost: number };
  assert.equal(recordsLost, 0);
  await upgrade(cluster, first);
  assert.notEqual(await settled(cluster), first, 'no fail-back');

  await Promise.all(producers.map((producer) => producer.stop()));
  const log = await readLog(`http://127.0.0.1:${cluster.ports.http}`, values);
  const stored = [...log.values()].flatMap((codes) => Array.from({ length: codes.length }, (_, i) => codes.at(i)));
  assert.equal(new Set(stored).size, stored.length, 'nothing twice');
  for (const { history } of producers) {
    assert.ok(history.acked > 0);
    for (let sequence = 1; sequence <= history.lastSequence; sequence++) {
      const place = history.placeOf(sequence);
      if (place === undefined || place.offset === -1) continue;
      assert.equal(log.get(place.partition)?.at(place.offset), history.codeOf(sequence), `${history.name}:${sequence}`);
    }
  }
  assert.deepEqual(
    producers.flatMap(({ complaints }) => complaints),
    [],
  );
});

async function upgrade(cluster: ClusterUnderTest, node: NodeUnderTest): Promise<void> {
  assert.equal(await node.stop(), 0);
  node.spawn();
  await settled(cluster);
}

/** One node is active, the others could take over. */
async function settled({ nodes }: ClusterUnderTest): Promise<NodeUnderTest> {
  const isSettled = async (): Promise<NodeUnderTest | undefined> => {
    const statuses = await Promise.all(nodes.map((node) => node.status().catch(() => undefined)));
    const active = statuses.findIndex((status) => status?.role === 'active' && status.isReady);
    const ready = statuses[active]?.cluster.peers.filter(({ facts }) => facts.isReady).length ?? 0;
    return ready === nodes.length - 1 ? nodes[active] : undefined;
  };
  return (await until('the cluster is settled', isSettled, WITHIN_MS)) as NodeUnderTest;
}
