import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GroupStore } from '../core/contracts/engine.ts';
import { TandemError } from '../core/errors.ts';
import { keyed, openBench, TOPIC, until, untilWithTime, withMethods, withTime } from './consumers.fixture.ts';
import type { HandlerContext, HandlerRecord } from './handler-api.ts';

const numbers = (count: number, from = 0): string[] => Array.from({ length: count }, (_, i) => String(from + i));

test('delivers a backlog and then what comes, in order, with the whole record', async (t) => {
  const bench = await openBench(t);
  const seen: HandlerRecord[] = [];
  const { consumers } = bench.openWorker({ module: { save: (record: HandlerRecord) => void seen.push(record) } });
  await bench.append(...numbers(1000));
  await consumers.start();
  await until(() => seen.length === 1000, 'the backlog');
  await bench.append({ key: 'k', headers: { h: 'v' }, data: Buffer.from('{"a":1}') });
  await until(() => seen.length === 1001, 'the live record');
  assert.deepEqual(
    seen.slice(0, 1000).map(({ text }) => text),
    numbers(1000),
  );
  const last = seen[1000] as HandlerRecord;
  assert.deepEqual(
    [last.topic, last.partition, last.offset, last.key, last.headers, last.json()],
    [TOPIC, 0, 1000, 'k', { h: 'v' }, { a: 1 }],
  );
  assert.equal(last.id, `orders/0/${last.epoch}/1000`);
  assert.equal(last.timeMs, bench.clock.nowMs());
});

test('commits by time and by count, and the next process goes on from there', async (t) => {
  const bench = await openBench(t);
  const seen: string[] = [];
  const module = { default: (record: HandlerRecord) => void seen.push(record.text) };
  const first = bench.openWorker({ module });
  await bench.append(...numbers(50));
  await first.consumers.start();
  await until(() => seen.length === 50, 'all are handled');
  assert.equal(await bench.committed('save'), undefined, 'no time has passed');
  await bench.clock.advance(100);
  assert.equal(await bench.committed('save'), 50);
  await bench.append(...numbers(10_000, 50));
  await until(async () => (await bench.committed('save')) === 10_050, 'a commit by count, without time');
  first.engine.kill();
  await bench.append('after');
  const second = bench.openWorker({ module });
  await second.consumers.start();
  await until(() => seen.length === 10_051, 'the second process');
  assert.equal(seen.at(-1), 'after');
});

test('start: now begins at the end, and stays there when the process dies before it handled anything', async (t) => {
  const bench = await openBench(t);
  await bench.append('old');
  const consumers = [{ start: 'now' as const }];
  const first = bench.openWorker({ consumers, module: { save: () => assert.fail('nothing is to be delivered') } });
  await first.consumers.start();
  await until(async () => (await bench.committed('save')) === 1, 'the beginning is committed');
  first.engine.kill();
  await bench.append('new');
  const seen: string[] = [];
  const second = bench.openWorker({
    consumers,
    module: { save: (record: HandlerRecord) => void seen.push(record.text) },
  });
  await second.consumers.start();
  await until(() => seen.length === 1, 'the record in between');
  assert.deepEqual(seen, ['new']);
});

test('pause finishes what runs and commits it; resume goes on; lag is told meanwhile', async (t) => {
  const bench = await openBench(t);
  const running: (() => void)[] = [];
  const seen: string[] = [];
  const save = (record: HandlerRecord): Promise<void> => {
    seen.push(record.text);
    return new Promise((resolve) => running.push(resolve));
  };
  const { consumers } = bench.openWorker({ module: { save } });
  await bench.append('a', 'b', 'c');
  await consumers.start();
  await until(() => running.length === 1, 'a runs');
  const paused = consumers.pause('save');
  running.pop()?.();
  await paused;
  assert.equal(await bench.committed('save'), 1);
  const [status] = await consumers.status();
  assert.equal(status?.state, 'paused');
  const { committed, nextOffset, lagRecords, state } = status?.partitions[0] ?? {};
  assert.deepEqual(
    { committed, nextOffset, lagRecords, state },
    { committed: 1, nextOffset: 3, lagRecords: 2, state: 'paused' },
  );
  await bench.clock.advance(60_000);
  assert.deepEqual(seen, ['a'], 'nothing is delivered while paused');
  await consumers.resume('save');
  await until(() => running.length === 1, 'b runs');
  assert.deepEqual(seen, ['a', 'b']);
  assert.equal((await consumers.status())[0]?.state, 'running');
});

