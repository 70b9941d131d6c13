/** The Redis benches' own parts with tiny input. No figure is judged here. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missingRedis } from '../src/core/testing/redis-servers/installed.ts';
import { loadRedis } from './redis/ingest.ts';

const skip = missingRedis();
const SHAPE = { connections: 3, inFlight: 4, recordBytes: 200, seconds: 0.2, warmUpSeconds: 0.05, rounds: 1 };

test('the ingest load drives plain XADD', { skip }, async () => {
  const { answered, fromMs, toMs } = await loadRedis(SHAPE);
  assert.ok(answered > 0);
  assert.ok(toMs - fromMs >= 199);
});
