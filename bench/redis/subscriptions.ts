/**
 * What subscriptions cost the Redis server: nodes with many WebSocket clients on one stream, a steady trickle of records, and the server's own
 * count of commands meanwhile. Every client must have got every record.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { NodeUnderTest, Ports } from '../../chaos/node-under-test.ts';
import { SUBSCRIBE } from '../fanout.bench.ts';
import { atMost, type Measure, type Say } from '../measure.ts';
import { type CommandCounts, commandCounts } from './command-counts.ts';
import { startEverysecRedis } from './everysec-redis.ts';
import { RedisNodes } from './redis-nodes.ts';

const IDLE_MAIN = fileURLToPath(new URL('../load/idle-main.ts', import.meta.url));
const PAYLOAD = 'p'.repeat(200);
/** Timers and pings fall into one measurement or another. */
const GROWTH_MAX = 1.2;

export interface SubscriptionsShape {
  readonly nodes: number;
  readonly subscriptions: readonly number[];
  readonly recordsPerSecond: number;
  readonly seconds: number;
  /** Until nothing more is asked because clients have come; and until what was published last has reached them. */
  readonly settleMs: number;
}

export const SUBSCRIPTIONS: SubscriptionsShape = {
  nodes: 2,
  subscriptions: [100, 1000, 10_000],
  recordsPerSecond: 20,
  seconds: 10,
  settleMs: 2000,
};

export async function measureSubscriptions(say: Say, shape: SubscriptionsShape): Promise<readonly Measure[]> {
  const { nodes, subscriptions } = shape;
  const few = subscriptions[0] as number;
  say(`1 node, ${few} subscriptions of one stream`);
  const alone = await countsWith({ ...shape, nodes: 1 }, few);
  const measures = measuresOf('1 node', few, alone);
  let first: CommandCounts | undefined;
  for (const count of subscriptions) {
    say(`${nodes} nodes, ${count} subscriptions of one stream`);
    const counts = await countsWith(shape, count);
    first ??= counts;
    measures.push(...measuresOf(`${nodes} nodes`, count, counts));
    if (count !== subscriptions.at(-1)) continue;
    const growth = counts.calls / first.calls;
    const name = `redis, ${nodes} nodes: commands with ${count} subscriptions against ${few}`;
    measures.push({ name, unit: 'x', value: growth, bound: atMost(growth, GROWTH_MAX, 'x') });
  }
  return measures;
}

/** Per second. */
async function countsWith(shape: SubscriptionsShape, subscriptions: number): Promise<CommandCounts> {
  const redis = await startEverysecRedis();
  const { nodes: count } = shape;
  const config = `topics: { data_queue: { partitions: 1 } }\n${count > 1 ? 'cluster: { mode: active-active }' : ''}`;
  const started = await RedisNodes.create({ url: redis.url, nodes: count, workers: 1, config });
  const { nodes } = started;
  const clients: ChildProcess[] = [];
  try {
    await Promise.all(nodes.map((node) => node.start()));
    const each = Math.floor(subscriptions / count);
    for (const { ports } of nodes) clients.push(await listen(ports, each));
    await pause(shape.settleMs);
    const before = await commandCounts(redis.server);
    const published = await publish((nodes[0] as NodeUnderTest).ports, shape);
    const after = await commandCounts(redis.server);
    await pause(shape.settleMs);
    const delivered = (await Promise.all(clients.map(deliveries))).reduce((sum, count) => sum + count, 0);
    if (delivered !== published * each * count)
      throw new RangeError(`${published} records to ${each * count} clients gave ${delivered} deliveries`);
    const rate = (of: (counts: CommandCounts) => number): number => (of(after) - of(before)) / shape.seconds;
    return { calls: rate((c) => c.calls), reads: rate((c) => c.reads), bytesSent: rate((c) => c.bytesSent) };
  } finally {
    for (const client of clients) client.kill('SIGKILL');
    await started.discard();
    await redis.stop();
  }
}

async function listen({ http }: Ports, clients: number): Promise<ChildProcess> {
  const target = { port: http, path: '/ws', clients, greeting: SUBSCRIBE, answers: 1 };
  const child = spawn(process.execPath, [IDLE_MAIN, JSON.stringify(target)], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return child;
}

async function deliveries(client: ChildProcess): Promise<number> {
  const said = once(client.stdout as NonNullable<ChildProcess['stdout']>, 'data') as Promise<[Buffer]>;
  client.stdin?.end();
  return Number((await said)[0].toString());
}

/** Returns how many records. */
async function publish({ lines }: Ports, { recordsPerSecond, seconds }: SubscriptionsShape): Promise<number> {
  const socket = connect(lines, '127.0.0.1').setNoDelay(true).resume();
  await once(socket, 'connect');
  const startedMs = performance.now();
  let published = 0;
  while (performance.now() - startedMs < seconds * 1000) {
    socket.write(`${PAYLOAD}\n`);
    published++;
    await pause(startedMs + (published * 1000) / recordsPerSecond - performance.now());
  }
  await pause(startedMs + seconds * 1000 - performance.now());
  socket.destroy();
  return published;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));

function measuresOf(who: string, subscriptions: number, { calls, reads, bytesSent }: CommandCounts): Measure[] {
  const name = `redis, ${who}, ${subscriptions} subscriptions of one stream`;
  return [
    { name: `${name}: commands`, unit: 'calls/s', value: calls },
    { name: `${name}: reads of the stream`, unit: 'calls/s', value: reads },
    { name: `${name}: sent by the server`, unit: 'bytes/s', value: bytesSent },
  ];
}
