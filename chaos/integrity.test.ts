/**
 * The promise under test: acked means kept. Real processes, kill -9 at random moments under load, 50 seeded rounds by default.
 * `TANDEM_DRILL_ROUNDS` and `TANDEM_DRILL_SEED` change how many and where from; a failing seed's folder is kept and named.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runDrill } from './drill.ts';

const ROUNDS = Number(process.env['TANDEM_DRILL_ROUNDS'] ?? 50);
const FIRST_SEED = Number(process.env['TANDEM_DRILL_SEED'] ?? 1);

for (let seed = FIRST_SEED; seed < FIRST_SEED + ROUNDS; seed++) {
  test(`seed ${seed}: nothing acknowledged is lost, doubled or out of order through kill -9`, async (t) => {
    const result = await runDrill({ seed, workers: 1 + (seed % 3), faults: 1 + (seed % 3) });
    t.diagnostic(
      `faults ${result.faults.join(', ')}; acked ${result.acked}, stored ${result.stored}, handled ${result.handled}`,
    );
    assert.deepEqual(result.breaches.slice(0, 20), [], `${result.breaches.length} breaches, seed ${seed}`);
    assert.ok(result.acked > 0, 'the drill had load');
  });
}
