import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { silentLogger } from '../../core/contracts/telemetry.ts';
import { TandemError } from '../../core/errors.ts';
import { DEFAULT_LIMITS, type Limits } from '../../core/limits.ts';
import { systemClock } from '../../core/ports/clock.ts';
import { systemRandom } from '../../core/ports/random.ts';
import { recordsOf } from '../../core/record-set.ts';
import { openMemoryEngine } from '../../engines/memory/memory-engine.ts';
import { createIngest } from '../../ingest/ingest.ts';
import { createUdpListener } from './udp-listener.ts';

async function serve(t: TestContext, ack: 'offset' | 'none', limitChanges: Partial<Limits> = {}) {
  const limits: Limits = { ...DEFAULT_LIMITS, ...limitChanges };
  const engine = openMemoryEngine({ clock: systemClock, random: systemRandom, limits: DEFAULT_LIMITS });
  const newTopic = (name: string) => ({ name, partitions: 1, retentionMs: null, retentionBytes: null });
  const ingest = createIngest({ topics: engine.topics, store: engine.store, clock: systemClock, limits, newTopic });
  const listener = createUdpListener({ topic: 't', ack, ingest, limits, logger: silentLogger });
  const server = createSocket('udp4');
  await once(server.bind(0, '127.0.0.1'), 'listening');
  listener.attach(server);
  const client = createSocket('udp4');
  t.after(() => client.close());
  const send = (data: string | Buffer): void => client.send(data, server.address().port, '127.0.0.1');
  const stored = async (): Promise<string[]> => {
    const { batches } = await engine.store.read({ topic: 't', partition: 0 }, { epoch: '', offset: 0 }, 1 << 26);
    return batches.flatMap((batch) => recordsOf(batch).map((record) => record.data.toString()));
  };
  return { engine, listener, client, send, stored };
}

async function answers(client: Socket, count: number): Promise<string[]> {
  const heard: string[] = [];
  while (heard.length < count) heard.push(String((await once(client, 'message'))[0]));
  return heard;
}

test('each datagram is a record and is answered with its place once it is stored', async (t) => {
  const { client, send, stored, listener } = await serve(t, 'offset');
  const heard = answers(client, 3);
  for (const data of ['a', '', 'c\nd']) send(data);
  assert.deepEqual(await heard, ['OK 0:0', 'OK 0:1', 'OK 0:2']);
  assert.deepEqual(await stored(), ['a', '', 'c\nd']);
  await listener.drain(1000);
});

test('a refused datagram is answered with the code, an oversize one too', async (t) => {
  const { engine, client, send, stored, listener } = await serve(t, 'offset', { recordBytesMax: 100 });
  send('first');
  await answers(client, 1);
  send(Buffer.alloc(101));
  assert.match((await answers(client, 1))[0] ?? '', /^ERR TANDEM_RECORD_TOO_LARGE/);
  const append = engine.store.append.bind(engine.store);
  engine.store.append = async () => {
    engine.store.append = append;
    throw new TandemError('TANDEM_DISK_FULL');
  };
  send('refused');
  assert.match((await answers(client, 1))[0] ?? '', /^ERR TANDEM_DISK_FULL/);
  send('second');
  assert.deepEqual(await answers(client, 1), ['OK 0:1']);
  assert.deepEqual(await stored(), ['first', 'second']);
  await listener.drain(1000);
});

test('drain stores what came before', async (t) => {
  const { send, stored, listener, engine } = await serve(t, 'none');
  for (let i = 0; i < 10; i++) send(`${i}`);
  while ((await engine.topics.find('t')) === undefined) await new Promise((resolve) => setImmediate(resolve));
  await listener.drain(1000);
  const texts = await stored();
  assert.deepEqual(
    texts,
    Array.from({ length: texts.length }, (_, i) => `${i}`),
  );
});
