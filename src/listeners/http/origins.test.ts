import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { guardOf, serveListener, threeTokens } from './served-listener.fixture.ts';

const APP = 'https://app.example';
const EVIL = 'http://evil.example';
const ROUTES = [
  ['GET', '/topics'],
  ['GET', '/topics/t'],
  ['POST', '/topics/t'],
  ['OPTIONS', '/topics/t'],
  ['GET', '/topics/t/records'],
  ['GET', '/topics/t/stream'],
] as const;

type Served = Awaited<ReturnType<typeof serveListener>>;

/** The whole answer to a request that no body follows, as text; of a stream or a WebSocket only until the blank line. */
async function ask({ dial }: Served, method: string, path: string, headers: { [name: string]: string }) {
  const client = dial();
  const lines = Object.entries({ Host: '127.0.0.1:9500', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  const body = method === 'POST' ? 'Content-Length: 4\r\n\r\nevil' : '\r\n';
  client.socket.write(`${method} ${path} HTTP/1.1\r\n${lines.join('')}${body}`);
  await client.until(() => client.text.includes('\r\n\r\n'));
  const head = client.text.slice(0, client.text.indexOf('\r\n\r\n'));
  const length = /content-length: (\d+)/i.exec(head)?.[1];
  if (length !== undefined && method !== 'HEAD')
    await client.until(() => client.received.length >= head.length + 4 + Number(length));
  const header = (name: string) => new RegExp(`^${name}: (.*)$`, 'im').exec(head)?.[1]?.trim();
  return { status: Number(head.slice(9, 12)), header, text: client.text };
}

const UPGRADE = {
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==',
};

test('a page of another origin can neither read, publish, subscribe nor open a WebSocket, token or not', async (t) => {
  const served = await serveListener(t, {
    listener: { authenticator: threeTokens, originGuard: guardOf({ isAuthRequired: true }) },
  });
  for (const Origin of [EVIL, 'null', 'http://127.0.0.1:9501'])
    for (const [method, path] of [...ROUTES, ['GET', '/ws'] as const]) {
      const upgrade = path === '/ws' ? UPGRADE : {};
      const answer = await ask(served, method, `${path}?token=all`, { Origin, ...upgrade });
      assert.equal(answer.status, 403, `${method} ${path} from ${Origin}`);
      assert.match(answer.text, /TANDEM_ORIGIN_FORBIDDEN/);
      assert.equal(answer.header('Access-Control-Allow-Origin'), undefined);
    }
  assert.equal(await served.engine.topics.find('t'), undefined);
});

test('a page whose name was pointed at loopback is refused on every route but health', async (t) => {
  const served = await serveListener(t, { listener: { originGuard: guardOf({ host: '127.0.0.1' }) } });
  const Host = 'evil.example:9500';
  for (const [method, path] of [...ROUTES, ['GET', '/ws'] as const]) {
    const upgrade = path === '/ws' ? UPGRADE : {};
    const answer = await ask(served, method, path, { Host, Origin: `http://${Host}`, ...upgrade });
    assert.equal(answer.status, 403, `${method} ${path}`);
  }
  assert.equal((await ask(served, 'GET', '/readyz', { Host })).status, 200);
});

test('the own origin and clients without one are served as ever, without CORS headers', async (t) => {
  const served = await serveListener(t, { listener: { originGuard: guardOf({ host: '127.0.0.1' }) } });
  for (const headers of [{}, { Origin: 'http://127.0.0.1:9500' }] as { [name: string]: string }[]) {
    const published = await ask(served, 'POST', '/topics/t', headers);
    assert.deepEqual([published.status, published.header('Vary')], [201, undefined]);
    assert.equal((await ask(served, 'OPTIONS', '/topics/t', headers)).status, 405);
    assert.equal((await ask(served, 'GET', '/ws', { ...headers, ...UPGRADE })).status, 101);
  }
});

test('a page of an allowed origin is let in: preflight, publish, read, stream, WebSocket, and errors that it can read', async (t) => {
  const originGuard = guardOf({ host: '127.0.0.1', isAuthRequired: true, allowedOrigins: [APP] });
  const served = await serveListener(t, { listener: { authenticator: threeTokens, originGuard } });
  const from = (method: string, path: string, headers = {}) => ask(served, method, path, { Origin: APP, ...headers });
  const preflight = await from('OPTIONS', '/topics/t', { 'Access-Control-Request-Method': 'POST' });
  assert.equal(preflight.status, 204);
  assert.equal(preflight.header('Access-Control-Allow-Methods'), 'GET, POST');
  for (const name of ['Authorization', 'Content-Type', 'Tandem-Key', 'Tandem-Producer', 'Tandem-Sequence'])
    assert.ok(preflight.header('Access-Control-Allow-Headers')?.includes(name), name);
  const token = { Authorization: 'Bearer all' };
  const answers = [
    [204, preflight],
    [201, await from('POST', '/topics/t', token)],
    [200, await from('GET', '/topics/t/records', token)],
    [200, await from('GET', '/topics/t/stream?from=start&token=all')],
    [401, await from('GET', '/topics')],
    [403, await from('POST', '/topics/t?token=reader')],
  ] as const;
  for (const [status, answer] of answers) {
    assert.equal(answer.status, status, answer.text);
    assert.equal(answer.header('Access-Control-Allow-Origin'), APP);
    assert.equal(answer.header('Vary'), 'Origin');
  }
  assert.match(answers[2][1].header('Access-Control-Expose-Headers') ?? '', /Tandem-Next-Offset/);
  assert.match(answers[2][1].text, /"data":"evil"/);
  assert.match(answers[5][1].text, /TANDEM_AUTH_FORBIDDEN/);
  assert.equal((await from('GET', '/ws?token=all', UPGRADE)).status, 101);
  assert.equal((await ask(served, 'GET', '/topics?token=all', { Origin: EVIL })).status, 403);
});

test('GET / is one page that needs no token, loads nothing else and runs only its own script', async (t) => {
  const served = await serveListener(t, { listener: { authenticator: threeTokens } });
  const { status, header, text } = await ask(served, 'GET', '/', {});
  assert.equal(status, 200);
  assert.equal(header('Content-Type'), 'text/html; charset=utf-8');
  const policy = header('Content-Security-Policy') ?? '';
  assert.match(policy, /^default-src 'none';/);
  assert.doesNotMatch(policy, /unsafe/);
  for (const tag of ['script', 'style']) {
    const blocks = [...text.matchAll(new RegExp(`<${tag}>([^]*?)</${tag}>`, 'g'))];
    assert.equal(blocks.length, 1);
    const hash = createHash('sha256')
      .update(blocks[0]?.[1] ?? '')
      .digest('base64');
    assert.ok(policy.includes(`${tag}-src 'sha256-${hash}'`), tag);
  }
  assert.doesNotMatch(text, /(src|href)="(?!data:,")|innerHTML|insertAdjacentHTML|@import|url\(/);
  const head = await ask(served, 'HEAD', '/', { Connection: 'close' });
  assert.deepEqual([head.status, head.header('Content-Security-Policy')], [200, policy]);
});
