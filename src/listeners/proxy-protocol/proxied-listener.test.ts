import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { connect as connectTls, createSecureContext } from 'node:tls';
import { WebSocket } from 'ws';
import { DEFAULT_LIMITS } from '../../core/limits.ts';
import { systemClock } from '../../core/ports/clock.ts';
import { makeCertificate } from '../../core/testing/certificate.ts';
import { rawErrorAnswer } from '../http/answers.ts';
import { eventually, RawClient, serveListener } from '../http/served-listener.fixture.ts';
import { frameText, refusalText } from '../tcp/answers.ts';
import { createTcpListener } from '../tcp/tcp-listener.ts';
import type { TcpListenerOptions } from '../tcp/tcp-options.ts';
import { balance, keptLog, type ProxiedChanges, serveProxied } from './proxied-listener.fixture.ts';
import { ENDS, framed, version1, version2 } from './proxy-header.fixture.ts';

const HEADERS: readonly (readonly [string, Buffer])[] = [
  ['version 1', version1()],
  ['version 2', version2()],
  ['version 1, IPv6', version1({ ...ENDS, source: '2001:db8::7', destination: '::1' })],
  ['LOCAL', framed(0x20, 0, Buffer.alloc(0))],
];

async function serveTcp(t: TestContext, changes: ProxiedChanges = {}, tcp: Partial<TcpListenerOptions> = {}) {
  const { ingest, stored } = await serveListener(t);
  const logger = keptLog();
  const everybody = { isRequired: false, authenticate: () => ({ name: 'anybody', may: () => true }) };
  const inner = createTcpListener({
    ...{ topic: 't', framing: 'line', ack: 'offset', nodeTerm: 5, ackLevel: 'memory' },
    ...{ ingest, authenticator: everybody, limits: DEFAULT_LIMITS, logger, ...tcp },
  });
  const refusal = (error: Parameters<typeof refusalText>[0]): Buffer => frameText(refusalText(error), 'line');
  const served = await serveProxied(t, inner, { refusal, ...changes });
  const dial = (): RawClient => {
    const client = new RawClient(connect({ port: served.port, host: '127.0.0.1', noDelay: true }));
    t.after(() => client.socket.destroy());
    return client;
  };
  return { ...served, dial, stored: () => stored('t'), innerLog: logger };
}

for (const [name, header] of HEADERS)
  for (const pieces of ['one', 'bytes'] as const)
    test(`TCP: ${name} in ${pieces === 'one' ? 'one piece with the data' : 'single bytes'}`, async (t) => {
      const { port, stored, innerLog } = await serveTcp(t);
      const client = new RawClient(connect(await balance(t, port, header, pieces), '127.0.0.1'));
      client.socket.write('HELLO {"producer":"p","seq":1}\none\ntwo\n');
      await client.until(() => client.text.split('\n').length === 4);
      assert.match(client.text, /^OK {"term":5,"seq":0,"ack":"memory"}\nOK 0:0\nOK 0:1\n$/);
      assert.deepEqual(await stored(), ['one', 'two']);
      assert.deepEqual(innerLog.lines, []);
      client.socket.destroy();
    });

test("the log has the client's address, or the load balancer's own for LOCAL", async (t) => {
  const { dial, innerLog } = await serveTcp(t);
  for (const [, header] of HEADERS) {
    const client = dial();
    client.socket.write(Buffer.concat([header, Buffer.from('HELLO {"seq":0}\n')]));
    await client.untilEnd();
  }
  const refused = innerLog.lines.filter(({ event }) => event === 'tcp_refused');
  assert.deepEqual(
    refused.map(({ remote }) => remote),
    ['203.0.113.7', '203.0.113.7', '2001:db8::7', '127.0.0.1'],
  );
});

test('a client that ends its side with the data still gets its answers', async (t) => {
  const { dial, stored } = await serveTcp(t);
  const client = dial();
  client.socket.end(Buffer.concat([version2(), Buffer.from('one\n')]));
  assert.equal(await client.untilEnd(), 'OK 0:0\n');
  assert.deepEqual(await stored(), ['one']);
});

