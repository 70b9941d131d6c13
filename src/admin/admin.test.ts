import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';
import { type TestContext, test } from 'node:test';
import type { Authenticator } from '../core/contracts/auth.ts';
import { silentLogger } from '../core/contracts/telemetry.ts';
import { TandemError } from '../core/errors.ts';
import { type AdminBackend, createAdminServer } from './admin-server.ts';
import { mergeConsumers, mergeTopics } from './reports.ts';

const everybody: Authenticator = { isRequired: false, authenticate: () => ({ name: 'anonymous', may: () => true }) };
const tokens: Authenticator = {
  isRequired: true,
  authenticate: (token) => {
    if (token === undefined) throw new TandemError('TANDEM_AUTH_REQUIRED');
    return { name: token, may: (right) => right === 'admin' && token === 'boss' };
  },
};

async function serve(t: TestContext, overrides: Partial<AdminBackend> = {}, authenticator = everybody) {
  const backend: AdminBackend = {
    health: () => ({ isReady: false, role: 'active', term: 7, reason: 'no worker serves' }),
    status: async () => ({ name: 'n' }),
    topics: async () => ({ topics: [] }),
    consumers: async () => ({ consumers: [] }),
    command: async (command) => command,
    switchover: async (to, timeoutMs) => ({ to, timeoutMs }),
    metrics: async () => '# HELP\n',
    ...overrides,
  };
  const server = createAdminServer({ backend, authenticator, logger: silentLogger, host: '127.0.0.1' });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as { port: number };
  const ask = async (method: string, path: string, headers: { [name: string]: string } = {}, body = '') => {
    const sent = request({ port, method, path, headers: { ...headers, Connection: 'close' } }).end(body);
    const [response] = (await once(sent, 'response')) as [import('node:http').IncomingMessage];
    let text = '';
    for await (const chunk of response.setEncoding('utf8')) text += chunk;
    const isJson = response.headers['content-type']?.startsWith('application/json') === true;
    return {
      status: response.statusCode,
      headers: response.headers,
      body: isJson && text !== '' ? JSON.parse(text) : text,
    };
  };
  return ask;
}

test('livez says 200 and readyz 503 while the node lives but should get no traffic', async (t) => {
  const ask = await serve(t);
  const body = { role: 'active', term: 7, reason: 'no worker serves' };
  const [live, ready] = [await ask('GET', '/livez'), await ask('GET', '/readyz')];
  assert.deepEqual([live.status, live.body], [200, body]);
  assert.deepEqual([ready.status, ready.body], [503, body]);
  assert.equal((await ask('HEAD', '/readyz')).status, 503);
});

test('unknown paths, wrong methods and failures are answered with codes', async (t) => {
  const ask = await serve(t, {
    topics: () => Promise.reject(new TypeError('boom')),
    command: () => Promise.reject(new TandemError('TANDEM_CONSUMER_UNKNOWN')),
  });
  const code = async (method: string, path: string, body?: string) => {
    const answer = await ask(method, path, {}, body);
    return [answer.status, answer.body.error.code];
  };
  assert.deepEqual(await code('GET', '/nothing'), [404, 'TANDEM_METHOD_UNKNOWN']);
  assert.deepEqual(await code('POST', '/metrics'), [405, 'TANDEM_METHOD_NOT_ALLOWED']);
  assert.equal((await ask('POST', '/metrics')).headers.allow, 'GET');
  assert.deepEqual(await code('GET', '/admin/v1/topics'), [500, 'TANDEM_INTERNAL']);
  assert.deepEqual(await code('POST', '/admin/v1/consumers/x/pause'), [404, 'TANDEM_CONSUMER_UNKNOWN']);
  assert.deepEqual(await code('POST', '/admin/v1/consumers/x/replay', '{'), [400, 'TANDEM_INPUT_MALFORMED']);
  assert.deepEqual(await code('POST', '/admin/v1/consumers/x/replay', '{"countMax":0}'), [
    400,
    'TANDEM_INPUT_MALFORMED',
  ]);
  assert.deepEqual(await code('POST', '/admin/v1/consumers/x/replay', 'x'.repeat(70_000)), [
    413,
    'TANDEM_BATCH_TOO_LARGE',
  ]);
});