test('resume right after pause: a partition has one reader at a time', async (t) => {
  const bench = await openBench(t);
  const running: (() => void)[] = [];
  const save = (): Promise<void> => new Promise((resolve) => running.push(resolve));
  const { consumers } = bench.openWorker({ module: { save } });
  await bench.append('a', 'b');
  await consumers.start();
  await until(() => running.length === 1, 'a runs');
  const paused = consumers.pause('save');
  await consumers.resume('save');
  await bench.clock.advance(10);
  assert.equal(running.length, 1, 'the first reader still has a in hand');
  running[0]?.();
  await paused;
  await until(() => running.length === 2, 'the second reader');
  await bench.clock.advance(10);
  assert.equal(running.length, 2);
  assert.equal(await bench.committed('save'), 1, 'it went on after a');
});

test('one that begins paused delivers nothing, tells its lag, and goes on when resumed; others run', async (t) => {
  const bench = await openBench(t);
  const seen: string[] = [];
  const other: string[] = [];
  const module = {
    save: (record: HandlerRecord) => void seen.push(record.text),
    other: (record: HandlerRecord) => void other.push(record.text),
  };
  const { consumers } = bench.openWorker({ consumers: [{}, { name: 'other' }], paused: ['save', 'unknown'], module });
  await bench.append('a', 'b');
  await consumers.start();
  await bench.append('c');
  await until(() => other.length === 3, 'the other one has all');
  await bench.clock.advance(60_000);
  const [status] = await consumers.status();
  assert.deepEqual([status?.state, status?.partitions[0]?.lagRecords], ['paused', 3]);
  assert.deepEqual(seen, []);
  await consumers.resume('save');
  await until(() => seen.length === 3, 'all are delivered');
  assert.deepEqual(seen, ['a', 'b', 'c']);
});

test('a paused consumer can skip, and goes on there', async (t) => {
  const bench = await openBench(t);
  const seen: string[] = [];
  const module = { save: (record: HandlerRecord) => void seen.push(record.text) };
  const { consumers } = bench.openWorker({ paused: ['save'], module });
  await bench.append('a', 'b', 'c');
  await consumers.start();
  await assert.rejects(() => consumers.skip('save', 0), { code: 'TANDEM_INPUT_MALFORMED' });
  await assert.rejects(() => consumers.skip('save', 0, 4), { code: 'TANDEM_POSITION_AHEAD' });
  assert.deepEqual(await consumers.skip('save', 0, 2), { partition: 0, fromOffset: 0, toOffset: 2 });
  await assert.rejects(() => consumers.skip('save', 0, 2), { code: 'TANDEM_INPUT_MALFORMED' });
  assert.equal((await consumers.status())[0]?.totals.missed, 2);
  await bench.clock.advance(1000);
  assert.deepEqual(seen, []);
  await consumers.resume('save');
  await until(() => seen.length === 1, 'the rest');
  assert.deepEqual(seen, ['c']);
});

