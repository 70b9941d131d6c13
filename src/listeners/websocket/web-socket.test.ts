/** The WebSocket endpoint against the npm `ws` client, over real sockets. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { type ClientOptions, WebSocket } from 'ws';
import { ManualClock } from '../../core/ports/manual-clock.ts';
import { untilStill } from '../../core/testing/until.ts';
import { eventually, serveListener, threeTokens } from '../http/served-listener.fixture.ts';

type Served = Awaited<ReturnType<typeof serveListener>>;

class RpcClient {
  readonly socket: WebSocket;
  // biome-ignore lint/suspicious/noExplicitAny: messages of many forms
  readonly messages: any[] = [];
  closed: { code: number; reason: string } | undefined;
  #lastId = 0;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('message', (data) => this.messages.push(JSON.parse(String(data))));
    socket.on('error', () => {});
    socket.on('close', (code, reason) => {
      this.closed = { code, reason: String(reason) };
    });
  }

  // biome-ignore lint/suspicious/noExplicitAny: answers of many forms
  async call(method: string, params: unknown): Promise<any> {
    const id = ++this.#lastId;
    this.socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
    const answer = () => this.messages.find((message) => message.id === id);
    await eventually(() => answer() !== undefined);
    return answer();
  }

  get records(): { data?: string; base64?: string; position: string; offset: number }[] {
    return this.messages.filter((message) => message.method === 'record').map((message) => message.params);
  }
}

async function join(t: TestContext, { port }: Served, path = '/ws', options: ClientOptions = {}): Promise<RpcClient> {
  const client = new RpcClient(new WebSocket(`ws://127.0.0.1:${port}${path}`, options));
  t.after(() => client.socket.terminate());
  await once(client.socket, 'open');
  return client;
}

async function refusal({ port }: Served, path: string, headers: Record<string, string> = {}): Promise<string> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers });
  const [, response] = await once(socket, 'unexpected-response');
  let text = `${response.statusCode} `;
  for await (const chunk of response) text += chunk;
  return text;
}

test('publish answers with the place; text, bytes, key, headers and producer arrive', async (t) => {
  const served = await serveListener(t);
  const client = await join(t, served);
  const first = await client.call('publish', { topic: 't', data: 'hé', key: 'k', headers: { a: 'b' } });
  assert.deepEqual(Object.keys(first.result), ['term', 'ack', 'epoch', 'partition', 'offset']);
  await client.call('publish', { topic: 't', base64: 'AP8=' });
  const sequenced = { topic: 't', data: 'once', producer: 'p', sequence: 1 };
  const { result } = await client.call('publish', sequenced);
  assert.deepEqual((await client.call('publish', sequenced)).result, { ...result, isDuplicate: true });
  await client.call('subscribe', { channel: 't', from: 'start' });
  await eventually(() => client.records.length === 3);
  const [text, bytes] = client.records;
  assert.deepEqual(
    { ...text, position: '', time: 0 },
    {
      term: 7,
      channel: 't',
      position: '',
      partition: 0,
      offset: 0,
      time: 0,
      key: 'k',
      headers: { a: 'b' },
      data: 'hé',
    },
  );
  assert.equal(bytes?.base64, 'AP8=');
});

test('wrong parameters are refused and nothing is stored', async (t) => {
  const served = await serveListener(t);
  const client = await join(t, served);
  const bad = [
    { data: 'x' },
    { topic: 't' },
    { topic: 't', data: 5 },
    { topic: 't', data: 'x', base64: '' },
    { topic: 't', base64: 'AP8' },
    { topic: 't', data: 'x', headers: { a: 1 } },
    { topic: 't', data: 'x', kye: 'k' },
  ];
  for (const params of bad) assert.equal((await client.call('publish', params)).error.code, -32602);
  const producer = await client.call('publish', { topic: 't', data: 'x', producer: 'p' });
  assert.equal(producer.error.data.code, 'TANDEM_PRODUCER_INVALID');
  assert.equal((await client.call('call', {})).error.data.code, 'TANDEM_METHOD_UNKNOWN');
  assert.equal(served.engine.topics.peek('t'), undefined);
});

test('pipelined publishes keep their order and share few appends', async (t) => {
  const served = await serveListener(t);
  const client = await join(t, served);
  await client.call('publish', { topic: 't', data: '0' });
  let appends = 0;
  const append = served.engine.store.append.bind(served.engine.store);
  served.engine.store.append = (batch) => {
    appends++;
    return append(batch);
  };
  const count = 500;
  for (let i = 1; i < count; i++)
    client.socket.send(
      JSON.stringify({ jsonrpc: '2.0', id: `p${i}`, method: 'publish', params: { topic: 't', data: `${i}` } }),
    );
  await eventually(() => client.messages.length === count);
  const expected = Array.from({ length: count }, (_, i) => i);
  assert.deepEqual(
    client.messages.map((message) => message.result.offset),
    expected,
  );
  assert.deepEqual(await served.stored('t'), expected.map(String));
  assert.ok(appends < count / 4, `${appends} appends`);
});

test('subscribe: the answer comes before the first record; resume from a position; unsubscribe ends it', async (t) => {
  const served = await serveListener(t);
  const client = await join(t, served);
  for (const data of ['a', 'b', 'c']) await client.call('publish', { topic: 't', data });
  const reader = await join(t, served);
  const { result } = await reader.call('subscribe', { channel: 't', from: 'start' });
  assert.deepEqual([result.channel, result.isComplete], ['t', true]);
  await eventually(() => reader.records.length === 3);
  assert.equal(reader.messages[0].id, 1);
  const resumed = await join(t, served);
  await resumed.call('subscribe', { channel: 't', from: reader.records[0]?.position });
  await eventually(() => resumed.records.length === 2);
  assert.deepEqual(
    resumed.records.map(({ data }) => data),
    ['b', 'c'],
  );
  assert.deepEqual((await resumed.call('unsubscribe', { channel: 't' })).result, { term: 7, channel: 't' });
  await client.call('publish', { topic: 't', data: 'd' });
  await eventually(() => reader.records.length === 4);
  assert.equal(resumed.records.length, 2);
  assert.equal((await resumed.call('unsubscribe', { channel: 't' })).error.data.code, 'TANDEM_SUBSCRIPTION_UNKNOWN');
  assert.equal((await resumed.call('subscribe', { channel: 'none' })).error.data.code, 'TANDEM_TOPIC_UNKNOWN');
  assert.equal(
    (await resumed.call('subscribe', { channel: 't', from: 'x' })).error.data.code,
    'TANDEM_POSITION_MALFORMED',
  );
});

test('tokens are checked before the upgrade, rights at each call', async (t) => {
  const served = await serveListener(t, { listener: { authenticator: threeTokens } });
  assert.match(await refusal(served, '/ws'), /^401 .*TANDEM_AUTH_REQUIRED/);
  assert.match(await refusal(served, '/ws?token=wrong'), /^401 .*TANDEM_AUTH_INVALID/);
  const publisher = await join(t, served, '/ws', { headers: { authorization: 'Bearer publisher' } });
  assert.equal((await publisher.call('publish', { topic: 't', data: 'x' })).result.offset, 0);
  assert.equal((await publisher.call('subscribe', { channel: 't' })).error.data.code, 'TANDEM_AUTH_FORBIDDEN');
  const reader = await join(t, served, '/ws?token=reader');
  assert.equal((await reader.call('subscribe', { channel: 't' })).result.isComplete, true);
  assert.equal((await reader.call('publish', { topic: 't', data: 'x' })).error.data.code, 'TANDEM_AUTH_FORBIDDEN');
});

test('a handshake that is none is refused', async (t) => {
  const served = await serveListener(t);
  assert.match(await refusal(served, '/elsewhere'), /^404 .*TANDEM_METHOD_UNKNOWN/);
  const handshake = (headers: string): Promise<string> => {
    const client = served.dial();
    client.socket.write(`GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${headers}\r\n`);
    return client.untilEnd();
  };
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
  assert.match(
    await handshake(`${key}Sec-WebSocket-Version: 8\r\n`),
    /^HTTP\/1.1 400 [\s\S]*Sec-WebSocket-Version: 13\r\n/,
  );
  assert.match(await handshake('Sec-WebSocket-Version: 13\r\n'), /^HTTP\/1.1 400 /);
  assert.match(await handshake('Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n'), /^HTTP\/1.1 400 /);
});

test('other upgrades are ignored: the request is answered as HTTP', async (t) => {
  const served = await serveListener(t);
  const client = served.dial();
  client.socket.write(
    'GET /livez HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n',
  );
  await client.until(() => client.text.includes('"role"'));
  assert.match(client.text, /^HTTP\/1.1 200 /);
});

test('broken frames end with the right close code, and others notice nothing', async (t) => {
  const served = await serveListener(t, { limits: { requestBytesMax: 5000, recordBytesMax: 5000 } });
  const bystander = await join(t, served);
  const large = await join(t, served);
  large.socket.send('x'.repeat(6000));
  await eventually(() => large.closed !== undefined);
  assert.equal(large.closed?.code, 1009);
  const binary = await join(t, served);
  binary.socket.send(Buffer.from([1, 2]));
  await eventually(() => binary.closed !== undefined);
  assert.equal(binary.closed?.code, 1003);
  const garbage = served.dial();
  garbage.socket.write(
    'GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n',
  );
  garbage.socket.write('Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nnot a frame at all');
  // 0x88 0x02 0x03 0xea: close, 1002.
  await garbage.until(() => garbage.received.includes(Buffer.from([0x88, 2, 3, 0xea])));
  assert.match(garbage.text, /^HTTP\/1.1 101 [\s\S]*Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/);
  garbage.socket.destroy();
  assert.equal((await bystander.call('publish', { topic: 't', data: 'x' })).result.offset, 0);
});

test('the close handshake is answered, pings too, and a connection that breaks is forgotten', async (t) => {
  const served = await serveListener(t);
  const client = await join(t, served);
  client.socket.ping('payload');
  const [pong] = await once(client.socket, 'pong');
  assert.equal(String(pong), 'payload');
  client.socket.close(4321, 'enough');
  await eventually(() => client.closed !== undefined);
  assert.deepEqual(client.closed, { code: 4321, reason: 'enough' });
  const broken = await join(t, served);
  await broken.call('publish', { topic: 't', data: 'x' });
  await broken.call('subscribe', { channel: 't' });
  broken.socket.terminate();
  await eventually(() => served.listener.connections === 0);
});

test('a client that answers pings stays; one that does not is ended and told why', async (t) => {
  const clock = new ManualClock();
  const served = await serveListener(t, { listener: { clock } });
  const lively = await join(t, served);
  let pings = 0;
  lively.socket.on('ping', () => pings++);
  const dead = await join(t, served, '/ws', { autoPong: false });
  let deadPings = 0;
  dead.socket.on('ping', () => deadPings++);
  await clock.advance(30_000);
  await eventually(() => pings === 1 && deadPings === 1);
  // The pong must have arrived before the next turn.
  await lively.call('publish', { topic: 't', data: 'x' });
  await clock.advance(30_000);
  await eventually(() => dead.closed !== undefined);
  assert.deepEqual(dead.closed, { code: 4151, reason: 'TANDEM_SESSION_IDLE' });
  assert.equal(dead.messages.at(-1)?.method, 'closing');
  await eventually(() => pings === 2);
  assert.equal(lively.closed, undefined);
});

test('drain: publishes in hand are answered, then closing with positions and close code 4200', async (t) => {
  const served = await serveListener(t);
  const client = await join(t, served);
  await client.call('publish', { topic: 't', data: 'a' });
  await client.call('subscribe', { channel: 't', from: 'start' });
  await eventually(() => client.records.length === 1);
  const plain = await join(t, served);
  const append = served.engine.store.append.bind(served.engine.store);
  const arrived = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  served.engine.store.append = async (batch) => {
    arrived.resolve();
    await gate.promise;
    return append(batch);
  };
  const answer = client.call('publish', { topic: 't', data: 'b' });
  await arrived.promise;
  const drained = served.listener.drain(10_000);
  await eventually(() => plain.closed !== undefined);
  assert.deepEqual(plain.closed, { code: 4200, reason: 'TANDEM_DRAINING' });
  assert.ok(client.socket.readyState === WebSocket.OPEN);
  gate.resolve();
  assert.equal((await answer).result.offset, 1);
  await drained;
  await eventually(() => client.closed !== undefined);
  assert.equal(client.closed?.code, 4200);
  const closing = client.messages.at(-1);
  assert.equal(closing.method, 'closing');
  assert.equal(closing.params.code, 'TANDEM_DRAINING');
  assert.equal(closing.params.positions.t, client.records.at(-1)?.position);
});

test('a subscriber that does not read is ended with its position, and others get everything', async (t) => {
  const served = await serveListener(t, { limits: { sessionQueueBytesMax: 64 * 1024 } });
  const [slow, quick, publisher] = [await join(t, served), await join(t, served), await join(t, served)];
  await publisher.call('publish', { topic: 't', data: 'first' });
  for (const client of [slow, quick]) await client.call('subscribe', { channel: 't', from: 'start' });
  await eventually(() => slow.records.length === 1);
  slow.socket.pause();
  const data = 'x'.repeat(100_000);
  for (let i = 0; i < 150; i++) await publisher.call('publish', { topic: 't', data });
  await eventually(() => quick.records.length === 151);
  slow.socket.resume();
  await eventually(() => slow.closed !== undefined);
  assert.deepEqual(slow.closed, { code: 4150, reason: 'TANDEM_SESSION_SLOW' });
  assert.equal(slow.messages.at(-1).params.positions.t, slow.records.at(-1)?.position);
  assert.ok(slow.records.length < 151);
});

test('a client that does not read its answers is not read either, and loses nothing', async (t) => {
  const served = await serveListener(t);
  const client = await join(t, served);
  client.socket.pause();
  const count = 60_000;
  const requests = Array.from({ length: count }, (_, i) =>
    JSON.stringify({ jsonrpc: '2.0', id: i, method: 'publish', params: { topic: 't', data: 'x'.repeat(150) } }),
  );
  for (const request of requests) client.socket.send(request);
  // Its answers are more than both ends of the kernel hold: the server stops reading, and the client's requests stay with the client.
  const { topics, store } = served.engine;
  const stored = await untilStill('the server has stopped reading', async () =>
    topics.peek('t') === undefined ? 0 : (await store.state({ topic: 't', partition: 0 })).nextOffset,
  );
  assert.ok(stored < count, `the server went on reading: ${stored}`);
  client.socket.resume();
  await eventually(() => client.messages.length === count);
  assert.equal(client.messages.at(-1).result.offset, count - 1);
});

test('while ingest is saturated a connection is not read, nor ended for its missing pongs', async (t) => {
  const clock = new ManualClock();
  const state = { isSaturated: false, makeReady: () => {} };
  const { ingest } = await serveListener(t);
  const gated = {
    openLane: ingest.openLane.bind(ingest),
    append: ingest.append.bind(ingest),
    drain: ingest.drain.bind(ingest),
    unfinishedRecords: 0,
    get isSaturated() {
      return state.isSaturated;
    },
    whenReady(callback: () => void) {
      state.makeReady = callback;
    },
  };
  const served = await serveListener(t, { listener: { ingest: gated, clock } });
  const client = await join(t, served);
  state.isSaturated = true;
  await client.call('publish', { topic: 't', data: 'the chunk in which it is noticed' });
  const waiting = client.call('publish', { topic: 't', data: 'waits' });
  let isAnswered = false;
  const answered = waiting.then(() => {
    isAnswered = true;
  });
  await clock.advance(95_000);
  assert.equal(isAnswered, false);
  state.isSaturated = false;
  state.makeReady();
  await answered;
  assert.equal((await waiting).result.offset, 1);
  assert.equal(client.closed, undefined);
});

test('half-received messages of all clients together are bounded', async (t) => {
  const mebibyte = 1 << 20;
  const limits = { ingestBytesMax: mebibyte, requestBytesMax: mebibyte, recordBytesMax: mebibyte };
  const served = await serveListener(t, { limits });
  const clients = [await join(t, served), await join(t, served), await join(t, served)];
  for (const client of clients) client.socket.send('x'.repeat(400_000), { fin: false });
  await eventually(() => clients.some((client) => client.closed !== undefined));
  assert.equal(clients.find((client) => client.closed !== undefined)?.closed?.reason, 'TANDEM_OVERLOADED');
  for (const client of clients) client.socket.terminate();
  await eventually(() => served.listener.connections === 0);
  // What they held is given back.
  const next = await join(t, served);
  const { result } = await next.call('publish', { topic: 't', data: 'x'.repeat(700_000) });
  assert.equal(result.offset, 0);
});
