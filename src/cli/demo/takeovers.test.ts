import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Meter } from './meter.ts';
import { summaries, Takeovers } from './takeovers.ts';

test('a takeover lasts from the fault to the first ack under a newer term; the pause from the last ack before it', () => {
  const takeovers = new Takeovers(1000);
  takeovers.acked(2, 1010);
  const fault = takeovers.begin('kill', 'a', 2000);
  takeovers.acked(2, 2005);
  assert.equal(takeovers.current, fault);
  assert.equal(takeovers.quietMs(2030), 25);
  takeovers.acked(4, 2047);
  takeovers.acked(4, 2048);
  assert.equal(takeovers.current, undefined);
  assert.deepEqual(fault, {
    ...{ kind: 'kill', node: 'a', fromTerm: 2, atMs: 1000, toNode: null, toTerm: 4 },
    ...{ takeoverMs: 47, pauseMs: 42, problem: null },
  });
  // A late ack of the old one changes nothing.
  takeovers.acked(2, 2050);
  assert.equal(takeovers.quietMs(2050), 2);
});

test('summaries by kind, without those that were given up', () => {
  const takeovers = new Takeovers(0);
  takeovers.acked(1, 1);
  for (const [i, ms] of [30, 10, 20, 60].entries()) {
    takeovers.begin('switchover', 'a', 100 * (i + 1));
    takeovers.acked(i + 2, 100 * (i + 1) + ms);
  }
  takeovers.begin('switchover', 'a', 900);
  takeovers.fail('given up');
  assert.deepEqual([...summaries(takeovers.faults).keys()], ['switchover']);
  const { count, takeoverMs } = summaries(takeovers.faults).get('switchover') ?? assert.fail();
  assert.deepEqual([count, takeoverMs], [4, { median: 25, worst: 60 }]);
});

test('the meter counts per tenth of a second, and forgets', () => {
  const meter = new Meter();
  meter.add(5, 1_000_050);
  meter.add(3, 1_000_150);
  meter.add(2, 1_000_190);
  assert.deepEqual(meter.buckets(4, 1_000_210), [0, 0, 5, 5]);
  assert.equal(meter.perSecond(1_000_500), 10);
  assert.equal(meter.perSecond(1_001_150), 5);
  assert.equal(meter.perSecond(1_090_000), 0);
  assert.equal(meter.total, 10);
});
