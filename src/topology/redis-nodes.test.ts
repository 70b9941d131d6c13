import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { startRedis } from '../core/testing/redis-servers/start-redis.ts';
import { freePort, LineClient, makeFolder, TestNode, until } from './testing/test-node.ts';

interface RedisNode {
  readonly node: TestNode;
  readonly config: object;
  readonly lines: number;
  readonly http: string;
  readonly admin: string;
}

/** With a folder and addresses of its own, as on a machine of its own. */
async function startNode(
  t: TestContext,
  name: string,
  url: string,
  cluster: object,
  extra: object = {},
): Promise<RedisNode> {
  const [lines, web, admin] = [await freePort(), await freePort(), await freePort()];
  const config = {
    ...{ name, data: makeFolder(t), engine: url, workers: 2, cluster },
    listen: [`tcp://127.0.0.1:${lines}?topic=data_queue`, `http://127.0.0.1:${web}`],
    ...{ admin: `http://127.0.0.1:${admin}`, topics: { data_queue: { partitions: 4 } } },
    ...extra,
  };
  const node = new TestNode(t, makeFolder(t), config);
  await node.event('node_ready');
  return { node, config, lines, http: `http://127.0.0.1:${web}`, admin: `http://127.0.0.1:${admin}` };
}

/** Starts nodes that have a consumer. */
function withConsumer(t: TestContext, url: string, mode: string): (name: string) => Promise<RedisNode> {
  const folder = makeFolder(t);
  writeFileSync(`${folder}/handlers.mjs`, 'export default () => {};');
  const extra = { consumers: { save: { topic: 'data_queue', to: `${folder}/handlers.mjs` } } };
  return (name) => startNode(t, name, url, { mode, ttlMs: 2000, renewMs: 300, marginMs: 300 }, extra);
}

async function isActive({ admin }: RedisNode): Promise<boolean> {
  const answer = await fetch(`${admin}/readyz`).catch(() => undefined);
  return answer?.status === 200;
}

/** Everything that the store has, as the node reads it. */
async function stored({ http }: RedisNode): Promise<string[]> {
  const texts: string[] = [];
  for (const partition of [0, 1, 2, 3]) {
    const answer = await fetch(`${http}/topics/data_queue/records?partition=${partition}&from=0&limit=10000`);
    if (answer.status !== 200) return [];
    const lines = (await answer.text()).split('\n').filter((line) => line !== '');
    texts.push(...lines.map((line) => (JSON.parse(line) as { data: string }).data));
  }
  return texts;
}

/** Its undertaker too, as the loss of a machine does. */
async function killAll({ node }: RedisNode): Promise<void> {
  const keeper = node.child.pid as number;
  const children = readFileSync(`/proc/${keeper}/task/${keeper}/children`, 'latin1').trim().split(' ').map(Number);
  for (const pid of [...children, keeper]) process.kill(pid, 'SIGKILL');
  await node.exitCode();
}

const sends = async (t: TestContext, { lines }: RedisNode, texts: readonly string[]): Promise<void> => {
  const client = new LineClient(t, lines);
  for (const text of texts) assert.match((await client.send(text)) ?? '', /^OK \d+:-$/);
};

test('a node alone: acks go on while Redis is dead, over kill -9 of the node too; then everything is in Redis, once', async (t) => {
  const redis = await startRedis(t, { config: ['appendonly yes', 'appendfsync always'] });
  const alone = await startNode(t, 'a', redis.url, { mode: 'single' });
  await sends(t, alone, ['before']);
  await until('it is in Redis', async () => (await stored(alone)).length === 1);
  await redis.server.kill();
  await sends(t, alone, ['dead 1', 'dead 2']);
  await killAll(alone);
  const again: RedisNode = { ...alone, node: new TestNode(t, alone.node.folder, alone.config) };
  await again.node.event('node_ready');
  await sends(t, again, ['dead 3']);
  await redis.server.restart();
  const all = ['before', 'dead 1', 'dead 2', 'dead 3'];
  await until('everything is in Redis', async () => (await stored(again)).length === all.length);
  assert.deepEqual((await stored(again)).sort(), all);
});

test('active-standby: a node takes over when the lease has ended, and a dead one forwards what it had once it stands by again', async (t) => {
  const redis = await startRedis(t, { config: ['appendonly yes', 'appendfsync always'] });
  const cluster = { mode: 'active-standby', ttlMs: 2000, renewMs: 300, marginMs: 300 };
  const a = await startNode(t, 'a', redis.url, cluster);
  const b = await startNode(t, 'b', redis.url, cluster);
  assert.deepEqual([await isActive(a), await isActive(b)], [true, false]);
  await sends(t, a, ['1']);
  await until('it is in Redis', async () => (await stored(a)).length === 1);
  // What is acked while Redis cannot be asked is in the spool of a alone.
  redis.server.pause();
  await sends(t, a, ['2']);
  await killAll(a);
  redis.server.resume();
  await until('b is active', () => isActive(b));
  await sends(t, b, ['3']);
  await until('b’s own is there', async () => (await stored(b)).includes('3'));
  assert.deepEqual((await stored(b)).sort(), ['1', '3']);
  const again = new TestNode(t, a.node.folder, a.config);
  await again.event('node_ready');
  await until('what it stands by with is told', async () => (await spooled(a)) === 0);
  await until('a’s is there', async () => (await stored(b)).length === 3);
  assert.deepEqual((await stored(b)).sort(), ['1', '2', '3']);
  assert.deepEqual([await isActive(a), await isActive(b)], [false, true]);
});