test('a refused commit is repeated until it is taken', async (t) => {
  const bench = await openBench(t);
  let refusals = 3;
  const wrapGroups = (groups: GroupStore): GroupStore =>
    withMethods(groups, {
      async commit(...call) {
        if (refusals-- > 0) throw new TandemError('TANDEM_STORE_FAILED', { detail: 'asked for' });
        await groups.commit(...call);
      },
    });
  const { consumers } = bench.openWorker({ module: { save() {} }, wrapGroups });
  await bench.append('a');
  await consumers.start();
  await untilWithTime(bench.clock, () => refusals === 2, 'the first refusal');
  const status = (await consumers.status())[0]?.partitions[0];
  assert.equal(status?.state, 'retrying');
  assert.match(status?.reason ?? '', /asked for/);
  await untilWithTime(bench.clock, async () => (await bench.committed('save')) === 1, 'the commit');
  assert.equal((await consumers.status())[0]?.partitions[0]?.state, 'running');
});

test('drain gives running calls until the deadline, then aborts them and leaves them unfinished', async (t) => {
  const bench = await openBench(t);
  const reasons: unknown[] = [];
  let calls = 0;
  const save = (_: HandlerRecord, { signal }: HandlerContext): Promise<void> => {
    calls++;
    return new Promise((resolve) => {
      signal.addEventListener('abort', () => {
        reasons.push(signal.reason);
        resolve();
      });
    });
  };
  const { consumers } = bench.openWorker({ module: { save } });
  await bench.append('a', 'b');
  await consumers.start();
  await until(() => calls === 1, 'a runs');
  const drained = consumers.drain(1000);
  await bench.clock.advance(999);
  assert.equal(reasons.length, 0);
  await Promise.all([bench.clock.advance(1), drained]);
  assert.equal(reasons.length, 1);
  assert.equal(calls, 1);
  assert.equal((await bench.committed('save')) ?? 0, 0, 'what returned because it was told to is not done');
});

test('a second member takes partitions over at once, with handlers of the first told to stop', async (t) => {
  const bench = await openBench(t, { partitions: 2 });
  const aborted: number[] = [];
  const hang = (record: HandlerRecord, { signal }: HandlerContext): Promise<void> =>
    new Promise((resolve) => {
      signal.addEventListener('abort', () => {
        aborted.push(record.partition);
        resolve();
      });
    });
  const first = bench.openWorker({ module: { save: hang } });
  await bench.append(keyed('a', '1'), keyed('b', '2'), keyed('c', '3'), keyed('d', '4'), keyed('e', '5'));
  await first.consumers.start();
  const inSecond = (await bench.read(TOPIC, 1)).map(({ data }) => data.toString());
  assert.ok(inSecond.length > 0);
  const seen: string[] = [];
  const second = bench.openWorker({ module: { save: (record: HandlerRecord) => void seen.push(record.text) } });
  await second.consumers.start();
  await until(() => seen.length === inSecond.length, 'the second member has the partition');
  assert.deepEqual(seen, inSecond);
  assert.deepEqual(aborted, [1]);
  const owned = async (worker: typeof first): Promise<number[] | undefined> =>
    (await worker.consumers.status())[0]?.partitions.map(({ partition }) => partition);
  assert.deepEqual(await owned(first), [0]);
  assert.deepEqual(await owned(second), [1]);
});

test('whoever assigns partitions hears when the work on a lost one has stopped', async (t) => {
  const bench = await openBench(t, { partitions: 2 });
  const ending = Promise.withResolvers<void>();
  let isStopped: boolean | undefined;
  let running = 0;
  const stubborn = (): Promise<void> => {
    running++;
    return ending.promise;
  };
  const wrapGroups = (groups: GroupStore): GroupStore =>
    withMethods(groups, {
      join: (group, topic, onChange) =>
        groups.join(group, topic, (assignments) => {
          isStopped = false;
          return Promise.resolve(onChange(assignments)).then(() => {
            isStopped = true;
          });
        }),
    });
  const first = bench.openWorker({ module: { save: stubborn }, wrapGroups });
  await bench.append(keyed('a', '1'), keyed('b', '2'), keyed('c', '3'), keyed('d', '4'), keyed('e', '5'));
  await first.consumers.start();
  await until(() => running >= 2, 'it works on both partitions');
  await bench.openWorker({ module: { save: () => {} } }).consumers.start();
  await until(() => isStopped === false, 'it was told');
  await bench.clock.advance(1);
  assert.equal(isStopped, false, 'a handler runs');
  ending.resolve();
  await until(() => isStopped === true, 'it has stopped');
});

