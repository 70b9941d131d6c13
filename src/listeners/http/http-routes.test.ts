import assert from 'node:assert/strict';
import { test } from 'node:test';
import { untilStill } from '../../core/testing/until.ts';
import { serveListener, threeTokens } from './served-listener.fixture.ts';

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: the bodies of many routes
  readonly body: any;
}

async function ask(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, init);
  const text = await response.text();
  const isJson = response.headers.get('content-type') === 'application/json';
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
}

const post = (
  url: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
): Promise<Answer> => ask(url, { method: 'POST', body, headers });
const ndjson = { 'content-type': 'application/x-ndjson' };
const linesOf = (text: string): unknown[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));

test('a record of any bytes is stored and read back', async (t) => {
  const { url } = await serveListener(t);
  const mebibyte = 'm'.repeat(1 << 20);
  const bodies = ['hello', '', 'üñí ✓ \u2028', mebibyte, new Uint8Array([0, 255, 10, 13])];
  for (const [offset, body] of bodies.entries()) {
    const { status, body: receipt } = await post(`${url}/topics/t`, body);
    assert.equal(status, 201);
    assert.deepEqual(Object.keys(receipt), ['term', 'ack', 'epoch', 'partition', 'offset']);
    assert.equal(receipt.term, 7);
    assert.equal(receipt.offset, offset);
  }
  const { body, headers } = await ask(`${url}/topics/t/records`);
  assert.equal(headers.get('content-type'), 'application/x-ndjson');
  assert.equal(headers.get('tandem-next-offset'), '5');
  const records = linesOf(body) as { data?: string; base64?: string; time: number }[];
  assert.deepEqual(
    records.map((record) => record.data ?? record.base64),
    ['hello', '', 'üñí ✓ \u2028', mebibyte, 'AP8KDQ=='],
  );
  assert.ok(records.every((record) => Math.abs(record.time - Date.now()) < 60_000));
});

test('key and producer come in headers; a repeat is answered with its first place and says so', async (t) => {
  const { url, stored } = await serveListener(t);
  const headers = { 'tandem-key': 'k', 'tandem-producer': 'p', 'tandem-sequence': '1' };
  const first = await post(`${url}/topics/t`, 'a', headers);
  const again = await post(`${url}/topics/t`, 'a', headers);
  assert.deepEqual([first.status, again.status], [201, 201]);
  assert.deepEqual(again.body, { ...first.body, isDuplicate: true });
  assert.deepEqual(await stored('t'), ['a']);
  const [record] = linesOf((await ask(`${url}/topics/t/records`)).body) as { key: string }[];
  assert.equal(record?.key, 'k');
  for (const bad of [
    { 'tandem-sequence': '1' },
    { 'tandem-producer': 'p', 'tandem-sequence': '0' },
    { 'tandem-producer': 'p' },
  ])
    assert.equal((await post(`${url}/topics/t`, 'a', bad)).body.error.code, 'TANDEM_PRODUCER_INVALID');
});

test('a batch: envelopes, any other JSON as its text, one receipt with the count', async (t) => {
  const { url } = await serveListener(t);
  const lines = [
    '{"data":"x","key":"k","headers":{"a":"b"}}',
    '{"base64":"AP8="}',
    '{"data":"x","other":1}',
    ' [1, 2]\r',
    '',
    '"text"',
    '{"partition":3,"offset":9,"time":1,"data":"read before"}',
  ];
  const { status, body } = await post(`${url}/topics/t`, lines.join('\n'), ndjson);
  assert.equal(status, 201);
  assert.equal(body.count, 6);
  assert.equal(body.offset, 0);
  const records = linesOf((await ask(`${url}/topics/t/records`)).body) as { data?: string; base64?: string }[];
  assert.deepEqual(
    records.map((record) => record.data ?? record.base64),
    ['x', 'AP8=', '{"data":"x","other":1}', ' [1, 2]', '"text"', 'read before'],
  );
});

test('a keyed batch over several partitions is answered with a list of receipts', async (t) => {
  const { url } = await serveListener(t, { partitions: 4 });
  const lines = Array.from({ length: 20 }, (_, i) => JSON.stringify({ data: `d${i}`, key: `key ${i}` }));
  const { body } = await post(`${url}/topics/t`, lines.join('\n'), ndjson);
  assert.equal(body.count, 20);
  assert.equal(body.term, 7);
  assert.ok(body.receipts.length > 1);
  let total = 0;
  for (const { partition, count } of body.receipts) {
    const { body: text } = await ask(`${url}/topics/t/records?partition=${partition}`);
    assert.equal(linesOf(text).length, count);
    total += count;
  }
  assert.equal(total, 20);
});

test('a bad line refuses the whole batch and names the line', async (t) => {
  const { url, engine } = await serveListener(t);
  for (const [bad, pattern] of [
    ['nope', /line 2 is not JSON/],
    ['{"data":"x","key":5}', /line 2: .*"key" must be a string/],
    ['{"base64":"?"}', /line 2: .*base64/],
    ['{"data":"x","base64":"AA=="}', /line 2: .*one of/],
    ['{"data":"\\ud800"}', /line 2: .*surrogate/],
  ] as const) {
    const { status, body } = await post(`${url}/topics/t`, `1\n${bad}\n`, ndjson);
    assert.equal(status, 400);
    assert.match(body.error.message, pattern);
  }
  assert.equal((await post(`${url}/topics/t`, '\n\n', ndjson)).status, 400);
  assert.equal(engine.topics.peek('t'), undefined);
});

