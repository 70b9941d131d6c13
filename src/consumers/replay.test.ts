import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Bench, keyed, openBench, TOPIC, until, untilWithTime, withTime } from './consumers.fixture.ts';
import type { HandlerContext, HandlerRecord } from './handler-api.ts';

const DEAD = `${TOPIC}.dead`;
const retry = { attemptsMax: 1, backoffMs: 10, backoffMsMax: 100 };

/** A consumer that fails until it is mended. */
class Breakable {
  isBroken = true;
  readonly seen: { record: HandlerRecord; context: HandlerContext }[] = [];
  readonly handler = (record: HandlerRecord, context: HandlerContext): void => {
    this.seen.push({ record, context });
    if (this.isBroken) throw new Error('broken');
  };
  texts(): string[] {
    return this.seen.map(({ record }) => record.text);
  }
}

async function buryAll(bench: Bench, count: number): Promise<void> {
  await untilWithTime(bench.clock, async () => bench.shared.findTopic(DEAD) !== undefined, 'the dead topic');
  await untilWithTime(bench.clock, async () => (await bench.read(DEAD)).length === count, 'the letters');
}

test('a replayed record reaches its consumer as it was the first time, others and the topic see nothing', async (t) => {
  const bench = await openBench(t);
  const save = new Breakable();
  const other: string[] = [];
  const module = { save: save.handler, other: (record: HandlerRecord) => void other.push(record.text) };
  const consumers = [{ retry }, { name: 'other', retry }];
  const worker = bench.openWorker({ consumers, module });
  await bench.append(keyed('k', 'a'), { key: 'k', headers: { h: 'v', 'tandem-x': 'own' }, data: Buffer.from('b') });
  await worker.consumers.start();
  await buryAll(bench, 2);
  save.isBroken = false;
  const before = save.seen.splice(0);
  assert.deepEqual(await worker.consumers.replay('save', 100), { handled: 2, deadLettered: 0, problems: [] });
  assert.deepEqual(
    save.seen.map(({ record }) => record),
    before.map(({ record }) => record),
  );
  assert.deepEqual(
    save.seen.map(({ record }) => record.id),
    before.map(({ record }) => record.id),
  );
  assert.ok(save.seen.every(({ context }) => context.isReplay && context.attempt === 1));
  assert.equal((await bench.read(TOPIC)).length, 2);
  assert.deepEqual(other, ['a', 'b']);
  assert.deepEqual(await worker.consumers.replay('save', 100), { handled: 0, deadLettered: 0, problems: [] });
});

test('takes at most countMax letters of its own consumer and goes on from there', async (t) => {
  const bench = await openBench(t);
  const a = new Breakable();
  const b = new Breakable();
  const module = { a: a.handler, b: b.handler };
  const worker = bench.openWorker({
    consumers: [
      { name: 'a', retry },
      { name: 'b', retry },
    ],
    module,
  });
  await bench.append('1', '2', '3');
  await worker.consumers.start();
  await buryAll(bench, 6);
  for (const consumer of [a, b]) {
    consumer.isBroken = false;
    consumer.seen.length = 0;
  }
  assert.equal((await worker.consumers.replay('a', 2)).handled, 2);
  assert.deepEqual(a.texts(), ['1', '2']);
  assert.equal((await worker.consumers.replay('a', 2)).handled, 1);
  assert.deepEqual(a.texts(), ['1', '2', '3']);
  assert.deepEqual(b.texts(), []);
  assert.equal((await worker.consumers.replay('b', 9)).handled, 3);
});

test('a letter that fails again becomes a new letter, and one run does not go round in circles', async (t) => {
  const bench = await openBench(t);
  const save = new Breakable();
  const worker = bench.openWorker({ consumers: [{ retry }], module: { save: save.handler } });
  await bench.append('1', '2');
  await worker.consumers.start();
  await buryAll(bench, 2);
  const result = await withTime(bench.clock, worker.consumers.replay('save', 100));
  assert.deepEqual(result, { handled: 0, deadLettered: 2, problems: [] });
  const letters = await bench.read(DEAD);
  assert.equal(letters.length, 4);
  assert.equal(letters[3]?.headers?.['tandem-offset'], '1', 'it still names the place of the record itself');
  save.isBroken = false;
  save.seen.length = 0;
  assert.equal((await worker.consumers.replay('save', 100)).handled, 2);
  assert.deepEqual(save.texts(), ['1', '2']);
});

