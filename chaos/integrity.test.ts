/**
 * The promise under test: acked means kept. A node alone, real processes, kill -9 at random moments under load, 50 seeded rounds by default.
 * `TANDEM_DRILL_ROUNDS` and `TANDEM_DRILL_SEED` change how many and where from; a failing seed's folder is kept.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runDrill } from './drill.ts';

const ROUNDS = Number(process.env['TANDEM_DRILL_ROUNDS'] ?? 50);
const FIRST_SEED = Number(process.env['TANDEM_DRILL_SEED'] ?? 1);

for (let seed = FIRST_SEED; seed < FIRST_SEED + ROUNDS; seed++) {
  test(`seed ${seed}: nothing acknowledged is lost, doubled or out of order through kill -9`, async (t) => {
    const result = await runDrill({
      seed,
      nodes: 1,
      workers: 1 + (seed % 3),
      episodes: 1,
      minutes: 0,
      names: ['kill-worker', 'kill-keeper', 'kill-active', 'stop-worker', 'restart'],
      faultsPerEpisode: 1 + (seed % 3),
      quietMsMax: 200,
      pauseMsMax: 0,
      nodeHeartbeatTimeoutMs: 1000,
      workerHeartbeatTimeoutMs: 600,
      hasProxies: false,
      onStart: ({ folder }) => t.diagnostic(folder),
    });
    const { faults, acked, stored, handled, breaches } = result;
    t.diagnostic(`faults ${JSON.stringify(faults)}; acked ${acked}, stored ${stored}, handled ${handled}`);
    assert.deepEqual(breaches.slice(0, 20), [], `${breaches.length} breaches, seed ${seed}`);
    assert.ok(acked > 0, 'the drill had load');
  });
}
