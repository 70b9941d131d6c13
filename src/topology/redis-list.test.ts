/** Redis lists and whole nodes: what PHP code pushes reaches browsers, and what is killed with -9 costs nothing. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { missingRedis } from '../core/testing/redis-servers/installed.ts';
import type { ServerProcess } from '../core/testing/redis-servers/server-process.ts';
import { startRedis } from '../core/testing/redis-servers/start-redis.ts';
import { until as untilTrue } from '../core/testing/until.ts';
import { freePort, makeFolder, TestNode } from './testing/test-node.ts';

const skip = missingRedis();
const QUEUE = 'message_queue';
const TOPIC = 'messages';
const BOUND_MS = 30_000;

async function until<T>(what: string, condition: () => T | Promise<T>, boundMs = BOUND_MS): Promise<NonNullable<T>> {
  return (await untilTrue(what, condition, boundMs)) ?? assert.fail(what);
}

const sourceOf = (server: ServerProcess): string => `redis-list://${server.address}/${QUEUE}?topic=${TOPIC}`;
const numbered = (from: number, count: number): string[] =>
  Array.from({ length: count }, (_, i) => `{"id":${from + i}}`);

/** As PHP code does. */
async function push(server: ServerProcess, items: readonly string[]): Promise<void> {
  for (let at = 0; at < items.length; at += 500) await server.call('LPUSH', QUEUE, ...items.slice(at, at + 500));
}

interface Started {
  readonly node: TestNode;
  readonly http: string;
  readonly config: object;
  workers(): Promise<number[]>;
}

async function start(t: TestContext, name: string, listen: readonly string[], extra: object = {}): Promise<Started> {
  const [port, adminPort] = [await freePort(), await freePort()];
  const http = `http://127.0.0.1:${port}`;
  const admin = `http://127.0.0.1:${adminPort}`;
  const config = { name, workers: 2, listen: [http, ...listen], admin, ...extra };
  const node = new TestNode(t, makeFolder(t), config);
  await node.event('node_ready');
  const workers = async (): Promise<number[]> => {
    const answer = await fetch(`${admin}/admin/v1/status`);
    const { slots } = (await answer.json()) as { slots: { pid: number | null }[] };
    return slots.flatMap(({ pid }) => pid ?? []);
  };
  return { node, http, config, workers };
}

/** The data of a topic's records by partition; undefined: not everything can be read now. */
async function readAll(http: string, topic: string): Promise<string[][] | undefined> {
  const partitions: string[][] = [];
  for (const partition of [0, 1]) {
    const query = `partition=${partition}&from=start&limit=100000`;
    const answer = await fetch(`${http}/topics/${topic}/records?${query}`).catch(() => undefined);
    const text = await answer?.text().catch(() => undefined);
    if (answer?.status !== 200 || text === undefined || text.includes('{"error":')) return undefined;
    partitions.push(linesOf(text).map((line) => (JSON.parse(line) as { data: string }).data));
  }
  return partitions;
}

const linesOf = (text: string): string[] => text.split('\n').filter((line) => line !== '');

async function untilStored(http: string, items: readonly string[]): Promise<string[][]> {
  const stored = await until(`${items.length} items are stored`, async () => {
    const partitions = await readAll(http, TOPIC);
    return partitions !== undefined && partitions.flat().length >= items.length ? partitions : undefined;
  });
  assert.deepEqual(stored.flat().toSorted(), [...items].toSorted());
  return stored;
}

/** Nothing is left to be stored by anybody. */
async function untilEmptied(server: ServerProcess): Promise<void> {
  await until('the lists are empty', async () => {
    const keys = (await server.call('KEYS', `${QUEUE}*`)) as string[];
    return keys.every((key) => key !== QUEUE && !/\/\d$/.test(key));
  });
}

test('LPUSH message_queue: a WebSocket and an SSE subscriber get it', { skip }, async (t) => {
  const { server } = await startRedis(t);
  const { http } = await start(t, 'n', [sourceOf(server)]);
  const socket = new WebSocket(`${http.replace('http', 'ws')}/ws`);
  t.after(() => socket.close());
  await once(socket, 'open');
  const heard: string[] = [];
  socket.addEventListener('message', ({ data }) => heard.push(String(data)));
  socket.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'subscribe', params: { channel: TOPIC } }));
  await until('it is subscribed', () => heard.length > 0);
  const abort = new AbortController();
  t.after(() => abort.abort());
  const stream = await fetch(`${http}/topics/${TOPIC}/stream?from=start`, { signal: abort.signal });
  const events: string[] = [];
  const write = (chunk: Uint8Array): void => void events.push(Buffer.from(chunk).toString());
  void stream.body?.pipeTo(new WritableStream({ write })).catch(() => {});
  await server.call('LPUSH', QUEUE, '{"order":17}');
  await until('both have it', () => heard.some((text) => text.includes('17')) && events.join('').includes('17'), 5000);
});

