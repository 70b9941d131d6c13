import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type RawClient, serveListener, threeTokens } from './served-listener.fixture.ts';

interface SseEvent {
  readonly event: string;
  readonly id: string | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: the data of many events
  readonly data: any;
}

/** What a browser would make of the stream so far. */
function eventsOf(client: RawClient): SseEvent[] {
  const body = client.text.slice(client.text.indexOf('\r\n\r\n') + 4);
  const blocks = body.split('\n\n').slice(0, -1);
  return blocks.flatMap((block) => {
    const fields = new Map(
      block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
    );
    const data = fields.get('data');
    return data === undefined
      ? []
      : [{ event: fields.get('event') ?? 'message', id: fields.get('id'), data: JSON.parse(data) }];
  });
}

type Served = Awaited<ReturnType<typeof serveListener>>;

function openStream({ dial }: Served, target: string, headers = ''): RawClient {
  const client = dial();
  client.socket.write(`GET ${target} HTTP/1.1\r\nHost: h\r\n${headers}\r\n`);
  return client;
}

const publish = async ({ ingest }: Served, data: string): Promise<unknown> =>
  ingest.append({ topic: 't', records: [{ data: Buffer.from(data) }] });
const dataOf = (events: SseEvent[]): string[] =>
  events.filter(({ event }) => event === 'message').map(({ data }) => data.data);

test('begins with the position, then live records as events with the position as id', async (t) => {
  const served = await serveListener(t);
  await publish(served, 'before');
  const client = openStream(served, '/topics/t/stream');
  await client.until(() => eventsOf(client).length === 1);
  assert.match(client.text, /^HTTP\/1.1 200 OK\r\n/);
  for (const header of [
    'Content-Type: text/event-stream',
    'X-Accel-Buffering: no',
    'no-transform',
    'Connection: close',
  ])
    assert.ok(client.text.includes(header), header);
  assert.match(client.text, /\r\n\r\nretry: \d+\n/);
  const [first] = eventsOf(client);
  assert.equal(first?.event, 'position');
  assert.equal(first?.data.isComplete, true);
  assert.equal(first?.id, first?.data.position);
  await publish(served, 'after');
  await client.until(() => eventsOf(client).length === 2);
  const record = eventsOf(client)[1];
  assert.deepEqual(Object.keys(record?.data), ['term', 'partition', 'offset', 'time', 'data']);
  assert.deepEqual([first?.data.term, record?.data.term], [7, 7]);
  assert.deepEqual([record?.data.offset, record?.data.data], [1, 'after']);
});

test('a reconnect resumes where the last event was: Last-Event-ID, the query, and which of them wins', async (t) => {
  const served = await serveListener(t);
  for (const data of ['a', 'b', 'c']) await publish(served, data);
  const all = openStream(served, '/topics/t/stream?from=start');
  await all.until(() => dataOf(eventsOf(all)).length === 3);
  const [, afterA, afterB] = eventsOf(all).map(({ id }) => id);
  for (const [target, headers, expected] of [
    ['', `Last-Event-ID: ${afterA}\r\n`, ['b', 'c']],
    [`?lastEventId=${afterA}`, '', ['b', 'c']],
    [`?from=${afterB}`, '', ['c']],
    [`?lastEventId=${afterA}&from=now`, `Last-Event-ID: ${afterB}\r\n`, ['c']],
  ] as const) {
    const client = openStream(served, `/topics/t/stream${target}`, headers);
    await client.until(() => dataOf(eventsOf(client)).length === expected.length);
    assert.deepEqual(dataOf(eventsOf(client)), expected);
    assert.equal(eventsOf(client)[0]?.data.isComplete, true);
  }
});