test('commands reach the backend', async (t) => {
  const ask = await serve(t);
  assert.deepEqual((await ask('POST', '/admin/v1/consumers/a%20b/pause')).body, { kind: 'pause', consumer: 'a b' });
  const replay = await ask('POST', '/admin/v1/consumers/x/replay', {}, '{"countMax":5}');
  assert.deepEqual(replay.body, { kind: 'replay', consumer: 'x', countMax: 5 });
  const skip = async (body: string) => (await ask('POST', '/admin/v1/consumers/x/skip', {}, body)).body;
  assert.deepEqual(await skip('{"partition":0}'), { kind: 'skip', consumer: 'x', partition: 0 });
  assert.deepEqual(await skip('{"partition":1,"toOffset":0}'), {
    ...{ kind: 'skip', consumer: 'x', partition: 1, toOffset: 0 },
  });
  for (const bad of ['', '{}', 'null', '{"partition":-1}', '{"partition":"0"}', '{"partition":0,"toOffset":1.5}'])
    assert.equal((await skip(bad)).error.code, 'TANDEM_INPUT_MALFORMED', bad);
  assert.equal((await ask('GET', '/metrics')).body, '# HELP\n');
  assert.match((await ask('GET', '/')).body, /<title>Tandem/);
});

test('with auth only the admin right opens the API; health stays open', async (t) => {
  const ask = await serve(t, {}, tokens);
  const as = async (token?: string) =>
    (await ask('GET', '/admin/v1/status', token === undefined ? {} : { Authorization: `Bearer ${token}` })).status;
  assert.deepEqual([await as(), await as('guest'), await as('boss')], [401, 403, 200]);
  assert.equal((await ask('GET', '/metrics')).status, 401);
  const skip = (token: string) =>
    ask('POST', '/admin/v1/consumers/x/skip', { Authorization: `Bearer ${token}` }, '{"partition":0}');
  assert.deepEqual([(await skip('guest')).status, (await skip('boss')).status], [403, 200]);
  assert.equal((await ask('GET', '/livez')).status, 200);
});

test('a web page of another origin cannot use the API, with or without auth', async (t) => {
  const [open, closed] = [await serve(t), await serve(t, {}, tokens)];
  const from = async (ask: typeof open, headers: { [name: string]: string }) => {
    const answer = await ask('POST', '/admin/v1/consumers/x/pause', { Authorization: 'Bearer boss', ...headers });
    return answer.status === 200 ? 200 : answer.body.error.code;
  };
  const refused = 'TANDEM_ORIGIN_FORBIDDEN';
  for (const ask of [open, closed]) {
    assert.equal(await from(ask, { Host: 'localhost:9510', Origin: 'http://evil.example' }), refused);
    assert.equal(await from(ask, { Host: 'localhost:9510', Origin: 'null' }), refused);
    assert.equal(await from(ask, { Host: 'localhost:9510', Origin: 'http://localhost:9510' }), 200);
  }
  assert.equal(await from(open, { 'Sec-Fetch-Site': 'cross-site' }), refused);
  assert.equal(await from(open, { Host: 'evil.example:9510', Origin: 'http://evil.example:9510' }), refused);
  assert.equal(await from(open, { Host: 'localhost:9510', 'Sec-Fetch-Site': 'same-origin' }), 200);
  assert.equal((await open('GET', '/livez', { Host: 'evil.example' })).status, 200);
});

test('the page runs its own script and no other, and nobody frames it', async (t) => {
  const { headers, body } = await (await serve(t))('GET', '/');
  const policy = String(headers['content-security-policy']);
  assert.match(policy, /script-src 'sha256-[^']+'; style-src 'sha256-[^']+';.* frame-ancestors 'none'/);
  const [, script = ''] = /<script>([\s\S]*)<\/script>/.exec(body) ?? [];
  assert.ok(policy.includes(createHash('sha256').update(script).digest('base64')));
});

test('topics of several workers become one list', () => {
  const topic = (name: string, partition: number, partitionCount = 2) => ({
    name,
    partitionCount,
    retentionMs: null,
    retentionBytes: null,
    partitions: [{ partition, epoch: 'e', firstOffset: 0, nextOffset: partition }],
  });
  const merged = mergeTopics([[topic('b', 1), topic('a', 0)], [topic('b', 0, 4)]]);
  assert.deepEqual(
    merged.map(({ name, partitionCount, partitions }) => [name, partitionCount, partitions.map((p) => p.partition)]),
    [
      ['a', 2, [0]],
      ['b', 4, [0, 1]],
    ],
  );
});

test('consumers of several workers become one: the most urgent state, summed lag and totals', () => {
  const report = (partition: number, state: string, lagRecords: number | null) => ({
    name: 'save',
    state,
    ...(state === 'stopped' ? { reason: 'why' } : {}),
    partitions: [{ partition, lagRecords }],
    totals: { handled: 1 + partition },
  });
  const [merged] = mergeConsumers([[report(1, 'running', 5)], [report(0, 'stopped', null)]]);
  assert.deepEqual(merged, {
    name: 'save',
    state: 'stopped',
    reason: 'why',
    lagRecords: 5,
    partitions: [
      { partition: 0, lagRecords: null },
      { partition: 1, lagRecords: 5 },
    ],
    totals: { handled: 3 },
  });
});