test('who is not trusted is refused whatever he sends, and the log cannot be filled', async (t) => {
  const { dial, logger, proxied, stored } = await serveTcp(t, { trustedProxies: ['10.0.0.0/8', '::1'] });
  const clients = Array.from({ length: 50 }, dial);
  for (const { socket } of clients) socket.write(Buffer.concat([version2(), Buffer.from('one\n')]));
  const answers = await Promise.all(clients.map((client) => client.untilEnd()));
  for (const answer of answers)
    assert.match(answer, /^ERR TANDEM_PROXY_HEADER .*127\.0\.0\.1 is not in trustedProxies/);
  await assert.rejects(stored(), { code: 'TANDEM_TOPIC_UNKNOWN' }, 'nothing was stored');
  assert.ok(logger.lines.length >= 1 && logger.lines.length < 5, `${logger.lines.length} lines for 50`);
  assert.deepEqual(
    { ...logger.lines[0], problem: '' },
    {
      ...{ event: 'proxy_header_refused', code: 'TANDEM_PROXY_HEADER', problem: '' },
      ...{ remote: '127.0.0.1', unsaid: 0 },
    },
  );
  const refused = proxied.metrics().find(({ name }) => name === 'tandem_listener_proxy_refused_total');
  assert.equal(refused?.value, 50);
});

test('no header, half a header, or none in time is refused; a look at the port is not', async (t) => {
  const { dial, logger, proxied } = await serveTcp(t, { limits: { headerTimeoutMs: 200 } });
  const look = dial();
  look.socket.end();
  await look.untilEnd();
  assert.deepEqual(logger.lines, []);
  const [plain, half, slow, silent] = [dial(), dial(), dial(), dial()] as const;
  plain.socket.write('one\n');
  half.socket.end(version1().subarray(0, 20));
  slow.socket.write(version2().subarray(0, 27));
  assert.match(await plain.untilEnd(), /^ERR TANDEM_PROXY_HEADER .*begins with neither/);
  assert.match(await half.untilEnd(), /^ERR TANDEM_PROXY_HEADER .*ended inside/);
  for (const late of [slow, silent]) assert.match(await late.untilEnd(), /^ERR TANDEM_PROXY_HEADER .*in time/);
  await eventually(() => proxied.connections === 0);
});

test('connections over the limit are turned away before their header', async (t) => {
  const { dial, proxied } = await serveTcp(t, { limits: { connectionsMax: 2 } });
  const [first, second] = [dial(), dial()];
  await eventually(() => proxied.connections === 2);
  assert.match(await dial().untilEnd(), /^ERR TANDEM_CONNECTIONS_LIMIT/);
  for (const client of [first, second]) client.socket.destroy();
  await eventually(() => proxied.connections === 0);
});

test('drain cuts who has not said who he is, and ends the others as ever', async (t) => {
  const { dial, proxied } = await serveTcp(t);
  const [arriving, open] = [dial(), dial()];
  open.socket.write(Buffer.concat([version2(), Buffer.from('one\n')]));
  await open.until(() => open.text === 'OK 0:0\n');
  await eventually(() => proxied.connections === 2);
  const drained = proxied.drain(5000);
  await Promise.all([drained, arriving.untilEnd(), open.untilEnd()]);
  assert.equal(proxied.connections, 0);
  assert.match(await dial().untilEnd(), /^ERR TANDEM_DRAINING/);
});

async function serveHttp(t: TestContext, isTls: boolean) {
  const { cert, key } = isTls ? makeCertificate(t) : { cert: undefined, key: undefined };
  const log = keptLog();
  const secured = cert && key ? { secureContext: createSecureContext({ cert, key }) } : {};
  const listenerOptions = { logger: log, ...secured };
  // Longer than any test: what ends a connection here is not its time-out.
  const limits = { headerTimeoutMs: 120_000 };
  const { listener, ...served } = await serveListener(t, { listener: listenerOptions, limits });
  const proxied = await serveProxied(t, listener, cert ? {} : { refusal: rawErrorAnswer });
  return { ...served, ...proxied, cert, listener, log };
}

