/** Clients that misbehave, by name of what they do. Each test also shows that another client notices nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TandemError } from '../../core/errors.ts';
import { eventually, type RawClient, serveListener } from './served-listener.fixture.ts';

const codeIn = (text: string): string | undefined => /"code":"(\w+)"/.exec(text)?.[1];

async function stillServes(url: string): Promise<void> {
  const response = await fetch(`${url}/topics/other`, { method: 'POST', body: 'x' });
  await response.text();
  assert.equal(response.status, 201);
}

test('too large a body with a declared length is refused before it is read', async (t) => {
  const { url, dial } = await serveListener(t, { limits: { recordBytesMax: 1000 } });
  const client = dial();
  client.socket.write('POST /topics/t HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999\r\n\r\nxxx');
  await client.until(() => client.text.includes('retryable'));
  assert.match(client.text, /^HTTP\/1.1 413 .*\r\n[\s\S]*Connection: close/);
  assert.equal(codeIn(client.text), 'TANDEM_RECORD_TOO_LARGE');
  await client.untilEnd();
  await stillServes(url);
});

test('too large a body of unknown length is refused while it streams, and the client sees the answer', async (t) => {
  const { url, dial, listener } = await serveListener(t, { limits: { requestBytesMax: 100_000 } });
  const client = dial();
  // It looks at the answer only when all is over: a reset by the server would have destroyed it.
  client.socket.pause();
  client.socket.write(
    'POST /topics/t HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Type: application/x-ndjson\r\n\r\n',
  );
  const chunk = `10000\r\n${'1\n'.repeat(0x8000)}\r\n`;
  for (let i = 0; i < 300; i++) client.socket.write(chunk);
  client.socket.write('0\r\n\r\n');
  const accepted = (): number | undefined =>
    listener.metrics().find(({ name }) => name.endsWith('accepted_total'))?.value;
  await eventually(() => accepted() === 1 && listener.connections === 0);
  client.socket.resume();
  assert.equal(codeIn(await client.untilEnd()), 'TANDEM_BATCH_TOO_LARGE');
  await stillServes(url);
});

test('half-received bodies of all clients together are bounded', async (t) => {
  const { url, dial, listener } = await serveListener(t, {
    limits: { ingestBytesMax: 1 << 20, requestBytesMax: 1 << 20, recordBytesMax: 1 << 20 },
  });
  const clients: RawClient[] = [];
  for (let i = 0; i < 4; i++) {
    const client = dial();
    clients.push(client);
    client.socket.write(`POST /topics/t HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n${'x'.repeat(300_000)}`);
  }
  const refused = (): RawClient | undefined => clients.find((client) => codeIn(client.text) === 'TANDEM_OVERLOADED');
  await eventually(() => refused() !== undefined);
  assert.match(refused()?.text ?? '', /^HTTP\/1.1 503 [\s\S]*Retry-After: 1/);
  for (const client of clients) client.socket.destroy();
  await eventually(() => listener.connections === 0);
  await stillServes(url);
});

test('Expect: 100-continue is answered; a body that would be refused is never asked for', async (t) => {
  const { dial } = await serveListener(t, { limits: { recordBytesMax: 1000 } });
  const good = dial();
  good.socket.write('POST /topics/t HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n');
  await good.until(() => good.text.startsWith('HTTP/1.1 100 Continue\r\n\r\n'));
  good.socket.write('ab');
  await good.until(() => good.text.includes('"offset":0}'));
  const large = dial();
  large.socket.write('POST /topics/t HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2000\r\n\r\n');
  assert.match(await large.untilEnd(), /^HTTP\/1.1 413 /);
});

test('a slow head and a slow body time out with 408; a connection that says nothing is closed', async (t) => {
  const { url, dial } = await serveListener(t, { limits: { headerTimeoutMs: 200, idleTimeoutMs: 400 } });
  const [slowHead, slowBody, silent] = [dial(), dial(), dial()];
  slowHead.socket.write('GET /livez HTTP/1.1\r\nHost:');
  slowBody.socket.write('POST /topics/t HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc');
  const trickle = setInterval(() => slowBody.socket.write('x'), 150);
  t.after(() => clearInterval(trickle));
  const texts = await Promise.all([slowHead.untilEnd(), slowBody.untilEnd(), silent.untilEnd()]);
  for (const text of texts.slice(0, 2)) {
    assert.match(text, /^HTTP\/1.1 408 /);
    assert.equal(codeIn(text), 'TANDEM_SESSION_IDLE');
  }
  await stillServes(url);
});

test('what is not HTTP gets 400, too large a head too; then the connection ends', async (t) => {
  const { url, dial } = await serveListener(t);
  const inputs = [
    'complete nonsense\r\n\r\n',
    '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    `GET / HTTP/1.1\r\nHost: h\r\nX-Large: ${'x'.repeat(20_000)}\r\n\r\n`,
    'POST /topics/t HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ];
  for (const input of inputs) {
    const client = dial();
    client.socket.write(input, 'latin1');
    const text = await client.untilEnd();
    assert.match(text, /^HTTP\/1.1 400 /, input.slice(0, 30));
    assert.equal(codeIn(text), 'TANDEM_INPUT_MALFORMED');
  }
  await stillServes(url);
});

test('connections over the limit get 503 with a code, and room is found again', async (t) => {
  const { dial, listener } = await serveListener(t, { limits: { connectionsMax: 1 } });
  const first = dial();
  first.socket.write('GET /livez HTTP/1.1\r\nHost: h\r\n\r\n');
  await first.until(() => first.text.includes('role'));
  const text = await dial().untilEnd();
  assert.match(text, /^HTTP\/1.1 503 /);
  assert.equal(codeIn(text), 'TANDEM_CONNECTIONS_LIMIT');
  first.socket.destroy();
  await eventually(() => listener.connections === 0);
  const next = dial();
  next.socket.write('GET /livez HTTP/1.1\r\nHost: h\r\n\r\n');
  await next.until(() => next.text.includes('role'));
});

test('a client that ends its side after the request still gets its answer', async (t) => {
  const { dial } = await serveListener(t);
  const client = dial();
  client.socket.end('POST /topics/t HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx');
  assert.match(await client.untilEnd(), /^HTTP\/1.1 201 [\s\S]*"offset":0\}$/);
});

test('pipelined requests are stored and answered in their order', async (t) => {
  const { dial, stored } = await serveListener(t);
  const client = dial();
  const count = 50;
  let bytes = '';
  for (let i = 0; i < count; i++)
    bytes += `POST /topics/t HTTP/1.1\r\nHost: h\r\nContent-Length: ${String(i).length}\r\n\r\n${i}`;
  client.socket.write(bytes);
  await client.until(() => client.text.includes(`"offset":${count - 1}}`));
  const offsets = [...client.text.matchAll(/"offset":(\d+)/g)].map((match) => Number(match[1]));
  const expected = Array.from({ length: count }, (_, i) => i);
  assert.deepEqual(offsets, expected);
  assert.deepEqual(await stored('t'), expected.map(String));
});

test('while ingest is saturated a body waits unread, and is stored when there is room', async (t) => {
  const served = await serveListener(t);
  let makeReady: () => void = () => {};
  let isSaturated = true;
  let isWaiting = false;
  const { ingest } = served;
  const gated = {
    openLane: ingest.openLane.bind(ingest),
    append: ingest.append.bind(ingest),
    drain: ingest.drain.bind(ingest),
    unfinishedRecords: 0,
    get isSaturated() {
      return isSaturated;
    },
    whenReady(callback: () => void) {
      makeReady = callback;
      isWaiting = true;
    },
  };
  const { dial } = await serveListener(t, { listener: { ingest: gated } });
  const client = dial();
  client.socket.write(`POST /topics/t HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(1_000_000)}`);
  await eventually(() => isWaiting);
  assert.equal(client.text, '');
  assert.equal(served.engine.topics.peek('t'), undefined);
  isSaturated = false;
  makeReady();
  await client.until(() => client.text.includes('"offset":0}'));
  assert.deepEqual(await served.stored('t'), ['x'.repeat(1_000_000)]);
});

test('an error of the store is answered with its code, and the connection goes on', async (t) => {
  const { url, engine } = await serveListener(t);
  const append = engine.store.append.bind(engine.store);
  engine.store.append = async () => {
    engine.store.append = append;
    throw new TandemError('TANDEM_DISK_FULL');
  };
  const response = await fetch(`${url}/topics/t`, { method: 'POST', body: 'x' });
  assert.equal(response.status, 507);
  assert.equal(codeIn(await response.text()), 'TANDEM_DISK_FULL');
  await stillServes(url);
});
