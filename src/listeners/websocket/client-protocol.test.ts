/** What tandem-client relies on: terms, ping, batches with a producer, refusals that a browser can read. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { WebSocket } from 'ws';
import { TandemError } from '../../core/errors.ts';
import { eventually, guardOf, serveListener, threeTokens } from '../http/served-listener.fixture.ts';

type Served = Awaited<ReturnType<typeof serveListener>>;
// biome-ignore lint/suspicious/noExplicitAny: messages of many forms
type Message = any;

async function join(t: TestContext, { port }: Served, path = '/ws'): Promise<{ socket: WebSocket; heard: Message[] }> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, 'tandem.v1');
  const heard: Message[] = [];
  socket.on('message', (data) => heard.push(JSON.parse(String(data))));
  t.after(() => socket.terminate());
  await once(socket, 'open');
  return { socket, heard };
}

async function ask({ socket, heard }: Awaited<ReturnType<typeof join>>, method: string, params?: object) {
  const id = `${method} ${heard.length}`;
  socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
  await eventually(() => heard.some((message) => message.id === id));
  return heard.find((message) => message.id === id);
}

test('every answer and notification has the term; ping has nothing else', async (t) => {
  const served = await serveListener(t, { limits: { sessionQueueBytesMax: 64 * 1024 } });
  const client = await join(t, served);
  assert.deepEqual((await ask(client, 'ping')).result, { term: 7 });
  assert.equal((await ask(client, 'ping', { a: 1 })).error.code, -32602);
  assert.equal((await ask(client, 'publish', { topic: 't', data: 'x' })).result.term, 7);
  const { result } = await ask(client, 'subscribe', { channel: 't', from: 'start' });
  assert.deepEqual(Object.keys(result), ['term', 'channel', 'position', 'isComplete']);
  await eventually(() => client.heard.some(({ method }) => method === 'record'));
  assert.equal((await ask(client, 'unsubscribe', { channel: 't' })).result.term, 7);
  void served.listener.drain(5000);
  await eventually(() => client.heard.at(-1)?.method === 'closing');
  for (const { params } of client.heard.filter(({ method }) => method !== undefined)) assert.equal(params.term, 7);
});

test('a batch with a producer: receipts in the order of the records; sent again, nothing is stored twice', async (t) => {
  const served = await serveListener(t, { partitions: 4 });
  const client = await join(t, served);
  const keys = ['a', 'b', 'c', undefined, 'a', 'd'];
  const records = keys.map((key, i) => ({
    data: `${i}`,
    ...(key === undefined ? {} : { key }),
    headers: { i: `${i}` },
  }));
  const batch = { topic: 't', producer: 'p', sequence: 1, records };
  const { result } = await ask(client, 'publish', batch);
  assert.deepEqual(Object.keys(result), ['term', 'ack', 'receipts']);
  let at = 0;
  for (const { partition, offset, count } of result.receipts)
    for (let i = 0; i < count; i++) assert.equal((await served.stored('t', partition))[offset + i], `${at++}`);
  assert.equal(at, keys.length);
  const again = await ask(client, 'publish', batch);
  assert.deepEqual(
    again.result.receipts,
    result.receipts.map((receipt: object) => ({ ...receipt, isDuplicate: true })),
  );
  for (const wrong of [
    { records: [] },
    { records: {} },
    { records: [5] },
    { records: [{ data: 'x', sequence: 4 }] },
    { records: [{ data: 'x' }], data: 'y' },
    { records: [{ key: 'k' }] },
  ])
    assert.equal((await ask(client, 'publish', { topic: 't', ...wrong })).error.code, -32602);
});

/** What a client of the protocol is told instead of a status. */
async function refusal({ port }: Served, path: string): Promise<{ code: number; closing: Message }> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, 'tandem.v1');
  let closing: Message;
  socket.on('message', (data) => {
    closing = JSON.parse(String(data));
  });
  const [code] = (await once(socket, 'close')) as [number];
  return { code, closing };
}

test('who offers the subprotocol is told in it why it is refused', async (t) => {
  const served = await serveListener(t, { listener: { authenticator: threeTokens } });
  const wrong = await refusal(served, '/ws?token=wrong');
  assert.equal(wrong.code, 4011);
  assert.deepEqual(
    [wrong.closing.method, wrong.closing.params.term, wrong.closing.params.code],
    ['closing', 7, 'TANDEM_AUTH_INVALID'],
  );
  assert.equal((await refusal(served, '/ws')).code, 4010);
  const { socket } = await join(t, served, '/ws?token=reader');
  assert.equal(socket.protocol, 'tandem.v1');
  const overloaded = await serveListener(t, {
    listener: {
      authenticator: {
        isRequired: true,
        authenticate() {
          throw new TandemError('TANDEM_OVERLOADED');
        },
      },
    },
  });
  assert.equal((await refusal(overloaded, '/ws')).code, 4145);
});

test('a page of a foreign origin is told nothing', async (t) => {
  const served = await serveListener(t, { listener: { originGuard: guardOf({ host: '127.0.0.1' }) } });
  const socket = new WebSocket(`ws://127.0.0.1:${served.port}/ws`, 'tandem.v1', { origin: 'http://elsewhere.example' });
  const [, response] = await once(socket, 'unexpected-response');
  assert.equal(response.statusCode, 403);
  response.destroy();
});
