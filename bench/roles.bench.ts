/**
 * What roles and terms cost: the same ingest load against a node alone, and against the active node of a cluster with two standbys that wait on the
 * same machine; rounds alternate.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClusterUnderTest } from '../chaos/cluster-under-test.ts';
import { until } from '../src/core/testing/until.ts';
import { runLoadProcess } from './load/run-load.ts';
import { atLeast, type Bench, median } from './measure.ts';

const ROUNDS = 7;
const LOAD = {
  connections: 50,
  inFlight: 64,
  recordBytes: 200,
  seconds: 3,
  warmUpSeconds: 1,
  protocol: 'lines',
} as const;
/** Standbys warm up by themselves for a moment after they are ready. */
const CALM_MS = 1500;

export const rolesBench: Bench = async (say) => {
  const rates: { [nodes: number]: number[] } = { 1: [], 3: [] };
  for (let round = 1; round <= ROUNDS; round++) {
    // Whoever comes second finds the machine as the first has left it.
    for (const nodes of round % 2 === 0 ? [1, 3] : [3, 1]) {
      say(`${nodes} node(s), round ${round} of ${ROUNDS}`);
      (rates[nodes] as number[]).push(await rateOf(nodes));
    }
  }
  const [alone, active] = [rates[1] as number[], rates[3] as number[]];
  const ratio = median(active.map((rate, i) => rate / (alone[i] as number)));
  return [
    {
      name: `tcp lines ${LOAD.connections} x ${LOAD.inFlight}, active of three nodes`,
      unit: 'acked records/s',
      value: median(active),
      rounds: active,
      peer: { name: 'a node alone', value: median(alone) },
      ratio,
    },
    { name: 'the same, against a node alone', unit: 'x', value: ratio, bound: atLeast(ratio, 0.98, 'x') },
  ];
};

async function rateOf(nodes: number): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-bench-'));
  const cluster = await ClusterUnderTest.create({
    ...{ folder, dataFolder: join(folder, 'data'), nodes, workers: 2, extraConfig: '' },
    ...{ heartbeatTimeoutMs: 1000, workerHeartbeatTimeoutMs: 3000 },
  });
  try {
    await cluster.start();
    await until(
      'all could take over',
      async () => {
        const statuses = await Promise.all(cluster.nodes.map((node) => node.status().catch(() => undefined)));
        const active = statuses.find((status) => status?.isReady);
        return active?.cluster.peers.filter(({ facts }) => facts.isReady).length === nodes - 1;
      },
      30_000,
    );
    await new Promise((resolve) => setTimeout(resolve, CALM_MS));
    return (await runLoadProcess({ ...LOAD, port: cluster.ports.lines })).perSecond;
  } finally {
    await cluster.killAll();
    rmSync(folder, { recursive: true, force: true });
  }
}