test('killed in the middle of a replay: the rest comes with the next one, nothing is lost', async (t) => {
  const bench = await openBench(t);
  const save = new Breakable();
  const first = bench.openWorker({ consumers: [{ retry }], module: { save: save.handler } });
  await bench.append('1', '2', '3', '4');
  await first.consumers.start();
  await buryAll(bench, 4);
  await bench.clock.advance(100);
  const handled: string[] = [];
  const slow = (record: HandlerRecord): unknown => {
    if (handled.length === 2) return new Promise(() => {});
    handled.push(record.text);
    return undefined;
  };
  first.engine.kill();
  const second = bench.openWorker({ consumers: [{ retry }], module: { save: slow } });
  await second.consumers.start();
  const cut = second.consumers.replay('save', 100);
  cut.catch(() => {});
  await until(() => handled.length === 2, 'two are replayed');
  second.engine.kill();
  const rest: string[] = [];
  const module = { save: (record: HandlerRecord) => void rest.push(record.text) };
  const third = bench.openWorker({ consumers: [{ retry }], module });
  await third.consumers.start();
  const result = await withTime(bench.clock, third.consumers.replay('save', 100));
  assert.ok(result.handled >= 2);
  assert.deepEqual([...new Set([...handled, ...rest])], ['1', '2', '3', '4']);
});

test('a pause ends a replay too: no letter is delivered after it', async (t) => {
  const bench = await openBench(t);
  const save = new Breakable();
  const first = bench.openWorker({ consumers: [{ retry }], module: { save: save.handler } });
  await bench.append('1', '2', '3');
  await first.consumers.start();
  await buryAll(bench, 3);
  await bench.clock.advance(100);
  first.engine.kill();
  const running: (() => void)[] = [];
  const slow = (): Promise<void> => new Promise((resolve) => running.push(resolve));
  const { consumers } = bench.openWorker({ consumers: [{ retry }], module: { save: slow } });
  await consumers.start();
  const replayed = consumers.replay('save', 100);
  await until(() => running.length === 1, 'the first letter is in hand');
  const paused = consumers.pause('save');
  running[0]?.();
  await withTime(bench.clock, paused);
  assert.equal((await replayed).handled, 1);
  await bench.clock.advance(60_000);
  assert.equal(running.length, 1);
});

test('without dead letters there is nothing to do; a paused consumer says so; forged letters are passed over', async (t) => {
  const bench = await openBench(t);
  const seen: string[] = [];
  const module = { save: (record: HandlerRecord) => void seen.push(record.text) };
  const { consumers, ingest } = bench.openWorker({ consumers: [{ retry }], module });
  await consumers.start();
  assert.equal((await consumers.replay('save', 1)).handled, 0);
  const mine = { 'tandem-consumer': 'save', 'tandem-topic': TOPIC, 'tandem-partition': '0' };
  const forged = [
    undefined,
    { 'tandem-consumer': 'save' },
    { ...mine, 'tandem-offset': 'x' },
    { ...mine, 'tandem-offset': '1', 'tandem-original-headers': '{' },
  ];
  for (const headers of forged) {
    const record = { data: Buffer.from('forged'), ...(headers && { headers }) };
    await ingest.append({ topic: DEAD, records: [record] });
  }
  assert.deepEqual(await consumers.replay('save', 9), { handled: 0, deadLettered: 0, problems: [] });
  assert.deepEqual(seen, []);
  await consumers.pause('save');
  await assert.rejects(() => consumers.replay('save', 1), { code: 'TANDEM_DELIVERY_FAILED' });
});