test('a killed member: the other goes on from the last commit, nothing is lost', async (t) => {
  const bench = await openBench(t);
  const seen = new Set<string>();
  const module = { save: (record: HandlerRecord) => void seen.add(record.text) };
  const first = bench.openWorker({ module });
  const second = bench.openWorker({ module });
  await first.consumers.start();
  await second.consumers.start();
  await bench.append(...numbers(100));
  await until(() => seen.size === 100, 'the first');
  first.engine.kill();
  await bench.append(...numbers(100, 100));
  await untilWithTime(bench.clock, () => seen.size === 200, 'the second');
  await untilWithTime(bench.clock, async () => (await bench.committed('save')) === 200, 'its commit');
});

test('several consumers of a topic see all of it, each at its own place', async (t) => {
  const bench = await openBench(t);
  const seen: string[] = [];
  const note = (name: string) => (record: HandlerRecord) => void seen.push(`${name}${record.text}`);
  const consumers = [{ name: 'a' }, { name: 'b' }];
  const worker = bench.openWorker({ consumers, module: { a: note('a'), b: note('b') } });
  await bench.append('1', '2');
  await worker.consumers.start();
  await until(() => seen.length === 4, 'both');
  assert.deepEqual(seen.sort(), ['a1', 'a2', 'b1', 'b2']);
});

test('a consumer of a topic that does not exist yet begins when it does', async (t) => {
  const bench = await openBench(t);
  const seen: string[] = [];
  const module = { save: (record: HandlerRecord) => void seen.push(record.text) };
  const { consumers, ingest } = bench.openWorker({ consumers: [{ topic: 'later' }], module });
  await consumers.start();
  const [status] = await consumers.status();
  assert.equal(status?.state, 'retrying');
  assert.match(status?.reason ?? '', /no such topic/);
  await ingest.append({ topic: 'later', records: [{ data: Buffer.from('first') }] });
  await untilWithTime(bench.clock, () => seen.length === 1, 'the record');
});

test('names that are not configured and configs that cannot work are refused', async (t) => {
  const bench = await openBench(t);
  const { consumers } = bench.openWorker({ module: { save() {} } });
  for (const call of [
    () => consumers.pause('x'),
    () => consumers.resume('x'),
    () => consumers.replay('x', 1),
    () => consumers.skip('x', 0),
  ])
    await assert.rejects(call, { code: 'TANDEM_CONSUMER_UNKNOWN' });
  const wrong = { concurrency: 0, batchRecordsMax: 0.5, retry: { attemptsMax: 0, backoffMs: 2, backoffMsMax: 1 } };
  assert.throws(
    () => bench.openWorker({ consumers: [wrong, wrong] }),
    (error: Error & { code?: string }) => {
      assert.equal(error.code, 'TANDEM_CONFIG_INVALID');
      for (const word of ['twice', 'concurrency', 'batchRecordsMax', 'attemptsMax', 'backoffMsMax'])
        assert.match(error.message, new RegExp(word));
      return true;
    },
  );
});

test('metrics tell counts and lag', async (t) => {
  const bench = await openBench(t);
  const { consumers } = bench.openWorker({ module: { save() {} } });
  await bench.append('a', 'b');
  await consumers.start();
  await until(() => consumers.metrics()[0]?.value === 2, 'both are handled');
  await withTime(bench.clock, bench.clock.advance(100));
  const value = (name: string): number | undefined => consumers.metrics().find((sample) => sample.name === name)?.value;
  assert.equal(value('tandem_consumers_lag_records'), 0);
  await consumers.pause('save');
  assert.equal(value('tandem_consumers_handled_records_total'), 2);
});