test('reading pages by partition, from and limit; a lost or impossible position is an error', async (t) => {
  const { url } = await serveListener(t);
  const lines = Array.from({ length: 3000 }, (_, i) => `${i}\n`).join('');
  await post(`${url}/topics/t`, lines, ndjson);
  const read = async (query: string) => ask(`${url}/topics/t/records?${query}`);
  const data = ({ body }: Answer) => (linesOf(body) as { data: string }[]).map((record) => record.data);
  assert.equal(data(await read('')).length, 1000);
  assert.deepEqual(data(await read('from=2998&limit=5')), ['2998', '2999']);
  assert.deepEqual(data(await read('from=start&limit=2')), ['0', '1']);
  assert.deepEqual(data(await read('from=3000')), []);
  assert.equal(data(await read('limit=99999')).length, 3000);
  assert.equal((await read('from=3001')).body.error.code, 'TANDEM_POSITION_AHEAD');
  assert.equal((await read('from=x')).status, 400);
  assert.equal((await read('partition=7')).body.error.code, 'TANDEM_PARTITION_UNKNOWN');
  assert.equal((await read('epoch=other&from=0')).status, 410);
});

test('topics are listed and shown', async (t) => {
  const { url } = await serveListener(t);
  await post(`${url}/topics/t`, 'a');
  assert.deepEqual((await ask(`${url}/topics`)).body.topics, [
    { name: 't', partitions: 1, retentionMs: null, retentionBytes: null },
  ]);
  const { state } = (await ask(`${url}/topics/t`)).body;
  assert.equal(state[0].nextOffset, 1);
  assert.equal((await ask(`${url}/topics/none`)).status, 404);
});

test('rights: a token is needed, known, and may do what it may; it can stand in the query', async (t) => {
  const { url } = await serveListener(t, { listener: { authenticator: threeTokens } });
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
  const none = await post(`${url}/topics/t`, 'a');
  assert.equal(none.body.error.code, 'TANDEM_AUTH_REQUIRED');
  assert.equal(none.headers.get('www-authenticate'), 'Bearer');
  assert.equal((await post(`${url}/topics/t`, 'a', bearer('wrong'))).status, 401);
  assert.equal((await post(`${url}/topics/t`, 'a', { authorization: 'Basic eDp5' })).status, 401);
  assert.equal((await post(`${url}/topics/t`, 'a', bearer('reader'))).status, 403);
  assert.equal((await post(`${url}/topics/t`, 'a', bearer('publisher'))).status, 201);
  assert.equal((await ask(`${url}/topics/t/records`, { headers: bearer('publisher') })).status, 403);
  assert.equal((await ask(`${url}/topics/t/stream`, { headers: bearer('publisher') })).status, 403);
  assert.equal((await ask(`${url}/topics/t/records?token=reader`)).status, 200);
  assert.equal((await ask(`${url}/readyz`)).status, 200);
});

test('health says role, term and reason; readyz is 503 when the node should get no traffic', async (t) => {
  const health = () => ({ isReady: false, role: 'standby', term: 3, reason: 'standby' }) as const;
  const { url } = await serveListener(t, { listener: { health } });
  const expected = { role: 'standby', term: 3, reason: 'standby' };
  const [live, ready] = [await ask(`${url}/livez`), await ask(`${url}/readyz`)];
  assert.deepEqual([live.status, live.body], [200, expected]);
  assert.deepEqual([ready.status, ready.body], [503, expected]);
});

test('wrong paths, methods and names are answered as errors with a code', async (t) => {
  const { url } = await serveListener(t);
  const wrong = await ask(`${url}/topics/t`, { method: 'DELETE' });
  assert.equal(wrong.status, 405);
  assert.equal(wrong.headers.get('allow'), 'GET, POST');
  for (const path of ['//', '/topics/', '/topics//records', '/topics/t/', '/topics/t/records/more/and/more', '/nope'])
    assert.equal((await ask(url + path)).body.error.code, 'TANDEM_METHOD_UNKNOWN', path);
  assert.equal((await post(`${url}/topics/a%20b`, 'x')).body.error.code, 'TANDEM_TOPIC_INVALID');
  assert.equal((await post(`${url}/topics/%ff`, 'x')).body.error.code, 'TANDEM_INPUT_MALFORMED');
  assert.equal((await ask(`${url}/ws`)).status, 400);
});

test('a client that reads slowly gets everything, and meanwhile the store is not read on', async (t) => {
  const { url, dial, engine } = await serveListener(t);
  const count = 180_000;
  const lines = Array.from({ length: count / 3 }, (_, i) => JSON.stringify({ data: `${i} ${'x'.repeat(200)}` })).join(
    '\n',
  );
  for (let i = 0; i < 3; i++) assert.equal((await post(`${url}/topics/t`, lines, ndjson)).status, 201);
  let bytesRead = 0;
  const read = engine.store.read.bind(engine.store);
  engine.store.read = async (...args) => {
    const result = await read(...args);
    for (const { set } of result.batches) bytesRead += set.data.length;
    return result;
  };
  const client = dial();
  client.socket.pause();
  client.socket.write(`GET /topics/t/records?limit=${count} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`);
  await untilStill('the server has stopped reading', () => bytesRead);
  assert.ok(bytesRead < (count * 200) / 2, `${bytesRead} bytes were read for a client that takes nothing`);
  assert.equal((await post(`${url}/topics/t`, 'others are served')).status, 201);
  client.socket.resume();
  const text = await client.untilEnd();
  assert.equal(text.split('"data"').length - 1, count);
  assert.match(text.slice(-300), /"data":"59999 x+"\}\n\r\n0\r\n\r\n$/);
});
