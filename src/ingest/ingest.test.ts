import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AckSink, Receipt } from '../core/contracts/ingest.ts';
import { TandemError } from '../core/errors.ts';
import { DEFAULT_LIMITS } from '../core/limits.ts';
import { systemClock } from '../core/ports/clock.ts';
import { systemRandom } from '../core/ports/random.ts';
import { recordsOf } from '../core/record-set.ts';
import { openMemoryEngine } from '../engines/memory/memory-engine.ts';
import { createIngest } from './ingest.ts';

const LINES = Buffer.from('a\nbb\n\n');
const LENGTHS = Uint32Array.of(1, 2, 0);

interface Heard extends AckSink {
  readonly answers: string[];
}

function sink(): Heard {
  const answers: string[] = [];
  return {
    answers,
    stored(partition, firstOffset, count, isDuplicate) {
      for (let i = 0; i < count; i++) {
        answers.push(`${partition}:${firstOffset === -1 ? '-' : firstOffset + i}${isDuplicate ? ' again' : ''}`);
      }
    },
    refused(error, count) {
      for (let i = 0; i < count; i++) answers.push(error.code);
    },
    flushed() {},
  };
}

function setUp(limits: Partial<Record<keyof typeof DEFAULT_LIMITS, number | boolean>> = {}, partitions = 1) {
  const merged = { ...DEFAULT_LIMITS, ...limits } as typeof DEFAULT_LIMITS;
  const engine = openMemoryEngine({ clock: systemClock, random: systemRandom, limits: merged });
  const ingest = createIngest({
    topics: engine.topics,
    store: engine.store,
    clock: systemClock,
    limits: merged,
    newTopic: (name) => ({ name, partitions, retentionMs: null, retentionBytes: null }),
  });
  const texts = async (topic: string, partition = 0): Promise<string[]> => {
    const { batches } = await engine.store.read({ topic, partition }, { epoch: '', offset: 0 }, 1 << 24);
    return batches.flatMap((batch) => recordsOf(batch).map((record) => record.data.toString()));
  };
  return { engine, ingest, texts };
}

/** All answers are out when ingest is idle. */
const settled = async (ingest: { drain(): Promise<void> }): Promise<void> => ingest.drain();

const rejectsWith = (code: string) => (error: unknown) => error instanceof TandemError && error.code === code;

test('answers a lane in the order of its records, with their places', async () => {
  const { ingest, texts } = setUp();
  const heard = sink();
  const lane = await ingest.openLane({ topic: 't', sink: heard });
  lane.addLines(LINES, 0, LINES.length, LENGTHS, 3);
  lane.refuse(new TandemError('TANDEM_RECORD_TOO_LARGE'));
  lane.addData(Buffer.from('c'), Buffer.from('d'));
  assert.equal(lane.inFlight, 5);
  assert.deepEqual(heard.answers, [], 'nothing is answered before it is stored');
  await settled(ingest);
  assert.deepEqual(heard.answers, ['0:0', '0:1', '0:2', 'TANDEM_RECORD_TOO_LARGE', '0:3']);
  assert.equal(lane.inFlight, 0);
  assert.deepEqual(await texts('t'), ['a', 'bb', '', 'cd']);
});

test('gathers what comes while an append is under way into one next append', async () => {
  const { engine, ingest } = setUp();
  const lane = await ingest.openLane({ topic: 't', sink: sink() });
  const appends: number[] = [];
  const append = engine.store.append.bind(engine.store);
  const gate = Promise.withResolvers<void>();
  engine.store.append = async (batch) => {
    appends.push(batch.set.count);
    await gate.promise;
    return append(batch);
  };
  lane.addData(Buffer.from('1'));
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  for (let i = 0; i < 10; i++) {
    lane.addData(Buffer.from('2'));
    await new Promise((resolve) => setImmediate(resolve));
  }
  gate.resolve();
  await settled(ingest);
  assert.deepEqual(appends, [1, 10]);
});

