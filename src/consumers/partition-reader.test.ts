import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RecordStore } from '../core/contracts/engine.ts';
import { TandemError } from '../core/errors.ts';
import { openBench, TOPIC, until, untilWithTime, withMethods } from './consumers.fixture.ts';
import type { HandlerRecord } from './handler-api.ts';

const PLACE = { topic: TOPIC, partition: 0 };

const collect = () => {
  const seen: string[] = [];
  return { seen, module: { save: (record: HandlerRecord) => void seen.push(record.text) } };
};

test('trimmed below the committed offset: goes on at the oldest record, counts and says what it missed', async (t) => {
  const bench = await openBench(t);
  const { seen, module } = collect();
  const worker = bench.openWorker({ module });
  await bench.append('0', '1');
  await worker.consumers.start();
  await untilWithTime(bench.clock, async () => (await bench.committed('save')) === 2, 'two are committed');
  await worker.consumers.pause('save');
  await bench.append('2', '3', '4');
  await bench.append('5');
  await worker.engine.store.trim(PLACE, 5);
  await worker.consumers.resume('save');
  await untilWithTime(bench.clock, () => seen.length === 3, 'the oldest');
  assert.deepEqual(seen, ['0', '1', '5']);
  const [status] = await worker.consumers.status();
  assert.equal(status?.totals.missed, 3);
  assert.equal(status?.partitions[0]?.missed, 3);
  assert.equal(bench.logged.find(({ event }) => event === 'consumer_position_lost')?.fields['missed'], 3);
  assert.equal(status?.partitions[0]?.state, 'running');
  await untilWithTime(bench.clock, async () => (await bench.committed('save')) === 6, 'the new place is committed');
});

test('another history: begins it at its start, and says so', async (t) => {
  const bench = await openBench(t);
  const { seen, module } = collect();
  const { consumers } = bench.openWorker({ module });
  await bench.append('0', '1', '2');
  await consumers.start();
  await untilWithTime(bench.clock, async () => (await bench.committed('save')) === 3, 'all are committed');
  bench.shared.loseHistory(PLACE);
  await bench.append('new');
  await untilWithTime(bench.clock, () => seen.length === 4, 'the new history');
  assert.deepEqual(seen, ['0', '1', '2', 'new']);
  assert.equal((await consumers.status())[0]?.totals.historiesLost, 1);
  await untilWithTime(bench.clock, async () => (await bench.committed('save')) === 1, 'its place is committed');
});

test('damage stops the partition with the reason, others go on, and skip passes it', async (t) => {
  const bench = await openBench(t, { partitions: 2 });
  const { seen, module } = collect();
  const damage = new TandemError('TANDEM_LOG_CORRUPT', {
    detail: 'file 7',
    data: { file: '7', bytePosition: 1, fromOffset: 1, nextOffset: 2 },
  });
  const wrapStore = (store: RecordStore): RecordStore =>
    withMethods(store, {
      read: async (partition, from, bytesMax) => {
        if (partition.partition === 0 && from.offset === 1) throw damage;
        const result = await store.read(partition, from, bytesMax);
        return partition.partition === 0 && from.offset === 0
          ? { ...result, batches: result.batches.slice(0, 1) }
          : result;
      },
    });
  const { consumers, ingest } = bench.openWorker({ module, wrapStore });
  const append = (partition: number, text: string) =>
    ingest.append({ topic: TOPIC, partition, records: [{ data: Buffer.from(text) }] });
  for (const text of ['0', 'damaged', '2']) await append(0, text);
  await append(1, 'other');
  await consumers.start();
  await until(() => seen.length === 2, 'what can be read');
  await until(async () => (await consumers.status())[0]?.partitions[0]?.state === 'stopped', 'it stops');
  const stopped = (await consumers.status())[0]?.partitions[0];
  assert.match(stopped?.reason ?? '', /damaged here: file 7/);
  await bench.clock.advance(60_000);
  assert.deepEqual(seen.sort(), ['0', 'other'], 'it does not go on by itself');
  await append(1, 'other 2');
  await until(() => seen.length === 3, 'the other partition lives');
  await assert.rejects(() => consumers.skip('save', 1), { code: 'TANDEM_INPUT_MALFORMED' });
  await assert.rejects(() => consumers.skip('save', 0, 99), { code: 'TANDEM_POSITION_AHEAD' });
  await assert.rejects(() => consumers.skip('save', 7), { code: 'TANDEM_PARTITION_UNKNOWN' });
  assert.deepEqual(await consumers.skip('save', 0), { partition: 0, fromOffset: 1, toOffset: 2 });
  await untilWithTime(bench.clock, () => seen.includes('2'), 'the record after the damage');
  const [status] = await consumers.status();
  assert.equal(status?.totals.missed, 1);
  assert.equal(status?.partitions[0]?.state, 'running');
});

