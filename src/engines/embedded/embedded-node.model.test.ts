/**
 * Random actions on a whole node of the embedded engine (slots, topics, groups, deaths, torn ends), compared after each step with the
 * memory engine; and random damage to its files. (embedded-engine.model.test.ts: one slot, and a disk that fails.)
 *
 * A failure prints the seed, the path and the shrunk actions; `TANDEM_MODEL_SEED=<seed>` runs the same again,
 * `TANDEM_MODEL_SECONDS=<n>` lets each of the two properties run so long.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { type Action, anAction, aPace } from './embedded-actions.fixture.ts';
import { aDamage, checkDamage } from './embedded-damage.fixture.ts';
import { ModelRun } from './embedded-model.fixture.ts';
import type { NodePace } from './embedded-node.fixture.ts';

const SECONDS = Number(process.env['TANDEM_MODEL_SECONDS'] ?? 5);
const SEED = Number(process.env['TANDEM_MODEL_SEED'] ?? Date.now() % 0x7fff_ffff);
const RUNS_MAX = 1_000_000;
/** Fewer than this in the time there is: the property has not really been tried. */
const RUNS_MIN = 2;

/** Checks until the time is up; the time bounds shrinking too. */
async function check<T>(t: TestContext, arbitrary: fc.Arbitrary<T>, run: (value: T) => Promise<void>): Promise<void> {
  let runs = 0;
  let current = Promise.resolve();
  const property = fc.asyncProperty(arbitrary, async (value) => {
    current = run(value);
    await current;
    runs++;
  });
  const details = await fc.check(property, {
    seed: SEED,
    numRuns: RUNS_MAX,
    interruptAfterTimeLimit: SECONDS * 1000,
    markInterruptAsFailure: false,
  });
  t.diagnostic(`seed ${SEED}, ${runs} runs`);
  // The one that the time limit cut off must end too, and not in a failure.
  const [cutOff] = await Promise.allSettled([current]);
  if (details.failed) {
    const { errorInstance: cause } = details;
    throw new Error(await fc.asyncDefaultReportMessage(details), { cause });
  }
  if (cutOff.status === 'rejected') throw cutOff.reason;
  assert.ok(runs >= RUNS_MIN, `only ${runs} runs in ${SECONDS} s`);
}

interface ModelCase {
  readonly slots: number;
  readonly pace: NodePace;
  readonly actions: readonly Action[];
}

async function runActions({ slots, pace, actions }: ModelCase): Promise<void> {
  const run = new ModelRun(pace);
  try {
    await run.open(slots);
    for (const action of actions) {
      await run.step(action);
      await run.compare();
    }
  } finally {
    await run.dispose();
  }
}

test('whatever happens, the engine shows what its model shows', async (t) => {
  const slots = fc.constantFrom(1, 2);
  const actions = fc.array(anAction, { minLength: 1, maxLength: 30, size: 'max' });
  await check(t, fc.record({ slots, pace: aPace, actions }), runActions);
});

test('a flipped bit is reported, never served and never skipped in silence', async (t) => {
  await check(t, aDamage, checkDamage);
});