for (const isTls of [false, true])
  for (const pieces of ['one', 'bytes'] as const)
    for (const [name, header] of HEADERS.slice(0, 2))
      test(`HTTP, SSE and WebSocket${isTls ? ' inside TLS' : ''} after ${name}, ${pieces}`, async (t) => {
        const { port: target, cert, stored } = await serveHttp(t, isTls);
        const port = await balance(t, target, header, pieces);
        const raw = (): RawClient => {
          const options = { port, host: '127.0.0.1' };
          const client = new RawClient(cert ? connectTls({ ...options, ca: cert }) : connect(options));
          t.after(() => client.socket.destroy());
          return client;
        };
        const [http, sse] = [raw(), raw()];
        const post = (body: string): string =>
          `POST /topics/t HTTP/1.1\r\nHost: h\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
        http.socket.write(post('one') + post('two'));
        await http.until(() => (http.text.match(/HTTP\/1.1 201/g) ?? []).length === 2);
        http.socket.write(post('x'.repeat(100_000)));
        await http.until(() => (http.text.match(/HTTP\/1.1 201/g) ?? []).length === 3);
        sse.socket.write('GET /topics/t/stream?from=start HTTP/1.1\r\nHost: h\r\n\r\n');
        await sse.until(() => /"data":"two"/.test(sse.text));
        const webSocket = new WebSocket(`${isTls ? 'wss' : 'ws'}://127.0.0.1:${port}/ws`, cert ? { ca: cert } : {});
        t.after(() => webSocket.terminate());
        await once(webSocket, 'open');
        webSocket.send('{"jsonrpc":"2.0","id":1,"method":"publish","params":{"topic":"t","data":"three"}}');
        const [answer] = await once(webSocket, 'message');
        assert.match(String(answer), /"offset":3/);
        assert.deepEqual((await stored('t')).toSpliced(2, 1), ['one', 'two', 'three']);
      });

test('HTTP: the refusal is an answer; inside TLS the connection is cut', async (t) => {
  const plain = await serveHttp(t, false);
  const client = new RawClient(connect(plain.port, '127.0.0.1'));
  client.socket.write('GET /topics HTTP/1.1\r\nHost: h\r\n\r\n');
  assert.match(await client.untilEnd(), /^HTTP\/1.1 400 [\s\S]*TANDEM_PROXY_HEADER/);
  const secure = await serveHttp(t, true);
  const handshake = new RawClient(connect(secure.port, '127.0.0.1'));
  handshake.socket.write(Buffer.from([0x16, 0x03, 0x01]));
  assert.equal(await handshake.untilEnd(), '');
});

test("HTTP: the log has the client's address, inside TLS too", async (t) => {
  for (const isTls of [false, true]) {
    const { port, cert, log } = await serveHttp(t, isTls);
    const through = await balance(t, port, version2(), 'one');
    const options = { port: through, host: '127.0.0.1' };
    const client = new RawClient(cert ? connectTls({ ...options, ca: cert }) : connect(options));
    client.socket.write('what is this\r\n\r\n');
    await client.untilEnd();
    assert.equal(log.lines.find(({ event }) => event === 'http_malformed')?.['remote'], ENDS.source);
  }
});

test('HTTP: drain ends at once a connection of which only the header came', async (t) => {
  const { port, proxied } = await serveHttp(t, false);
  const client = new RawClient(connect(port, '127.0.0.1'));
  client.socket.write(version2());
  await eventually(() =>
    proxied.metrics().some(({ name, value }) => name === 'tandem_listener_accepted_total' && value === 1),
  );
  const startMs = systemClock.monotonicMs();
  await proxied.drain(40_000);
  await client.untilEnd();
  assert.ok(systemClock.monotonicMs() - startMs < 30_000);
});
