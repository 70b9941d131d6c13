import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { TandemError } from '../../core/errors.ts';
import { ABORT_GRACE_MS } from '../attempts.ts';
import { keyed, openBench, TOPIC, until, untilWithTime } from '../consumers.fixture.ts';
import type { HandlerContext, HandlerRecord } from '../handler-api.ts';
import { loadHandler } from './handler.ts';

const DEAD = `${TOPIC}.dead`;
const loadModule = (path: string): Promise<unknown> => import(pathToFileURL(path).href);
const once = { attemptsMax: 1, backoffMs: 0, backoffMsMax: 0 };

const thenable = (then: unknown): unknown => Object.defineProperty({}, 'then', { value: then });

async function problemOf(t: TestContext, fileName: string, source: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tandem-handler-'));
  t.after(() => rm(folder, { recursive: true }));
  const to = join(folder, fileName);
  await writeFile(to, source);
  const error = await loadHandler({ name: 'save', to, loadModule }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof TandemError);
  assert.equal(error.code, 'TANDEM_HANDLER_INVALID');
  assert.match(error.hint, /Export a function/);
  return error.message;
}

test('a module that does not fit is refused with what it exports instead', async (t) => {
  assert.match(await problemOf(t, 'a.ts', 'export const sava = 1;'), /neither "save" nor default \(it exports sava\)/);
  assert.match(await problemOf(t, 'b.ts', 'export {};'), /it exports nothing/);
  assert.match(await problemOf(t, 'c.ts', 'export const save = 1;'), /"save", which is neither a function nor/);
  assert.match(await problemOf(t, 'd.ts', 'export const save = { batch: 1 };'), /neither a function nor/);
});

test('a module that fails to load is refused with file and line', async (t) => {
  assert.match(await problemOf(t, 'thrown.ts', "\n\nthrow new Error('boom');"), /thrown\.ts:3: Error: boom/);
  assert.match(await problemOf(t, 'syntax.mjs', '\nexport const = 1;'), /syntax\.mjs: SyntaxError: .*node --check/);
  assert.match(
    await problemOf(t, 'typed.ts', '\n\nenum Colour { red }\nexport default () => Colour.red;'),
    /typed\.ts:3: SyntaxError: .*enum/,
  );
  assert.match(await problemOf(t, 'thing.mjs', 'throw 7;'), /thing\.mjs: threw number/);
});

test('check tells every problem; start stops the consumer with it and runs the others', async (t) => {
  const bench = await openBench(t);
  const seen: string[] = [];
  const module = { good: (record: HandlerRecord) => void seen.push(record.text), bad: 7 };
  const { consumers } = bench.openWorker({ consumers: [{ name: 'good' }, { name: 'bad' }, { name: 'none' }], module });
  const problems = await consumers.check();
  assert.deepEqual(
    problems.map(({ code }) => code),
    ['TANDEM_HANDLER_INVALID', 'TANDEM_HANDLER_INVALID'],
  );
  await consumers.start();
  await bench.append('a');
  await until(() => seen.length === 1, 'the good one');
  const [, bad] = await consumers.status();
  assert.equal(bad?.state, 'stopped');
  assert.match(bad?.reason ?? '', /consumer "bad"/);
});

test('whatever is returned or resolved means done; whatever is thrown or rejected is a failure', async (t) => {
  const bench = await openBench(t);
  const unshowable = Object.defineProperty(new Error('x'), 'message', {
    get() {
      throw new Error('no');
    },
  });
  const answers: (() => unknown)[] = [
    () => false,
    () => 'text',
    () => null,
    () => thenable('not a function'),
    () => thenable((resolve: (value: unknown) => void) => resolve(1)),
    async () => new Error('returned, not thrown'),
    () => {
      throw undefined;
    },
    () => {
      throw unshowable;
    },
    () => Promise.reject('text'),
    () => thenable((_: unknown, reject: (reason: unknown) => void) => reject(new TypeError('thenable'))),
    () =>
      Object.defineProperty({}, 'then', {
        get() {
          throw new Error('getter');
        },
      }),
    () => Promise.reject(new Error('long'.repeat(10_000))),
  ];
  const save = (record: HandlerRecord): unknown => answers[Number(record.text)]?.();
  const { consumers } = bench.openWorker({ consumers: [{ retry: once }], module: { save } });
  await bench.append(...answers.keys().map(String));
  await consumers.start();
  await untilWithTime(bench.clock, async () => (await bench.committed('save')) === answers.length, 'all are settled');
  const letters = await bench.read(DEAD);
  const reasons = letters.map(({ headers, data }) => [data.toString(), headers?.['tandem-reason']]);
  assert.deepEqual(reasons.slice(0, -1), [
    ['6', 'undefined'],
    ['7', 'something that cannot be shown was thrown'],
    ['8', 'text'],
    ['9', 'TypeError: thenable'],
    ['10', 'Error: getter'],
  ]);
  assert.ok((reasons.at(-1)?.[1]?.length ?? 0) < 1100, 'the reason is bounded');
});

