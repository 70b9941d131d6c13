import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { seededRandom } from '../core/ports/random.ts';
import { keyed, openBench, until } from './consumers.fixture.ts';
import type { HandlerContext, HandlerRecord } from './handler-api.ts';
import { backoffDelayMs } from './retry.ts';

const always = (fraction: number) => ({ fraction: () => fraction, id: () => '' });

test('the wait doubles up to its bound, with full jitter', () => {
  const retry = { attemptsMax: 9, backoffMs: 100, backoffMsMax: 1000 };
  const ceilings = [1, 2, 3, 4, 5, 6].map((attempt) => backoffDelayMs(retry, attempt, always(1)));
  assert.deepEqual(ceilings, [100, 200, 400, 800, 1000, 1000]);
  assert.equal(backoffDelayMs(retry, 3, always(0)), 0);
  assert.equal(backoffDelayMs(retry, 3, always(0.5)), 200);
});

test('what the target asks for is honoured up to the bound, and no wait is ever longer', () => {
  const retry = { attemptsMax: 9, backoffMs: 100, backoffMsMax: 1000 };
  assert.equal(backoffDelayMs(retry, 1, always(0.5), 700), 700);
  assert.equal(backoffDelayMs(retry, 1, always(0.5), 60_000), 1000);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10_000 }), fc.nat(), fc.nat(1e9), (attempt, seed, retryAfterMs) => {
      const delayMs = backoffDelayMs(retry, attempt, seededRandom(seed), retryAfterMs);
      assert.ok(delayMs >= 0 && delayMs <= 1000);
    }),
  );
});

test('a failing record is tried again after the back-off and not before, with its attempt counted', async (t) => {
  const bench = await openBench(t, { random: { ...seededRandom(1), fraction: () => 0.999 } });
  const attempts: [attempt: number, atMs: number][] = [];
  const save = (_: HandlerRecord, { attempt }: HandlerContext): void => {
    attempts.push([attempt, bench.clock.monotonicMs()]);
    if (attempt < 4) throw new Error('not yet');
  };
  const retry = { attemptsMax: 5, backoffMs: 100, backoffMsMax: 1000 };
  const { consumers } = bench.openWorker({ consumers: [{ retry }], module: { save } });
  await bench.append(keyed('k', 'a'));
  await consumers.start();
  await until(() => attempts.length === 1, 'the first attempt');
  for (const waitMs of [100, 200, 400]) {
    const count = attempts.length;
    await bench.clock.advance(waitMs * 0.99);
    assert.equal(attempts.length, count, `not before ${waitMs} ms`);
    await bench.clock.advance(waitMs * 0.01);
    assert.equal(attempts.length, count + 1, `after ${waitMs} ms`);
  }
  assert.deepEqual(
    attempts.map(([attempt]) => attempt),
    [1, 2, 3, 4],
  );
  const [status] = await consumers.status();
  assert.deepEqual([status?.totals.handled, status?.totals.failedAttempts, status?.totals.deadLettered], [1, 3, 0]);
  assert.equal(status?.partitions[0]?.state, 'running');
});
