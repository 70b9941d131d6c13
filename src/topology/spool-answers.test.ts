/** A node with a spool before a real Redis: what clients are answered, whether Redis is there or not, and what becomes of their records. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { missingRedis } from '../core/testing/redis-servers/installed.ts';
import { startRedis } from '../core/testing/redis-servers/start-redis.ts';
import { freePort, LineClient, makeFolder, TestNode, until } from './testing/test-node.ts';

const skip = missingRedis();

async function startNode(t: TestContext, url: string, extra: object = {}) {
  const [tcp, udp, http, admin] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const node = new TestNode(t, makeFolder(t), {
    ...{ name: 'n', workers: 1, engine: { url, ...extra }, topics: { t: { partitions: 1 } } },
    listen: [`tcp://127.0.0.1:${tcp}?topic=t`, `udp://127.0.0.1:${udp}?topic=t&ack=offset`, `http://127.0.0.1:${http}`],
    admin: `http://127.0.0.1:${admin}`,
  });
  await node.event('node_ready');
  return { node, tcp, udp, base: `http://127.0.0.1:${http}`, admin: `http://127.0.0.1:${admin}` };
}

type Started = Awaited<ReturnType<typeof startNode>>;

async function sendDatagram(t: TestContext, port: number, text: string): Promise<string> {
  const socket = createSocket('udp4');
  t.after(() => socket.close());
  socket.send(text, port, '127.0.0.1');
  const [answer] = (await once(socket, 'message', { signal: AbortSignal.timeout(5000) })) as [Buffer];
  return answer.toString();
}

async function callSocket(t: TestContext, base: string, params: object): Promise<Record<string, unknown>> {
  const socket = new WebSocket(`${base.replace('http', 'ws')}/ws`);
  t.after(() => socket.close());
  await once(socket, 'open');
  socket.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'publish', params }));
  const [{ data }] = (await once(socket, 'message')) as [{ data: string }];
  return (JSON.parse(data) as { result: Record<string, unknown> }).result;
}

/** One record by each way; what was answered, without terms. */
async function publishAll(t: TestContext, { tcp, udp, base }: Started, name: string): Promise<unknown> {
  const client = new LineClient(t, tcp);
  const producer = JSON.stringify({ producer: name, seq: 1 });
  const hello = JSON.parse((await client.send(`HELLO ${producer}`))?.slice(3) ?? '{}') as Record<string, unknown>;
  const lines = [await client.send(`${name} a`), await client.send(`${name} b`)];
  const again = new LineClient(t, tcp);
  await again.send(`HELLO ${producer}`);
  const repeat = await again.send(`${name} a`);
  const datagram = await sendDatagram(t, udp, `${name} c`);
  const response = await fetch(`${base}/topics/t`, { method: 'POST', body: `${name} d` });
  const { term: _, ...posted } = (await response.json()) as Record<string, unknown>;
  const { term: __, ...published } = await callSocket(t, base, { topic: 't', data: `${name} e` });
  return { ack: hello['ack'], seq: hello['seq'], lines, repeat, datagram, status: response.status, posted, published };
}

const PLACELESS = { ack: 'flushed', epoch: '', partition: 0, offset: null };
const ANSWERS = {
  ...{ ack: 'flushed', seq: 0, lines: ['OK 0:-', 'OK 0:-'], repeat: 'OK 0:-', datagram: 'OK 0:-', status: 201 },
  ...{ posted: PLACELESS, published: PLACELESS },
};
const textsOf = (name: string): string[] => ['a', 'b', 'c', 'd', 'e'].map((letter) => `${name} ${letter}`);

async function readTexts(base: string): Promise<string[]> {
  const answer = await fetch(`${base}/topics/t/records?partition=0&from=start`);
  if (answer.status !== 200) return [];
  const lines = (await answer.text()).split('\n').filter((line) => line !== '');
  return lines.map((line) => (JSON.parse(line) as { data: string }).data);
}

test('records are acknowledged without a place, and are read soon; without Redis too, and read when it is back', {
  skip,
}, async (t) => {
  const { url, server } = await startRedis(t);
  const started = await startNode(t, url);
  assert.deepEqual(await publishAll(t, started, 'there'), ANSWERS);
  await until('they are read', async () => (await readTexts(started.base)).length === 5);
  await server.kill();
  assert.deepEqual(await publishAll(t, started, 'away'), ANSWERS);
  await server.restart({ empty: true });
  await until('all is read', async () => (await readTexts(started.base)).length === 10);
  assert.deepEqual(await readTexts(started.base), [...textsOf('there'), ...textsOf('away')]);
  const metrics = await (await fetch(`${started.admin}/metrics`)).text();
  assert.match(metrics, /^tandem_spool_forwarded_total\S* 10$/m);
});

test('a full spool that refuses makes the node unready until there is room', { skip }, async (t) => {
  const { url, server } = await startRedis(t);
  const spool = { bytesMax: 1 << 20, windowMs: 0, whenFull: 'refuse' };
  const { base } = await startNode(t, url, { spool });
  await server.kill();
  const body = 'x'.repeat(100_000);
  const refusal = await until('it is full', async () => {
    const answer = await fetch(`${base}/topics/t`, { method: 'POST', body });
    return answer.status === 201 ? undefined : answer;
  });
  assert.equal(refusal.status, 503);
  assert.equal(((await refusal.json()) as { error: { code: string } }).error.code, 'TANDEM_SPOOL_FULL');
  await until('it is not ready', async () => {
    const answer = await fetch(`${base}/readyz`);
    return answer.status === 503 && (await answer.text()).includes('TANDEM_SPOOL_FULL');
  });
  await server.restart();
  await until('it is ready', async () => (await fetch(`${base}/readyz`)).status === 200);
  assert.equal((await fetch(`${base}/topics/t`, { method: 'POST', body })).status, 201);
});
