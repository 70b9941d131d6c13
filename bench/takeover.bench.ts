/**
 * Three nodes on one data folder, under load: the active one is killed whole with -9, stopped whole, or told to hand over, again and
 * again. Measured is what a client sees: from the fault to the first ack, or the longest time without an ack around a switchover.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClusterUnderTest } from '../chaos/cluster-under-test.ts';
import { Values } from '../chaos/evidence/values.ts';
import type { NodeUnderTest } from '../chaos/node-under-test.ts';
import { pause } from '../chaos/producers/producer.ts';
import { TcpProducer } from '../chaos/producers/tcp-producer.ts';
import { until } from '../src/core/testing/until.ts';
import { nextAckMs } from './load/next-ack.ts';
import { atMost, type Bench, type Measure, median, percentile, type Say } from './measure.ts';

export interface TakeoverRounds {
  readonly kills: number;
  readonly hangs: number;
  readonly switchovers: number;
}

const ROUNDS: TakeoverRounds = { kills: 100, hangs: 10, switchovers: 50 };
const HEARTBEAT_TIMEOUT_MS = 1000;
/** After the standbys are ready: what a start costs, their own warm-up included, is over. */
const CALM_MS = 3000;
/** Clients that try again all the time would take the machine from whoever takes over; the probe does. */
const RECONNECT_MS = 20;
const SETTLED_WITHIN_MS = 30_000;
const LOAD = { producers: 4, recordsPerSecond: 2500, inFlight: 64 };

export const takeoverBench: Bench = (say) => measureTakeovers(say, ROUNDS);

export async function measureTakeovers(say: Say, rounds: TakeoverRounds): Promise<readonly Measure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-bench-'));
  const cluster = await ClusterUnderTest.create({
    ...{ folder, dataFolder: join(folder, 'data'), nodes: 3, workers: 2, extraConfig: '' },
    ...{ heartbeatTimeoutMs: HEARTBEAT_TIMEOUT_MS, workerHeartbeatTimeoutMs: 3000 },
  });
  try {
    await cluster.start();
    const producers = startLoad(cluster);
    const kills = await repeat(rounds.kills, 'kill', say, cluster, async (active) => {
      void active.killAll();
      return nextAckMs(cluster.ports.lines);
    });
    const hangs = await repeat(rounds.hangs, 'hang', say, cluster, async (active) => {
      active.hang();
      return nextAckMs(cluster.ports.lines);
    });
    const switchovers = await repeat(rounds.switchovers, 'switchover', say, cluster, (active) =>
      switchOver(cluster, active),
    );
    await Promise.all(producers.map((producer) => producer.stop()));
    return measuresOf(kills, hangs, switchovers);
  } finally {
    await cluster.killAll();
    rmSync(folder, { recursive: true, force: true });
  }
}

function startLoad({ ports }: ClusterUnderTest): TcpProducer[] {
  const { producers, ...pace } = LOAD;
  return Array.from({ length: producers }, (_, i) => {
    const options = {
      port: ports.lines,
      framing: 'line',
      hasSequence: true,
      reconnectMs: RECONNECT_MS,
      ...pace,
    } as const;
    return new TcpProducer({ name: `load-${i}`, values: new Values(), ...options }).start();
  });
}

/** Each round begins with one active node and two that are ready to take over. */
async function repeat(
  rounds: number,
  kind: string,
  say: Say,
  cluster: ClusterUnderTest,
  measure: (active: NodeUnderTest) => Promise<number>,
): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const active = await settled(cluster);
    await pause(CALM_MS);
    times.push(await measure(active));
    say(`${kind} ${i + 1} of ${rounds}: ${(times.at(-1) as number).toFixed(1)} ms`);
  }
  return times;
}

/** Starts again what is down. */
async function settled({ nodes }: ClusterUnderTest): Promise<NodeUnderTest> {
  let active: NodeUnderTest | undefined;
  await until(
    'one node is active and the others are ready to take over',
    async () => {
      for (const node of nodes) if (!node.isRunning) node.spawn();
      const statuses = await Promise.all(nodes.map((node) => node.status().catch(() => undefined)));
      active = nodes[statuses.findIndex((status) => status?.role === 'active' && status.isReady)];
      const own = statuses.find((status) => status?.role === 'active');
      return (
        active !== undefined && own?.cluster.peers.filter(({ facts }) => facts.isReady).length === nodes.length - 1
      );
    },
    SETTLED_WITHIN_MS,
  );
  return active as NodeUnderTest;
}

/** The longest time in which this client, one record in flight, got no ack. */
async function switchOver({ ports }: ClusterUnderTest, active: NodeUnderTest): Promise<number> {
  let isOver = false;
  let longestMs = 0;
  const client = (async () => {
    for (let ackedMs = performance.now(); !isOver; ) {
      await nextAckMs(ports.lines);
      longestMs = Math.max(longestMs, performance.now() - ackedMs);
      ackedMs = performance.now();
    }
  })();
  const response = await fetch(`http://127.0.0.1:${active.ports.admin}/admin/v1/switchover`, { method: 'POST' });
  if (response.status !== 200) throw new RangeError(`the switchover failed: ${await response.text()}`);
  isOver = true;
  await client;
  return longestMs;
}

function measuresOf(kills: readonly number[], hangs: readonly number[], switchovers: readonly number[]): Measure[] {
  const measure = (name: string, rounds: readonly number[], value: number, bound: number): Measure => {
    return { name, unit: 'ms', value, rounds, bound: atMost(value, bound, 'ms') };
  };
  const under = `${LOAD.producers * LOAD.recordsPerSecond} records/s`;
  return [
    measure(`active node killed under ${under}: first ack, median of ${kills.length}`, kills, median(kills), 30),
    measure(`the same, p99`, [], percentile(kills, 0.99), 100),
    measure(
      `active node stopped: first ack, worst of ${hangs.length}`,
      hangs,
      Math.max(...hangs),
      HEARTBEAT_TIMEOUT_MS + 200,
    ),
    measure(
      `switchover: pause of a client, p99 of ${switchovers.length}`,
      switchovers,
      percentile(switchovers, 0.99),
      300,
    ),
  ];
}