test('kill -9 of workers and of the node, Redis restarted in between: every item exactly once', { skip }, async (t) => {
  const { server } = await startRedis(t, { config: ['appendonly yes', 'appendfsync always'] });
  const { node, http, config, workers } = await start(t, 'n', [sourceOf(server)]);
  const items = numbered(0, 40_000);
  const pushing = (async () => {
    for (let at = 0; at < items.length; at += 2000) {
      await until('Redis takes it', () => push(server, items.slice(at, at + 2000)).then(() => true));
      await until('not too far ahead', async () => Number(await server.call('LLEN', QUEUE)) < 6000);
    }
  })();
  for (let round = 0; round < 3; round++) {
    const seen = (await readAll(http, TOPIC))?.flat().length ?? 0;
    await until('some more are stored', async () => ((await readAll(http, TOPIC))?.flat().length ?? 0) > seen + 1500);
    for (const pid of await workers()) process.kill(pid, 'SIGKILL');
  }
  node.child.kill('SIGKILL');
  await node.exitCode();
  const next = new TestNode(t, node.folder, config);
  await next.event('node_ready');
  await pushing;
  await server.terminate();
  await server.restart();
  await untilEmptied(server);
  await untilStored(http, items);
});

for (const mode of ['active-standby', 'active-active'])
  test(`${mode}: the active node is killed, the other one goes on with what it had in hand`, {
    skip,
  }, async (t) => {
    const { server } = await startRedis(t);
    const cluster = { mode, minTenureMs: 0, heartbeatTimeoutMs: 500 };
    const extra = { cluster, data: makeFolder(t) };
    const a = await start(t, 'a', [sourceOf(server)], extra);
    const b = await start(t, 'b', [sourceOf(server)], extra);
    const items = numbered(0, 20_000);
    await push(server, items.slice(0, 12_000));
    await until('some are stored', async () => ((await readAll(a.http, TOPIC))?.flat().length ?? 0) > 1000);
    a.node.child.kill('SIGKILL');
    await push(server, items.slice(12_000));
    await untilEmptied(server);
    await untilStored(b.http, items);
  });

test('two nodes with stores of their own share a list; the one that ends leaves nothing', { skip }, async (t) => {
  const { server } = await startRedis(t);
  const a = await start(t, 'a', [sourceOf(server)]);
  const b = await start(t, 'b', [sourceOf(server)]);
  const items: string[] = [];
  // One may be away when a batch comes, on a busy machine: what the other takes meanwhile says nothing.
  const both = await until('both have taken their part', async () => {
    const more = numbered(items.length, 2000);
    items.push(...more);
    await push(server, more);
    const taken = await until('all is stored', async () => {
      const [ofA, ofB] = [await readAll(a.http, TOPIC), await readAll(b.http, TOPIC)];
      const all = [ofA?.flat() ?? [], ofB?.flat() ?? []] as const;
      return all[0].length + all[1].length >= items.length ? all : undefined;
    });
    return taken.every(({ length }) => length > 500) ? taken : undefined;
  });
  assert.deepEqual(both.flat().toSorted(), items.toSorted());
  await untilEmptied(server);
  for (const { node } of [a, b]) {
    node.child.kill('SIGTERM');
    assert.equal(await node.exitCode(), 0);
  }
  assert.deepEqual(await server.call('KEYS', '*'), [`${QUEUE}:tandem:takers`]);
});

test('a consumer that writes to a list, killed with -9: at least once, in order per key', { skip }, async (t) => {
  const { server } = await startRedis(t);
  const to = `redis-list://${server.address}/data_queue`;
  const { http, workers } = await start(t, 'n', [], { consumers: { forward: { topic: TOPIC, to } } });
  const count = 10_000;
  const keys = 20;
  const lines = Array.from({ length: count }, (_, i) => JSON.stringify({ key: `k${i % keys}`, data: `${i}` }));
  const headers = { 'content-type': 'application/x-ndjson' };
  const lengthOf = async (): Promise<number> => Number(await server.call('LLEN', 'data_queue'));
  for (let at = 0; at < count; at += 2000) {
    const answer = await fetch(`${http}/topics/${TOPIC}`, {
      method: 'POST',
      headers,
      body: lines.slice(at, at + 2000).join('\n'),
    });
    assert.equal(answer.status, 201);
    await until('some are written', async () => (await lengthOf()) > at);
    for (const pid of await workers()) process.kill(pid, 'SIGKILL');
    await until('the workers are back', async () => {
      const { status } = await fetch(`${http}/topics`).catch(() => ({ status: 0 }));
      return status === 200 && (await workers()).length === 2;
    });
  }
  const all = await until('all are written', async () => {
    const written = (await server.call('LRANGE', 'data_queue', '0', '-1')) as string[];
    return new Set(written).size === count ? written.map(Number) : undefined;
  });
  for (let key = 0; key < keys; key++) {
    const first = [...new Set(all.filter((value) => value % keys === key))];
    assert.deepEqual(
      first,
      first.toSorted((a, b) => a - b),
      `key ${key}`,
    );
  }
});