test('active-standby: a switchover between nodes that only share Redis', async (t) => {
  const redis = await startRedis(t);
  const cluster = { mode: 'active-standby', ttlMs: 60_000, renewMs: 500, marginMs: 900, minTenureMs: 0 };
  const a = await startNode(t, 'a', redis.url, cluster);
  const b = await startNode(t, 'b', redis.url, cluster);
  await sends(t, a, ['1', '2']);
  const answer = await fetch(`${b.admin}/admin/v1/switchover`, { method: 'POST', body: '{}' });
  const report = (await answer.json()) as { readonly [field: string]: unknown };
  assert.deepEqual([answer.status, report['from'], report['to'], report['recordsLost']], [200, 'a', 'b', 0]);
  await until('b is active', () => isActive(b));
  assert.equal(await isActive(a), false);
  await sends(t, b, ['3']);
  await until('all are there', async () => (await stored(b)).length === 3);
});

test('a keeper that begins again after a crash need not wait for the end of its own lease', async (t) => {
  const redis = await startRedis(t);
  const cluster = { mode: 'active-standby', ttlMs: 60_000, renewMs: 500, marginMs: 900 };
  const a = await startNode(t, 'a', redis.url, cluster);
  await killAll(a);
  const again: RedisNode = { ...a, node: new TestNode(t, a.node.folder, a.config) };
  await again.node.event('earlier_grant_ended');
  await until('it is active', () => isActive(again));
});

test('a keeper dies and its undertaker lives: the lease is given back at once, after what was left of the node has ended', async (t) => {
  const redis = await startRedis(t);
  const cluster = { mode: 'active-standby', ttlMs: 60_000, renewMs: 500, marginMs: 900 };
  const a = await startNode(t, 'a', redis.url, cluster);
  const b = await startNode(t, 'b', redis.url, cluster);
  await sends(t, a, ['1']);
  await until('it is in Redis', async () => (await stored(a)).length === 1);
  a.node.child.kill('SIGKILL');
  await until('b is active', () => isActive(b));
  await sends(t, b, ['2']);
  await until('both are there', async () => (await stored(b)).length === 2);
});

test('active-active: every node serves, partitions of a consumer are shared out, a dead node’s go to the others', async (t) => {
  const redis = await startRedis(t);
  const start = withConsumer(t, redis.url, 'active-active');
  const [a, b] = [await start('a'), await start('b')];
  assert.deepEqual([await isActive(a), await isActive(b)], [true, true]);
  await until('both have partitions', async () => (await partitionsOf(a)) === 2 && (await partitionsOf(b)) === 2);
  await sends(t, a, ['a']);
  await sends(t, b, ['b']);
  await until('both are read anywhere', async () => (await stored(b)).length === 2 && (await stored(a)).length === 2);
  await killAll(a);
  await until('b has all', async () => (await partitionsOf(b)) === 4);
});

test('a pause of a consumer holds for all nodes, whichever was told, and for one that begins later; nodes see each other', async (t) => {
  const redis = await startRedis(t);
  const start = withConsumer(t, redis.url, 'active-active');
  const [a, b] = [await start('a'), await start('b')];
  await until('a sees b', async () => (await statusOf(a)).cluster.peers.map(({ facts }) => facts.name).join() === 'b');
  await tell(a, 'pause');
  await until('b knows', async () => (await statusOf(b)).pausedConsumers.includes('save'));
  await until('its worker obeys', () => isPaused(b));
  const late = await start('c');
  assert.deepEqual([(await statusOf(late)).pausedConsumers, await isPaused(late)], [['save'], true]);
  await tell(late, 'resume');
  await until('a goes on', async () => !(await isPaused(a)) && (await statusOf(a)).pausedConsumers.length === 0);
  await redis.server.kill();
  assert.equal(await tell(b, 'pause'), 503);
  assert.deepEqual((await statusOf(b)).pausedConsumers, []);
});

test('a pause outlives the active node that was told', async (t) => {
  const redis = await startRedis(t);
  const start = withConsumer(t, redis.url, 'active-standby');
  const [a, b] = [await start('a'), await start('b')];
  assert.equal(await tell(a, 'pause'), 200);
  await killAll(a);
  await until('b is active', () => isActive(b));
  assert.deepEqual([(await statusOf(b)).pausedConsumers, await isPaused(b)], [['save'], true]);
});

interface NodeStatus {
  readonly pausedConsumers: readonly string[];
  readonly cluster: { readonly peers: readonly { readonly facts: { readonly name: string } }[] };
}

async function statusOf({ admin }: RedisNode): Promise<NodeStatus> {
  return (await (await fetch(`${admin}/admin/v1/status`)).json()) as NodeStatus;
}

async function tell({ admin }: RedisNode, command: 'pause' | 'resume'): Promise<number> {
  return (await fetch(`${admin}/admin/v1/consumers/save/${command}`, { method: 'POST' })).status;
}

/** As its workers say. */
async function isPaused({ admin }: RedisNode): Promise<boolean> {
  const consumers = (await (await fetch(`${admin}/admin/v1/consumers`)).json()) as readonly { state: string }[];
  return consumers[0]?.state === 'paused';
}

/** What the node's spools hold that is not confirmed, as it says; undefined: it does not say. */
async function spooled({ admin }: RedisNode): Promise<number | undefined> {
  const metrics = await (await fetch(`${admin}/metrics`)).text();
  const values = [...metrics.matchAll(/^tandem_spool_records\{.*\} (\d+)$/gm)].map(([, value]) => Number(value));
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0);
}

/** How many partitions of its consumer a node works on. */
async function partitionsOf({ admin }: RedisNode): Promise<number> {
  const answer = await fetch(`${admin}/admin/v1/consumers`);
  const consumers = (await answer.json()) as readonly { readonly partitions: readonly unknown[] }[];
  return consumers[0]?.partitions.length ?? 0;
}
