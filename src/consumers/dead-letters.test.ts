import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TandemError } from '../core/errors.ts';
import { keyed, openBench, TOPIC, until, untilWithTime } from './consumers.fixture.ts';
import type { HandlerRecord } from './handler-api.ts';

const DEAD = `${TOPIC}.dead`;
const retry = { attemptsMax: 3, backoffMs: 10, backoffMsMax: 100 };

test('a record that keeps failing becomes a dead letter with the reason, as it was, and the next ones go on', async (t) => {
  const bench = await openBench(t, { partitions: 2 });
  const handled: string[] = [];
  const save = (record: HandlerRecord): void => {
    if (record.text === 'bad') throw new RangeError('no such thing');
    handled.push(record.text);
  };
  const { consumers } = bench.openWorker({ consumers: [{ retry }], module: { save } });
  const bad = { key: 'k', headers: { trace: 't1' }, data: Buffer.from('bad') };
  await bench.append(keyed('k', 'before'), bad, keyed('k', 'after'));
  await consumers.start();
  await untilWithTime(bench.clock, () => handled.length === 2, 'the others');
  const stored = (await Promise.all([0, 1].map((partition) => bench.read(TOPIC, partition)))).flat();
  const original = stored.find(({ data }) => data.toString() === 'bad');
  const letters = (await Promise.all([0, 1].map((partition) => bench.read(DEAD, partition)))).flat();
  assert.equal(letters.length, 1);
  assert.equal(letters[0]?.key, 'k');
  assert.equal(letters[0]?.data.toString(), 'bad');
  const { 'tandem-epoch': epoch, ...headers } = letters[0]?.headers ?? {};
  assert.match(epoch ?? '', /./);
  assert.deepEqual(headers, {
    trace: 't1',
    'tandem-consumer': 'save',
    'tandem-reason': 'RangeError: no such thing',
    'tandem-attempts': '3',
    'tandem-topic': TOPIC,
    'tandem-partition': String(original?.partition),
    'tandem-offset': String(original?.offset),
    'tandem-time': String(original?.timeMs),
  });
  assert.equal((await consumers.status())[0]?.totals.deadLettered, 1);
});

test('a record counts as done only when its letter is stored, however often that is refused', async (t) => {
  const bench = await openBench(t);
  const handled: string[] = [];
  let calls = 0;
  const save = (record: HandlerRecord): void => {
    if (record.text !== 'bad') return void handled.push(record.text);
    calls++;
    throw new Error('no');
  };
  const worker = bench.openWorker({ consumers: [{ retry }], module: { save } });
  await bench.append('bad', 'good');
  worker.engine.faults.fail(20, 'TANDEM_DISK_FULL');
  await worker.consumers.start();
  await untilWithTime(bench.clock, () => bench.logged.length >= 10, 'refusals');
  assert.deepEqual(handled, []);
  assert.equal((await bench.committed('save')) ?? 0, 0);
  const status = (await worker.consumers.status())[0]?.partitions[0];
  assert.equal(status?.state, 'retrying');
  assert.match(status?.reason ?? '', /dead letter could not be stored: the disk is full/);
  await untilWithTime(bench.clock, () => handled.length === 1, 'the next record');
  assert.equal(calls, 3, 'the target is not asked again for the sake of the letter');
  assert.equal((await bench.read(DEAD)).length, 1);
});

test('killed between the letter and the commit: a second letter, never none', async (t) => {
  const bench = await openBench(t);
  const module = {
    save() {
      throw new Error('no');
    },
  };
  const consumers = [{ retry: { ...retry, attemptsMax: 1 } }];
  const first = bench.openWorker({ consumers, module });
  first.engine.groups.commit = () => Promise.reject(new TandemError('TANDEM_STORE_FAILED'));
  await bench.append('bad');
  await first.consumers.start();
  await until(() => bench.shared.findTopic(DEAD) !== undefined, 'the dead topic');
  await until(async () => (await bench.read(DEAD)).length === 1, 'the letter');
  first.engine.kill();
  const second = bench.openWorker({ consumers, module });
  await second.consumers.start();
  await untilWithTime(bench.clock, async () => (await bench.committed('save')) === 1, 'the second process commits');
  assert.equal((await bench.read(DEAD)).length, 2);
});

test('a record that fits only without the headers of its letter is kept by its place, and a replay finds it', async (t) => {
  const bench = await openBench(t, { limits: { recordBytesMax: 1000 } });
  const texts: string[] = [];
  let isBroken = true;
  const save = (record: HandlerRecord): void => {
    if (isBroken) throw new Error('x'.repeat(5000));
    texts.push(`${record.key} ${record.headers?.['h']} ${record.data.length}`);
  };
  const { consumers } = bench.openWorker({ consumers: [{ retry }], module: { save } });
  await bench.append({ key: 'k', headers: { h: 'v' }, data: Buffer.alloc(950, 'd') });
  await consumers.start();
  await untilWithTime(bench.clock, async () => (await bench.committed('save')) === 1, 'the letter is stored');
  const [letter] = await bench.read(DEAD);
  assert.equal(letter?.data.length, 0);
  assert.equal(letter?.headers?.['tandem-omitted'], '950');
  isBroken = false;
  assert.deepEqual(await consumers.replay('save', 10), { handled: 1, deadLettered: 0, problems: [] });
  assert.deepEqual(texts, ['k v 950']);
});

test('an existing dead topic keeps its retention', async (t) => {
  const bench = await openBench(t);
  const dead = { name: DEAD, partitions: 1, retentionMs: 5000, retentionBytes: 6000 };
  bench.shared.ensureTopic(dead);
  const module = { save: () => Promise.reject(new Error('no')) };
  const { consumers } = bench.openWorker({ consumers: [{ retry }], module });
  await bench.append('bad');
  await consumers.start();
  await untilWithTime(bench.clock, async () => (await bench.read(DEAD)).length === 1, 'the letter');
  assert.deepEqual(bench.shared.findTopic(DEAD), dead);
});