test('a record that contradicts itself stops the partition just before it', async (t) => {
  const bench = await openBench(t);
  const { seen, module } = collect();
  const wrapStore = (store: RecordStore): RecordStore =>
    withMethods(store, {
      read: async (partition, from, bytesMax) => {
        const result = await store.read(partition, from, bytesMax);
        const batches = result.batches.map((batch) => {
          const lengths = batch.set.lengths.slice();
          if (batch.firstOffset === 0) lengths[2] = 1e6;
          return { ...batch, set: { ...batch.set, lengths } };
        });
        return { ...result, batches };
      },
    });
  const { consumers } = bench.openWorker({ module, wrapStore });
  await bench.append('0', '1', 'broken', '3');
  await consumers.start();
  await untilWithTime(bench.clock, async () => (await bench.committed('save')) === 2, 'what is good');
  assert.deepEqual(seen, ['0', '1']);
  const status = (await consumers.status())[0]?.partitions[0];
  assert.equal(status?.state, 'stopped');
  assert.match(status?.reason ?? '', /orders\/0 offset 2/);
});

test('a store that cannot be read for a while is asked again, with the reason in the status', async (t) => {
  const bench = await openBench(t);
  const { seen, module } = collect();
  let refusals = 0;
  const wrapStore = (store: RecordStore): RecordStore =>
    withMethods(store, {
      read: async (...call) => {
        if (refusals++ < 5) throw new TandemError('TANDEM_OWNER_UNAVAILABLE');
        return store.read(...call);
      },
    });
  const { consumers } = bench.openWorker({ module, wrapStore });
  await bench.append('a');
  await consumers.start();
  await until(async () => (await consumers.status())[0]?.partitions[0]?.state === 'retrying', 'it is retrying');
  assert.match((await consumers.status())[0]?.partitions[0]?.reason ?? '', /restarting/);
  await untilWithTime(bench.clock, () => seen.length === 1, 'the record');
  assert.equal((await consumers.status())[0]?.partitions[0]?.state, 'running');
});

test('a fenced commit ends the work on the partition at once', async (t) => {
  const bench = await openBench(t);
  const seen: string[] = [];
  let isAborted = false;
  const save = (record: HandlerRecord, { signal }: { signal: AbortSignal }): unknown => {
    seen.push(record.text);
    if (record.text !== 'slow') return undefined;
    return new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => {
        isAborted = true;
        resolve();
      });
    });
  };
  const worker = bench.openWorker({ module: { save } });
  await bench.append('a');
  await worker.consumers.start();
  await until(() => seen.length === 1, 'a');
  await worker.engine.store.claim(PLACE, 1_000);
  const records = ['slow', 'never'].map((text) => ({ data: Buffer.from(text) }));
  await worker.ingest.append({ topic: TOPIC, records });
  await until(() => seen.length === 2, 'slow runs');
  await untilWithTime(bench.clock, () => isAborted, 'the commit is refused and the handler told');
  assert.equal((await worker.consumers.status())[0]?.partitions[0]?.state, 'stopped');
  await bench.clock.advance(60_000);
  assert.deepEqual(seen, ['a', 'slow']);
  assert.equal(await bench.committed('save'), undefined);
});

test('a backlog of many reads is read ahead and complete', async (t) => {
  const bench = await openBench(t);
  const offsets: number[] = [];
  const module = { save: (record: HandlerRecord) => void offsets.push(record.offset) };
  const { consumers } = bench.openWorker({ module });
  const records = Array.from({ length: 1000 }, () => ({ data: Buffer.alloc(1000) }));
  for (let i = 0; i < 5; i++) await bench.append(...records);
  await consumers.start();
  await until(() => offsets.length === 5000, 'all');
  assert.deepEqual(offsets, [...Array(5000).keys()]);
});
