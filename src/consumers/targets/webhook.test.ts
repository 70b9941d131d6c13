import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { createHttpClient } from '../../core/ports/http-client.ts';
import { seededRandom } from '../../core/ports/random.ts';
import { keyed, openBench, TOPIC, until, untilWithTime } from '../consumers.fixture.ts';
import { signatureOf, signingKeyOf } from './webhook.ts';

const DEAD = `${TOPIC}.dead`;

interface Request {
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly port: number | undefined;
}

/** A real receiver; `answer` gets each request and answers it (or does not). */
async function openReceiver(t: TestContext, answer: (request: Request, response: ServerResponse) => void) {
  const requests: Request[] = [];
  const server = createServer(async (incoming, response) => {
    const parts: Buffer[] = [];
    for await (const part of incoming) parts.push(part as Buffer);
    const request = { headers: incoming.headers, body: Buffer.concat(parts), port: incoming.socket.remotePort };
    requests.push(request);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const http = createHttpClient();
  t.after(() => {
    http.close();
    server.closeAllConnections();
    server.close();
  });
  return { requests, http, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook` };
}

const ok = (_: Request, response: ServerResponse): void => void response.writeHead(204).end();

test('the example of the Standard Webhooks libraries has the signature that they expect', () => {
  const key = signingKeyOf('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
  const id = 'msg_p5jXN8AQM9LWM0D4loKWxJek';
  const signature = signatureOf(key, id, '1614265330', Buffer.from('{"test": 2432232314}'));
  assert.equal(signature, 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
});

test('a record arrives byte for byte, signed, with its place, over a kept connection', async (t) => {
  const receiver = await openReceiver(t, ok);
  const bench = await openBench(t);
  const to = { to: receiver.url, secret: 'plain text secret' };
  const { consumers } = bench.openWorker({ consumers: [to], http: receiver.http });
  const totals = async () => (await consumers.status())[0]?.totals;
  const binary = Buffer.from([0xff, 0, 0x80]);
  const records = [
    keyed('kéy', '{"a": 1}'),
    'plain',
    { data: binary },
    '',
    { headers: { h: 'v' }, data: Buffer.from('[1') },
  ];
  for (const record of records) await bench.append(record);
  await consumers.start();
  await until(async () => (await totals())?.handled === 5, 'all are taken');
  assert.deepEqual(
    receiver.requests.map(({ headers }) => headers['content-type']),
    [
      'application/json',
      'text/plain; charset=utf-8',
      'application/octet-stream',
      'text/plain; charset=utf-8',
      'text/plain; charset=utf-8',
    ],
  );
  assert.deepEqual(receiver.requests[2]?.body, binary);
  const { headers, body } = receiver.requests[0] as Request;
  const id = headers['webhook-id'] as string;
  assert.match(id, /^orders\/0\/[^.]+\/0$/);
  const timestamp = headers['webhook-timestamp'] as string;
  assert.equal(Number(timestamp), Math.floor(1_700_000_000));
  const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  const expected = createHmac('sha256', 'plain text secret').update(signed).digest('base64');
  assert.equal(headers['webhook-signature'], `v1,${expected}`);
  assert.equal(decodeURIComponent(headers['tandem-key'] as string), 'kéy');
  assert.deepEqual([headers['tandem-topic'], headers['tandem-offset'], headers['tandem-attempt']], [TOPIC, '0', '1']);
  assert.equal(decodeURIComponent(receiver.requests[4]?.headers['tandem-headers'] as string), '{"h":"v"}');
  assert.equal(new Set(receiver.requests.map(({ port }) => port)).size, 1, 'one connection');
});

test('a failing receiver is asked again with the same id; Retry-After holds within the bound', async (t) => {
  const answers = [
    { status: 503, headers: { 'retry-after': '7' } },
    { status: 302, headers: { location: '/elsewhere' } },
    { status: 400, headers: { 'retry-after': '3600' } },
  ];
  const receiver = await openReceiver(t, (_, response) => {
    const answer = answers[receiver.requests.length - 1];
    response.writeHead(answer?.status ?? 200, answer?.headers).end('because');
  });
  const bench = await openBench(t, { random: { ...seededRandom(1), fraction: () => 0.5 } });
  const retry = { attemptsMax: 5, backoffMs: 2000, backoffMsMax: 60_000 };
  const { consumers } = bench.openWorker({ consumers: [{ to: receiver.url, retry }], http: receiver.http });
  await bench.append('a');
  await consumers.start();
  for (const [index, waitMs] of [7000, 2000, 60_000].entries()) {
    await until(() => receiver.requests.length === index + 1, `request ${index + 1}`);
    await until(async () => (await consumers.status())[0]?.totals.failedAttempts === index + 1, 'its answer');
    await bench.clock.advance(waitMs - 1);
    assert.equal(receiver.requests.length, index + 1, `not before ${waitMs} ms`);
    await bench.clock.advance(1);
  }
  await until(() => receiver.requests.length === 4, 'the last request');
  await until(async () => (await consumers.status())[0]?.totals.handled === 1, 'its answer');
  await untilWithTime(bench.clock, async () => (await bench.committed('save')) === 1, 'taken at last');
  assert.equal(new Set(receiver.requests.map(({ headers }) => headers['webhook-id'])).size, 1);
  assert.deepEqual(
    receiver.requests.map(({ headers }) => headers['tandem-attempt']),
    ['1', '2', '3', '4'],
  );
});

test('no answer at all: the request is aborted at the time-out and ends as a dead letter', async (t) => {
  const closed: string[] = [];
  const receiver = await openReceiver(t, (_, response) => {
    response.on('close', () => closed.push('closed'));
  });
  const bench = await openBench(t);
  const retry = { attemptsMax: 1, backoffMs: 1, backoffMsMax: 1 };
  const consumer = { to: receiver.url, retry, timeoutMs: 500 };
  const { consumers } = bench.openWorker({ consumers: [consumer], http: receiver.http });
  await bench.append('a');
  await consumers.start();
  await until(() => receiver.requests.length === 1, 'the request');
  await untilWithTime(bench.clock, async () => (await bench.committed('save')) === 1, 'the dead letter');
  const [letter] = await bench.read(DEAD);
  assert.equal(letter?.headers?.['tandem-reason'], 'the delivery failed: no answer within 500 ms');
  await until(() => closed.length === 1, 'the connection is gone');
});

test('a receiver that is not there is a failure with the reason', async (t) => {
  const receiver = await openReceiver(t, ok);
  const bench = await openBench(t);
  const retry = { attemptsMax: 2, backoffMs: 1, backoffMsMax: 1 };
  const to = { to: 'http://127.0.0.1:1/', retry, timeoutMs: 1e12 };
  const { consumers } = bench.openWorker({ consumers: [to], http: receiver.http });
  await bench.append('a');
  await consumers.start();
  const failures = async () => (await consumers.status())[0]?.totals.failedAttempts;
  await until(async () => (await failures()) === 1, 'the first refusal');
  await bench.clock.advance(1);
  await until(async () => (await failures()) === 2, 'the second refusal');
  await untilWithTime(bench.clock, async () => (await bench.committed('save')) === 1, 'the dead letter');
  assert.match((await bench.read(DEAD))[0]?.headers?.['tandem-reason'] ?? '', /ECONNREFUSED/);
});

test('410 stops the consumer with the record unfinished; resume goes on with it', async (t) => {
  let status = 410;
  const receiver = await openReceiver(t, (_, response) => void response.writeHead(status).end('moved out'));
  const bench = await openBench(t);
  const { consumers } = bench.openWorker({ consumers: [{ to: receiver.url }], http: receiver.http });
  await bench.append('a', 'b');
  await consumers.start();
  await until(async () => (await consumers.status())[0]?.state === 'stopped', 'it stops');
  assert.equal((await consumers.status())[0]?.reason, 'HTTP 410: moved out');
  await bench.clock.advance(600_000);
  assert.equal(receiver.requests.length, 1);
  assert.equal((await bench.committed('save')) ?? 0, 0);
  status = 200;
  await consumers.resume('save');
  await until(async () => (await consumers.status())[0]?.totals.handled === 2, 'both are taken');
  assert.equal(receiver.requests.length, 3);
});
