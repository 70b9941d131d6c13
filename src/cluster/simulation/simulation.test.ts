/**
 * The elector, its switchover and its leases under random faults, one simulated world per seed. See checker.fixture.ts for what must hold.
 *
 * `TANDEM_SIMULATION_SEEDS=<n>` runs so many of each kind, from a new first seed each time. A failure names its seed and prints what
 * happened; `TANDEM_SIMULATION_SEED=<seed>` begins with that seed, and the same seed always gives the same run.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { runSeed } from './run-seed.fixture.ts';
import { runSeeds } from './seed-job.fixture.ts';
import type { StoreKind } from './world.fixture.ts';

const SEEDS = Number(process.env['TANDEM_SIMULATION_SEEDS'] ?? 2500);
const FIRST_SEED = Number(process.env['TANDEM_SIMULATION_SEED'] ?? Date.now() % 0x3fff_ffff);

async function traceOf(kind: StoreKind, seed: number): Promise<string[]> {
  const lines: string[] = [];
  await runSeed(kind, seed, (line) => lines.push(line));
  return lines;
}

async function check(t: TestContext, kind: StoreKind): Promise<void> {
  const { failure, cpuMs, ...sum } = await runSeeds({ kind, first: FIRST_SEED, count: SEEDS });
  if (failure !== undefined) {
    const { seed, message } = failure;
    const trace = await traceOf(kind, seed);
    assert.fail(`${kind}, TANDEM_SIMULATION_SEED=${seed}: ${message}\n${trace.join('\n')}`);
  }
  const perMinute = Math.round((sum.seeds / cpuMs) * 60_000);
  t.diagnostic(`${kind}: from seed ${FIRST_SEED}, ${perMinute} seeds per minute of CPU, ${JSON.stringify(sum)}`);
  assert.ok(sum.starts > SEEDS, 'the service changed hands');
}

test('a store that proves death: whatever happens, one is active at a time, and one in the end', (t) =>
  check(t, 'kernel'));

test('a store with time-outs: whatever happens, one is active at a time, and one in the end', (t) => check(t, 'timed'));

test('a seed replays exactly', async () => {
  for (const kind of ['kernel', 'timed'] as const)
    for (const seed of [1, 2, 3]) {
      const first = await traceOf(kind, seed);
      assert.ok(first.length > 3, 'something happens');
      assert.deepEqual(await traceOf(kind, seed), first);
    }
});

/** Lines of traces that must come up: else the faults do not reach what they are for. */
const OCCURRENCES: { readonly [kind in StoreKind]: readonly string[] } = {
  kernel: [
    'peer_hung',
    'peer_fenced',
    'peer_fence_failed',
    'promote_failed',
    'cut_failed',
    'role_changed.*the last active died',
    'role_changed.*switchover to',
    'role_changed.*the node stops',
    'lease lost: a write was refused',
    'lease lost: consumers could not go on',
    'reports \\{"from"',
    'no switchover now: . is active for less than',
    'no switchover now: no standby is ready',
    'no switchover now: . is active already',
    'given up.*no answer from quiesce',
    'given up.*could not stop in time; . serves again',
    'given up.*did not take over in time; . serves again',
    'given up.*has the lease under term \\d+ and does not serve yet',
    'given up.*did not take over in time; . serves under term',
  ],
  timed: [
    'lease lost: no renewal was confirmed in time',
    'lease lost: the store says that it has ended',
    'lease lost: the store has granted a newer term',
    'promote_failed',
    'role_changed.*the last active died',
    'reports \\{"from"',
    'given up.*did not take over in time',
  ],
};

for (const kind of ['kernel', 'timed'] as const)
  test(`the faults reach what they are for: ${kind}`, async (t) => {
    const { missing, seeds } = await runSeeds({ kind, first: 1, count: 6000, occurrences: OCCURRENCES[kind] });
    t.diagnostic(`${seeds} seeds`);
    assert.deepEqual(missing, []);
  });
