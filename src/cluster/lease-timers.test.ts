import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TandemError } from '../core/errors.ts';
import { assertClusterTimers, type ClusterTimers } from './lease-timers.ts';

const CALM: ClusterTimers = {
  ...{ ttlMs: 3000, renewMs: 500, marginMs: 600, pollMs: 250, heartbeatTimeoutMs: 1000 },
  ...{ minTenureMs: 1000, takeoversMax: 5, takeoverWindowMs: 60_000 },
};
const BOUNDS = { stallMsMax: 250, storeLatencyMsMax: 200, cutMsMax: 200, clockRateErrorMax: 0.01 };

function problems(change: Partial<ClusterTimers>, provesDeath = false): string {
  try {
    assertClusterTimers({ ...CALM, ...change }, provesDeath, BOUNDS);
    return '';
  } catch (error) {
    assert.ok(error instanceof TandemError);
    assert.equal(error.code, 'TANDEM_CONFIG_INVALID');
    return error.message;
  }
}

test('the defaults of the design and a fast set are safe', () => {
  assert.equal(problems({}), '');
  assert.equal(problems({ ttlMs: 1500, renewMs: 300, marginMs: 300 }), '');
  assert.equal(problems({ ttlMs: 10_000, renewMs: 2000, marginMs: 1000 }), '');
});

/** Each with the last value that is taken, the first that is not, and what is said. */
const LIMITS: readonly [keyof ClusterTimers, number, number, RegExp, Partial<ClusterTimers>?][] = [
  ['ttlMs', 1750, 1749, /cluster\.ttlMs is 1749: must be at least 1750 .*3 x the longest stall, 250, \+ 2 x/],
  ['marginMs', 230, 229, /cluster\.marginMs is 229: must be at least 230 .*time of a cut, 200, and 1 % of ttlMs/],
  ['renewMs', 1000, 1001, /cluster\.renewMs is 1001: must be at most 1000 .*a third of ttlMs/],
  ['renewMs', 300, 301, /must be at most 300 .*one lost renewal/, { ttlMs: 1750, marginMs: 950 }],
  ['renewMs', 250, 249, /cluster\.renewMs is 249: must be at least 250/],
  ['pollMs', 1, 0, /cluster\.pollMs is 0: must be at least 1/],
  ['takeoversMax', 1, 0, /cluster\.takeoversMax/],
];

for (const [name, good, bad, message, also = {}] of LIMITS)
  test(`${name}: ${good} is taken, ${bad} is refused with what would be`, () => {
    assert.doesNotMatch(problems({ ...also, [name]: good }), message);
    assert.doesNotMatch(problems({ ...also, [name]: good }), new RegExp(`${name} is`));
    assert.match(problems({ ...also, [name]: bad }), message);
  });

test('all problems are named at once; what is not a number is refused', () => {
  const all = problems({ ttlMs: 500, renewMs: 400, marginMs: 10 });
  for (const name of ['ttlMs', 'renewMs', 'marginMs']) assert.match(all, new RegExp(`cluster\\.${name} is`));
  assert.match(problems({ ttlMs: Number.NaN }), /cluster\.ttlMs is NaN/);
});

test('a store that proves death has no use for the times of leases', () => {
  assert.equal(problems({ ttlMs: 0, renewMs: 0, marginMs: 0 }, true), '');
  assert.match(problems({ heartbeatTimeoutMs: 249 }, true), /heartbeatTimeoutMs is 249: must be at least 250/);
});
