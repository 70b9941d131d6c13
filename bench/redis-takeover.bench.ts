/**
 * Two nodes, active-standby, over leases of a Redis server, each with data of its own, as if on two hosts: the keeper of the active one is killed
 * with -9, which its undertaker proves to be its end; or all its processes are stopped for good, as if its host were cut off. Measured is the time
 * from the fault to the first ack of the other.
 */
import { pause } from '../chaos/producers/producer.ts';
import { missingRedis } from '../src/core/testing/redis-servers/installed.ts';
import { until } from '../src/core/testing/until.ts';
import { nextAckMs } from './load/next-ack.ts';
import { atMost, type Bench, type Measure, median, type Say } from './measure.ts';
import { startEverysecRedis } from './redis/everysec-redis.ts';
import { RedisNodes } from './redis/redis-nodes.ts';

export interface RedisTakeoverRounds {
  readonly kills: number;
  readonly cuts: number;
  readonly ttlMs: number;
  /** After the standby is ready. */
  readonly calmMs: number;
}

const ROUNDS: RedisTakeoverRounds = { kills: 10, cuts: 10, ttlMs: 4000, calmMs: 3000 };
const PROVEN_MS_MAX = 200;
const CUT_MS_MAX_OVER_TTL = 500;
const SETTLED_WITHIN_MS = 60_000;

type Node = RedisNodes['nodes'][number];

export const redisTakeoverBench: Bench = async (say) => {
  const reason = missingRedis();
  if (reason === false) return measureRedisTakeovers(say, ROUNDS);
  say(`SKIPPED: ${reason}`);
  return [];
};

export async function measureRedisTakeovers(say: Say, rounds: RedisTakeoverRounds): Promise<readonly Measure[]> {
  const { kills, cuts, ttlMs, calmMs } = rounds;
  const redis = await startEverysecRedis();
  const config = `cluster: { mode: active-standby, ttlMs: ${ttlMs}, minTenureMs: 100, takeoversMax: 1000 }`;
  const pair = await RedisNodes.create({ url: redis.url, nodes: 2, workers: 2, config });
  const repeat = async (count: number, what: string, harm: (active: Node) => void): Promise<number[]> => {
    const times: number[] = [];
    for (let i = 0; i < count; i++) {
      const { active, standby } = await settled(pair.nodes);
      await pause(calmMs);
      harm(active);
      times.push(await nextAckMs(standby.ports.lines));
      say(`${what} ${i + 1} of ${count}: ${(times.at(-1) as number).toFixed(0)} ms`);
      // Never before the takeover: only now it comes back, as a host that is started again.
      await active.killAll();
    }
    return times;
  };
  try {
    const killed = await repeat(kills, 'kill', (active) => void active.killKeeper());
    const cut = await repeat(cuts, 'cut', (active) => active.hang());
    return measuresOf(killed, cut, ttlMs);
  } finally {
    await pair.discard();
    await redis.stop();
  }
}

/** Starts what is down. */
async function settled(nodes: readonly Node[]): Promise<{ readonly active: Node; readonly standby: Node }> {
  const found = await until(
    () =>
      `one node is active and the other ready to take over:\n${nodes.map((node) => node.output().slice(-1500)).join('\n')}`,
    async () => {
      for (const node of nodes) if (!node.isRunning) node.spawn();
      const statuses = await Promise.all(nodes.map((node) => node.status().catch(() => undefined)));
      const active = statuses.findIndex((status) => status?.role === 'active' && status.isReady);
      const standby = statuses.findIndex((status) => status?.role === 'standby');
      return active !== -1 && standby !== -1 ? { active: nodes[active], standby: nodes[standby] } : undefined;
    },
    SETTLED_WITHIN_MS,
  );
  return found as { active: Node; standby: Node };
}

function measuresOf(killed: readonly number[], cut: readonly number[], ttlMs: number): Measure[] {
  return [
    ...figures('redis-takeover, keeper of the active node killed', killed, PROVEN_MS_MAX),
    ...figures('redis-takeover, active node cut off', cut, ttlMs + CUT_MS_MAX_OVER_TTL),
  ];
}

function figures(name: string, rounds: readonly number[], boundMs: number): Measure[] {
  if (rounds.length === 0) return [];
  const value = Math.max(...rounds);
  const worst = `${name}: first ack of the other, worst of ${rounds.length}`;
  return [
    { name: worst, unit: 'ms', value, rounds, bound: atMost(value, boundMs, 'ms') },
    { name: 'the same, median', unit: 'ms', value: median(rounds) },
  ];
}
