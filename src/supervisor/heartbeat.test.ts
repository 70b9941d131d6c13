import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeartbeatWatch } from './heartbeat.ts';

const heart = (lastBeatMs: number) => ({ lastBeatMs, silenceMsMax: 1000 });

test('finds who has been silent for longer than allowed', () => {
  const watch = new HeartbeatWatch(0);
  const [alive, silent] = [heart(0), heart(0)];
  for (let nowMs = 250; nowMs <= 1000; nowMs += 250) {
    alive.lastBeatMs = nowMs;
    assert.deepEqual(watch.check(nowMs, [alive, silent]), []);
  }
  assert.deepEqual(watch.check(1250, [alive, silent]), [silent]);
});

test('after a stall of the keeper itself nobody is condemned for it', () => {
  const watch = new HeartbeatWatch(0);
  const silent = heart(0);
  assert.deepEqual(watch.check(250, [silent]), []);
  assert.deepEqual(watch.check(60_000, [silent]), []);
  assert.deepEqual(watch.check(60_250, [silent]), []);
  for (let nowMs = 60_500; nowMs <= 61_000; nowMs += 250) watch.check(nowMs, [silent]);
  assert.deepEqual(watch.check(61_250, [silent]), [silent]);
});
