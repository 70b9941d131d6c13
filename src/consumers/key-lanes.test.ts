import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyed, openBench, until, untilWithTime } from './consumers.fixture.ts';
import type { HandlerContext, HandlerRecord } from './handler-api.ts';
import { SPAN } from './unfinished-offsets.ts';

/** A handler whose calls end when the test says so. */
class Gate {
  readonly begun: string[] = [];
  readonly #open = new Map<string, PromiseWithResolvers<void>>();
  running = 0;
  runningMax = 0;

  readonly handler = async (record: HandlerRecord): Promise<void> => {
    this.begun.push(record.text);
    this.runningMax = Math.max(this.runningMax, ++this.running);
    const gate = Promise.withResolvers<void>();
    this.#open.set(record.text, gate);
    try {
      await gate.promise;
    } finally {
      this.running--;
    }
  };

  end(text: string): void {
    this.#open.get(text)?.resolve();
  }

  fail(text: string): void {
    this.#open.get(text)?.reject(new Error('asked for'));
  }
}

const start = async (t: Parameters<typeof openBench>[0], gate: Gate, concurrency: number) => {
  const bench = await openBench(t);
  const { consumers } = bench.openWorker({ consumers: [{ concurrency }], module: { save: gate.handler } });
  await consumers.start();
  return { bench, consumers };
};

test('concurrency 1: one record at a time, whatever the keys', async (t) => {
  const gate = new Gate();
  const { bench } = await start(t, gate, 1);
  await bench.append(keyed('a', 'a1'), keyed('b', 'b1'), 'x1');
  for (const [index, text] of ['a1', 'b1', 'x1'].entries()) {
    await until(() => gate.begun.length === index + 1, text);
    gate.end(text);
  }
  assert.deepEqual(gate.begun, ['a1', 'b1', 'x1']);
  assert.equal(gate.runningMax, 1);
});

test('concurrency n: different keys beside each other, one key and all keyless records in order, never more than n', async (t) => {
  const gate = new Gate();
  const { bench } = await start(t, gate, 3);
  await bench.append(keyed('a', 'a1'), keyed('a', 'a2'), 'x1', 'x2', keyed('b', 'b1'), keyed('c', 'c1'));
  await until(() => gate.begun.length === 3, 'three begin');
  assert.deepEqual(gate.begun, ['a1', 'x1', 'b1']);
  gate.end('b1');
  await until(() => gate.begun.length === 4, 'the slot is used');
  assert.equal(gate.begun[3], 'c1', 'a2 and x2 wait for a1 and x1');
  gate.end('a1');
  await until(() => gate.begun.includes('a2'), 'a2 after a1');
  gate.end('x1');
  await until(() => gate.begun.includes('x2'), 'x2 after x1');
  assert.equal(gate.runningMax, 3);
});

test('what is committed stays below the lowest unfinished record', async (t) => {
  const gate = new Gate();
  const { bench } = await start(t, gate, 4);
  await bench.append(keyed('a', 'a1'), keyed('b', 'b1'), keyed('c', 'c1'), keyed('d', 'd1'));
  await until(() => gate.begun.length === 4, 'all run');
  for (const text of ['d1', 'b1', 'c1']) gate.end(text);
  await until(() => gate.running === 1, 'three are done');
  await bench.clock.advance(1000);
  assert.equal((await bench.committed('save')) ?? 0, 0);
  gate.end('a1');
  await untilWithTime(bench.clock, async () => (await bench.committed('save')) === 4, 'all are committed');
});

test('a record that is retried holds up its key and nothing else, and no slot while it waits', async (t) => {
  const gate = new Gate();
  const { bench, consumers } = await start(t, gate, 2);
  await bench.append(keyed('a', 'a1'), keyed('a', 'a2'), keyed('b', 'b1'), keyed('c', 'c1'));
  await until(() => gate.begun.length === 2, 'a1 and b1 run');
  gate.fail('a1');
  await until(() => gate.begun.length === 3, 'c1 takes the slot');
  assert.deepEqual(gate.begun, ['a1', 'b1', 'c1']);
  const status = (await consumers.status())[0]?.partitions[0];
  assert.equal(status?.state, 'retrying');
  assert.equal(status?.reason, 'Error: asked for');
  await bench.clock.advance(200);
  assert.equal(gate.begun.length, 3, 'the retry waits for a slot');
  gate.end('b1');
  await until(() => gate.begun.length === 4, 'the retry');
  assert.equal(gate.begun[3], 'a1');
  gate.end('a1');
  await until(() => gate.begun.length === 5, 'a2 after a1');
  assert.equal(gate.begun[4], 'a2');
  assert.equal(gate.runningMax, 2);
});

test('work runs at most SPAN offsets ahead of a record that is not finished', async (t) => {
  const bench = await openBench(t);
  let handled = 0;
  const stuck = Promise.withResolvers<void>();
  const save = (record: HandlerRecord): unknown => {
    if (record.key === 'stuck') return stuck.promise;
    handled++;
    return undefined;
  };
  const { consumers } = bench.openWorker({ consumers: [{ concurrency: 2, timeoutMs: 1e9 }], module: { save } });
  await bench.append(keyed('stuck', ''));
  const fillers = Array.from({ length: 10_000 }, () => 'x');
  for (let at = 0; at < SPAN + 10_000; at += fillers.length) await bench.append(...fillers);
  await consumers.start();
  await until(() => handled === SPAN - 1, 'the span is full');
  await bench.clock.advance(1000);
  assert.equal(handled, SPAN - 1);
  stuck.resolve();
  await until(() => handled >= SPAN + 10_000, 'the rest');
});

test('a handler that answers now and then with a promise keeps the order of its key', async (t) => {
  const bench = await openBench(t);
  const seen = new Map<string, number[]>();
  let calls = 0;
  const save = (record: HandlerRecord, { attempt }: HandlerContext): unknown => {
    calls++;
    if (calls % 7 === 0 && attempt < 4) throw new Error('now and then');
    const note = (): void => {
      const numbers = seen.get(record.key as string) ?? [];
      seen.set(record.key as string, numbers);
      numbers.push(Number(record.text));
    };
    if (calls % 3 !== 0) return note();
    return new Promise<void>((resolve) => bench.clock.soon(resolve)).then(note);
  };
  const { consumers } = bench.openWorker({ consumers: [{ concurrency: 4 }], module: { save } });
  await bench.append(...Array.from({ length: 3000 }, (_, i) => keyed(`k${i % 5}`, String(i))));
  await consumers.start();
  await untilWithTime(bench.clock, async () => (await bench.committed('save')) === 3000, 'all are done');
  for (const numbers of seen.values())
    assert.deepEqual(
      numbers,
      [...numbers].sort((a, b) => a - b),
    );
  assert.equal([...seen.values()].flat().length, 3000);
});
