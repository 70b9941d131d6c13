import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missingRedis } from './installed.ts';
import { startSentinel } from './start-sentinel.ts';

test('Sentinels promote the replica when the master is killed', { skip: missingRedis() }, async (t) => {
  const startMs = performance.now();
  const started = await startSentinel(t, { replicas: 1, sentinels: 3, password: 'p' });
  t.diagnostic(`ready after ${Math.round(performance.now() - startMs)} ms`);
  const [first, second] = started.servers;
  assert.ok(first !== undefined && second !== undefined);
  assert.equal(await started.settled(), first);
  assert.equal(await started.master(), first);
  assert.deepEqual(await Promise.all(started.sentinels.map((one) => one.role())), ['sentinel', 'sentinel', 'sentinel']);
  assert.equal(await first.call('SET', 'name', 'value'), 'OK');
  await first.kill();
  assert.equal(await started.settled(), second);
  assert.equal(await second.role(), 'master');
});