test('a producer: repeats get their first places, and a refused record uses up its sequence', async () => {
  const { ingest, texts } = setUp();
  const first = sink();
  const lane = await ingest.openLane({ topic: 't', sink: first, producer: { id: 'p', sequence: 1 } });
  assert.equal(lane.lastSequence, 0);
  lane.addLines(LINES, 0, LINES.length, LENGTHS, 3);
  lane.refuse(new TandemError('TANDEM_RECORD_TOO_LARGE'));
  lane.addData(Buffer.from('five'));
  await new Promise<void>((resolve) => {
    first.flushed = () => lane.inFlight === 0 && resolve();
  });
  assert.deepEqual(first.answers, ['0:0', '0:1', '0:2', 'TANDEM_RECORD_TOO_LARGE', '0:3']);
  const again = sink();
  const resent = await ingest.openLane({ topic: 't', sink: again, producer: { id: 'p', sequence: 2 } });
  assert.equal(resent.lastSequence, 5);
  resent.addData(Buffer.from('bb'));
  resent.addData(Buffer.from(''));
  resent.refuse(new TandemError('TANDEM_RECORD_TOO_LARGE'));
  for (const text of ['five', 'six']) resent.addData(Buffer.from(text));
  await settled(ingest);
  assert.deepEqual(again.answers, ['0:1 again', '0:2 again', 'TANDEM_RECORD_TOO_LARGE', '0:3 again', '0:4']);
  assert.deepEqual(await texts('t'), ['a', 'bb', '', 'five', 'six']);
});

test('after a failed append nothing of that producer lane is stored: no holes', async () => {
  const { engine, ingest, texts } = setUp();
  const heard = sink();
  const lane = await ingest.openLane({ topic: 't', sink: heard, producer: { id: 'p', sequence: 1 } });
  const append = engine.store.append.bind(engine.store);
  engine.store.append = async () => {
    engine.store.append = append;
    throw new TandemError('TANDEM_DISK_FULL');
  };
  lane.addData(Buffer.from('1'));
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  lane.addData(Buffer.from('2'));
  await settled(ingest);
  assert.deepEqual(heard.answers, ['TANDEM_DISK_FULL', 'TANDEM_DISK_FULL']);
  assert.deepEqual(await texts('t'), []);
});

test('without a producer the store refusing once refuses only what it refused', async () => {
  const { engine, ingest, texts } = setUp();
  const heard = sink();
  const lane = await ingest.openLane({ topic: 't', sink: heard });
  const append = engine.store.append.bind(engine.store);
  engine.store.append = async () => {
    engine.store.append = append;
    throw new TandemError('TANDEM_DISK_FULL');
  };
  lane.addData(Buffer.from('1'));
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  lane.addData(Buffer.from('2'));
  await settled(ingest);
  assert.deepEqual(heard.answers, ['TANDEM_DISK_FULL', '0:0']);
  assert.deepEqual(await texts('t'), ['2']);
});

test('is saturated above ingestBytesMax and ready again when half of it is stored', async () => {
  const { engine, ingest } = setUp({ ingestBytesMax: 10_000, requestBytesMax: 10_000, recordBytesMax: 10_000 });
  const lane = await ingest.openLane({ topic: 't', sink: sink() });
  const append = engine.store.append.bind(engine.store);
  const gate = Promise.withResolvers<void>();
  engine.store.append = async (batch) => {
    await gate.promise;
    return append(batch);
  };
  lane.addData(Buffer.alloc(6000));
  assert.equal(ingest.isSaturated, false);
  lane.addData(Buffer.alloc(6000));
  assert.equal(ingest.isSaturated, true);
  const ready = new Promise<void>((resolve) => ingest.whenReady(resolve));
  gate.resolve();
  await ready;
  assert.equal(ingest.isSaturated, false);
});

test('cuts batches at the limits of the engine', async () => {
  const { engine, ingest } = setUp({ ingestBytesMax: 64 << 20 });
  const heard = sink();
  const lane = await ingest.openLane({ topic: 't', sink: heard });
  const sizes: number[] = [];
  const append = engine.store.append.bind(engine.store);
  engine.store.append = (batch) => {
    sizes.push(batch.set.data.length);
    return append(batch);
  };
  for (let i = 0; i < 10; i++) lane.addData(Buffer.alloc(1 << 20, i));
  await settled(ingest);
  assert.equal(heard.answers.length, 10);
  assert.equal(heard.answers[9], '0:9');
  assert.ok(Math.max(...sizes) <= 4 << 20, `the largest batch has ${Math.max(...sizes)} bytes`);
});

