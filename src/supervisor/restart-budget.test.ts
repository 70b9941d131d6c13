import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RestartBudget } from './restart-budget.ts';

const LIMITS = { restartCountMax: 3, restartWindowMs: 60_000 };

test('crashes within the budget are answered at once, beyond it with doubling delays up to 5 s', () => {
  const budget = new RestartBudget(LIMITS);
  const delays = Array.from({ length: 12 }, (_, i) => budget.died(i, true));
  assert.deepEqual(delays, [0, 0, 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
});

test('deaths outside the window are forgotten', () => {
  const budget = new RestartBudget(LIMITS);
  for (let i = 0; i < 5; i++) budget.died(i, true);
  assert.ok(budget.isExceeded);
  assert.equal(budget.died(60_010, true), 0);
  assert.ok(!budget.isExceeded);
});

test('failed starts wait from the first one on, until a worker serves', () => {
  const budget = new RestartBudget({ restartCountMax: 100, restartWindowMs: 60_000 });
  assert.deepEqual([budget.died(0, false), budget.died(1, false), budget.died(2, false)], [100, 200, 400]);
  budget.served();
  assert.equal(budget.died(3, false), 100);
  assert.equal(budget.died(4, true), 0);
});