test('a position that is lost is answered as incomplete, a malformed one and an unknown topic as errors', async (t) => {
  const served = await serveListener(t);
  await publish(served, 'a');
  const otherEpoch = Buffer.from('[[0,"other",0]]').toString('base64url');
  const lost = openStream(served, `/topics/t/stream?from=${otherEpoch}`);
  await lost.until(() => eventsOf(lost).length > 0);
  assert.equal(eventsOf(lost)[0]?.data.isComplete, false);
  const malformed = openStream(served, '/topics/t/stream?from=nonsense');
  await malformed.until(() => malformed.text.includes('TANDEM_POSITION_MALFORMED'));
  assert.match(malformed.text, /^HTTP\/1.1 400 /);
  const unknown = openStream(served, '/topics/none/stream');
  await unknown.until(() => unknown.text.includes('TANDEM_TOPIC_UNKNOWN'));
  assert.match(unknown.text, /^HTTP\/1.1 404 /);
});

test('a token may stand in the query, as EventSource needs it', async (t) => {
  const served = await serveListener(t, { listener: { authenticator: threeTokens } });
  await publish(served, 'a');
  const client = openStream(served, '/topics/t/stream?from=start&token=reader');
  await client.until(() => dataOf(eventsOf(client)).length === 1);
  const refused = openStream(served, '/topics/t/stream?token=publisher');
  await refused.until(() => refused.text.includes('TANDEM_AUTH_FORBIDDEN'));
});

test('the drain ends streams with the position to resume from, and a late one gets 200 and is sent away', async (t) => {
  const served = await serveListener(t);
  await publish(served, 'a');
  const client = openStream(served, '/topics/t/stream?from=start');
  await client.until(() => dataOf(eventsOf(client)).length === 1);
  const late = served.dial();
  late.socket.write('GET /topics/t/stream HTTP/1.1\r\n');
  await publish(served, 'b');
  await client.until(() => dataOf(eventsOf(client)).length === 2);
  const drained = served.listener.drain(5000);
  late.socket.write('Host: h\r\n\r\n');
  await client.untilEnd();
  const closing = eventsOf(client).at(-1);
  assert.equal(closing?.event, 'closing');
  assert.deepEqual([closing?.data.term, closing?.data.code], [7, 'TANDEM_DRAINING']);
  assert.equal(closing?.data.positions.t, eventsOf(client).at(-2)?.id);
  await late.untilEnd();
  assert.match(late.text, /^HTTP\/1.1 200 [\s\S]*event: closing[\s\S]*TANDEM_DRAINING/);
  await drained;
  assert.equal(served.listener.connections, 0);
});

test('a stream whose client goes away is forgotten', async (t) => {
  const served = await serveListener(t);
  await publish(served, 'a');
  const client = openStream(served, '/topics/t/stream');
  await client.until(() => eventsOf(client).length === 1);
  const streams = (): number | undefined =>
    served.listener.metrics().find(({ name }) => name === 'tandem_listener_streams')?.value;
  assert.equal(streams(), 1);
  client.socket.destroy();
  while (streams() !== 0) await new Promise((resolve) => setImmediate(resolve));
});

test('a client that does not read is ended with its position, and the others get everything', async (t) => {
  const served = await serveListener(t, { limits: { sessionQueueBytesMax: 64 * 1024 } });
  await publish(served, 'first');
  const slow = openStream(served, '/topics/t/stream?from=start');
  await slow.until(() => dataOf(eventsOf(slow)).length === 1);
  slow.socket.pause();
  const quick = openStream(served, '/topics/t/stream?from=start');
  const record = 'x'.repeat(100_000);
  for (let i = 0; i < 150; i++) await publish(served, record);
  await quick.until(() => quick.received.length > 150 * record.length);
  slow.socket.resume();
  await slow.untilEnd();
  const last = eventsOf(slow).at(-1);
  assert.deepEqual([last?.event, last?.data.code], ['closing', 'TANDEM_SESSION_SLOW']);
  assert.equal(last?.data.positions.t, eventsOf(slow).at(-2)?.id);
  assert.equal(quick.isEnded, false);
});