test('at the time-out the signal aborts, and the call has failed whatever it answers then', async (t) => {
  const bench = await openBench(t);
  const attempts: number[] = [];
  const save = async (_: HandlerRecord, { signal, attempt }: HandlerContext): Promise<void> => {
    attempts.push(attempt);
    if (attempt < 3) await new Promise((resolve) => signal.addEventListener('abort', resolve));
  };
  const retry = { attemptsMax: 5, backoffMs: 0, backoffMsMax: 0 };
  const { consumers } = bench.openWorker({ consumers: [{ timeoutMs: 1000, retry }], module: { save } });
  await bench.append('a');
  await consumers.start();
  await until(() => attempts.length === 1, 'it runs');
  await bench.clock.advance(999);
  assert.deepEqual(attempts, [1]);
  await bench.clock.advance(1001);
  assert.deepEqual(attempts, [1, 2, 3]);
  const [status] = await consumers.status();
  assert.deepEqual([status?.totals.failedAttempts, status?.totals.handled, status?.totals.abandonedCalls], [2, 1, 0]);
});

test('a call that never settles is not doubled until the grace is over, then it is given up and the next record goes on', async (t) => {
  const bench = await openBench(t);
  const begun: string[] = [];
  const save = (record: HandlerRecord): unknown => {
    begun.push(record.text);
    return record.text === 'stuck' ? new Promise(() => {}) : undefined;
  };
  const retry = { attemptsMax: 2, backoffMs: 0, backoffMsMax: 0 };
  const { consumers } = bench.openWorker({ consumers: [{ timeoutMs: 1000, retry }], module: { save } });
  await bench.append('stuck', 'next');
  await consumers.start();
  await until(() => begun.length === 1, 'it runs');
  await bench.clock.advance(1000 + ABORT_GRACE_MS - 1);
  assert.deepEqual(begun, ['stuck']);
  await bench.clock.advance(1);
  assert.deepEqual(begun, ['stuck', 'stuck']);
  await bench.clock.advance(1000 + ABORT_GRACE_MS);
  assert.deepEqual(begun, ['stuck', 'stuck', 'next']);
  const [letter] = await bench.read(DEAD);
  assert.equal(letter?.headers?.['tandem-reason'], 'the delivery failed: no answer within 1000 ms');
  assert.equal((await consumers.status())[0]?.totals.abandonedCalls, 2);
});

test('a batch handler gets runs in order; only the record that fails alone is retried and dead-lettered', async (t) => {
  const bench = await openBench(t);
  const calls: string[][] = [];
  const attempts: number[] = [];
  const save = {
    async batch(records: readonly HandlerRecord[], { attempt }: HandlerContext): Promise<void> {
      calls.push(records.map(({ text }) => text));
      if (!records.some(({ text }) => text === 'bad')) return;
      if (records.length === 1) attempts.push(attempt);
      throw new Error('bad');
    },
  };
  const retry = { attemptsMax: 2, backoffMs: 10, backoffMsMax: 10 };
  const worker = bench.openWorker({ consumers: [{ retry, batchRecordsMax: 3, concurrency: 4 }], module: { save } });
  await bench.append('0', '1', keyed('k', '2'), '3', 'bad', '5', '6');
  await worker.consumers.start();
  await untilWithTime(bench.clock, async () => (await bench.committed('save')) === 7, 'all are settled');
  assert.deepEqual(calls, [['0', '1', '2'], ['3', 'bad', '5'], ['3'], ['bad'], ['bad'], ['5'], ['6']]);
  assert.deepEqual(attempts, [1, 2]);
  assert.deepEqual(
    (await bench.read(DEAD)).map(({ data }) => data.toString()),
    ['bad'],
  );
  assert.equal((await worker.consumers.status())[0]?.totals.handled, 6);
  assert.ok(bench.logged.some(({ event }) => event === 'concurrency_ignored'));
});