test('append: keys go to their partitions, unkeyed records stay together, receipts name every place', async () => {
  const { ingest, texts } = setUp({}, 4);
  const data = Buffer.from('x');
  const plain = await ingest.append({ topic: 't', records: [{ data }, { data }], affinity: 2 });
  assert.deepEqual(
    plain.map(({ partition, firstOffset, count }) => ({ partition, firstOffset, count })),
    [{ partition: 2, firstOffset: 0, count: 2 }],
  );
  const keyed = await ingest.append({
    topic: 't',
    records: ['a', 'b', 'c', 'd', 'a'].map((key) => ({ key, data: Buffer.from(key) })),
  });
  assert.equal(
    keyed.reduce((sum, receipt) => sum + receipt.count, 0),
    5,
  );
  const stored = (await Promise.all([0, 1, 2, 3].map((partition) => texts('t', partition)))).flat();
  assert.deepEqual(stored.sort(), ['a', 'a', 'b', 'c', 'd', 'x', 'x']);
  const repeat = { topic: 't', records: [{ data }], producer: { id: 'p', sequence: 7 } };
  const [once] = await ingest.append(repeat);
  const [twice] = await ingest.append(repeat);
  assert.deepEqual({ ...twice, isDuplicate: false }, once);
  assert.equal(twice?.isDuplicate, true);
});

test('a keyed record of a producer goes by its key; receipts keep the order; sent again, each is stored once', async () => {
  const { ingest, texts } = setUp({}, 4);
  const keys = ['a', 'b', 'c', undefined, 'a', 'd', 'd', 'b'];
  const records = keys.map((key, i) => {
    const data = Buffer.from(`${i}`);
    return key === undefined ? { data } : { key, data };
  });
  const producer = { id: 'p', sequence: 1 };
  const plain = await ingest.append({ topic: 'other', records: [{ key: 'a', data: Buffer.from('0') }] });
  const receipts = await ingest.append({ topic: 't', records, producer });
  assert.equal(receipts[0]?.partition, plain[0]?.partition);
  const placesOf = (given: readonly Receipt[]) =>
    given.flatMap(({ partition, firstOffset, count }) =>
      Array.from({ length: count }, (_, i) => ({ partition, offset: firstOffset + i })),
    );
  const placed = placesOf(receipts);
  for (const [i, { partition, offset }] of placed.entries())
    assert.equal((await texts('t', partition))[offset], `${i}`, 'each receipt names the place of its record');
  assert.equal(placed.length, keys.length);
  // As after a lost answer: a part of them, with other batch boundaries.
  const again = await ingest.append({ topic: 't', records: records.slice(3), producer: { id: 'p', sequence: 4 } });
  assert.ok(again.every(({ isDuplicate }) => isDuplicate));
  assert.deepEqual(placesOf(again), placed.slice(3));
});

test('refuses what is not valid, by code', async () => {
  const { ingest } = setUp({ recordBytesMax: 10, topicAutoCreate: false });
  const records = [{ data: Buffer.from('x') }];
  await assert.rejects(ingest.append({ topic: 'no/slash', records }), rejectsWith('TANDEM_TOPIC_INVALID'));
  await assert.rejects(ingest.append({ topic: 'absent', records }), rejectsWith('TANDEM_TOPIC_UNKNOWN'));
  await assert.rejects(
    ingest.append({ topic: 't', records: [{ data: Buffer.alloc(11) }] }),
    rejectsWith('TANDEM_RECORD_TOO_LARGE'),
  );
  const producer = { id: 'with space', sequence: 1 };
  await assert.rejects(ingest.append({ topic: 't', records, producer }), rejectsWith('TANDEM_PRODUCER_INVALID'));
  await assert.rejects(
    ingest.append({ topic: 't', records, producer: { id: 'p', sequence: 0 } }),
    rejectsWith('TANDEM_PRODUCER_INVALID'),
  );
  const open = setUp({}, 2).ingest;
  await assert.rejects(open.append({ topic: 't', records, partition: 2 }), rejectsWith('TANDEM_PARTITION_UNKNOWN'));
  await open.drain();
  await assert.rejects(open.append({ topic: 't', records }), rejectsWith('TANDEM_DRAINING'));
});

test('a sequence that was left out can no longer be stored, and is not called a repeat', async () => {
  const { ingest, texts } = setUp();
  const publish = (sequence: number) =>
    ingest.append({ topic: 't', records: [{ data: Buffer.from(`${sequence}`) }], producer: { id: 'p', sequence } });
  await publish(1);
  await publish(5);
  await assert.rejects(publish(3), rejectsWith('TANDEM_PRODUCER_INVALID'));
  assert.equal((await publish(5))[0]?.isDuplicate, true);
  assert.equal((await publish(6))[0]?.isDuplicate, false);
  assert.deepEqual(await texts('t'), ['1', '5', '6']);
});
