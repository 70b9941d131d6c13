/**
 * The promise over Redis: acked means kept, once and in order, through the faults of Redis and of nodes. A short drill with a fixed seed; long ones are
 * `npm run chaos -- --engine sentinel|cluster|redis`.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missingRedis } from '../src/core/testing/redis-servers/installed.ts';
import { missing, runRedisDrill } from './redis/redis-drill.ts';

const skip = missingRedis();
const SEED = Number(process.env['TANDEM_DRILL_SEED'] ?? 1);

test('over Sentinel nothing acknowledged is lost or doubled while servers and nodes fail', { skip }, async (t) => {
  const setup = { site: 'sentinel', mode: 'active-active' } as const;
  const { hosts } = missing(setup);
  if (hosts !== undefined) t.diagnostic(`LEFT OUT: faults that part hosts: ${hosts}`);
  const result = await runRedisDrill({
    ...setup,
    seed: SEED,
    nodes: 2,
    workers: 1,
    episodes: 1,
    minutes: 0,
    names: ['empty-master', 'kill-node', 'cut-node-speaking'],
    faultsPerEpisode: 3,
    recordsPerSecond: 500,
    quietMsMax: 200,
    pauseMsMax: 0,
    onStart: ({ folder }) => t.diagnostic(folder),
  });
  const { faults, acked, stored, handled, gaps, breaches } = result;
  t.diagnostic(
    `faults ${JSON.stringify(faults)}; acked ${acked}, stored ${stored}, handled ${handled}, told of gaps ${gaps}`,
  );
  assert.deepEqual(breaches.slice(0, 20), [], `${breaches.length} breaches, seed ${SEED}`);
  assert.ok(acked > 0, 'the drill had load');
});
