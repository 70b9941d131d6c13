/** The Redis benches' own parts with tiny input. No figure is judged here. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missingRedis } from '../src/core/testing/redis-servers/installed.ts';
import { Ledger } from './redis/failover/ledger.ts';
import { runSeries } from './redis/failover/series.ts';
import { loadRedis, loadTandem } from './redis/ingest.ts';
import { measureSubscriptions } from './redis/subscriptions.ts';
import { measureRedisTakeovers } from './redis-takeover.bench.ts';

const skip = missingRedis();
const timeout = 120_000;
const QUICK = {
  rounds: 1,
  seed: 1,
  recordsPerSecond: 100,
  calmMs: 200,
  detection: { downAfterMs: 500, nodeTimeoutMs: 500 },
};
const SHAPE = { connections: 3, inFlight: 4, recordBytes: 200, seconds: 0.2, warmUpSeconds: 0.05, rounds: 1 };

test('the ingest load drives plain XADD', { skip, timeout }, async () => {
  const { answered, fromMs, toMs } = await loadRedis(SHAPE);
  assert.ok(answered > 0);
  assert.ok(toMs - fromMs >= 199);
});

test('a node on Redis: all that was acknowledged after the local flush comes to the server', {
  skip,
  timeout,
}, async () => {
  const { answered, storedPerSecond } = await loadTandem(SHAPE, 'flushed');
  assert.ok(answered > 0);
  assert.ok(storedPerSecond > 0);
});

test('subscriptions of two nodes get every record, and the server is asked for them', { skip, timeout }, async () => {
  const shape = { nodes: 2, subscriptions: [4], recordsPerSecond: 20, seconds: 1, settleMs: 500 };
  const measures = await measureSubscriptions(() => {}, shape);
  for (const { name, value } of measures) assert.ok(value > 0, name);
});

test('a takeover is measured', { skip, timeout }, async () => {
  const measures = await measureRedisTakeovers(() => {}, { kills: 1, cuts: 0, ttlMs: 2000, calmMs: 100 });
  for (const { name, value } of measures) assert.ok(value > 0, name);
});

test('the ledger counts what is lost, repeated and out of order, each for itself', () => {
  const ledger = new Ledger(Uint8Array.of(1, 1, 0, 1, 1));
  for (const sequence of [1, 4, 2, 4, 4]) ledger.take(sequence);
  assert.deepEqual(ledger.verdict(), { acked: 4, lost: 1, duplicated: 2, outOfOrder: 1 });
  assert.throws(() => ledger.take(6), /never sent/);
});

for (const kind of ['sentinel', 'cluster'] as const)
  test(`a failover of Redis ${kind} under load: a node with a spool loses nothing`, { skip, timeout }, async () => {
    const lanes = { tandem: 2, plain: 2, wait: 2 };
    const { promotedMs, verdicts } = await runSeries(() => {}, { ...QUICK, kind, lanes });
    assert.equal(promotedMs.length, 1);
    for (const { acked, ...problems } of verdicts.tandem) {
      assert.ok(acked > 0);
      assert.deepEqual(problems, { lost: 0, duplicated: 0, outOfOrder: 0 });
    }
    // On a busy machine a single one of these may get no answer in so short a time.
    assert.ok([...verdicts.plain, ...verdicts.wait].some(({ acked }) => acked > 0));
    for (const { duplicated } of [...verdicts.plain, ...verdicts.wait]) assert.equal(duplicated, 0);
  });
