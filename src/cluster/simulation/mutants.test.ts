/** The checker is worth its name if it catches code that is broken on purpose, each kind of break within a few thousand seeds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { copyMutant, MUTANTS } from './mutants.fixture.ts';
import { runSeeds } from './seed-job.fixture.ts';

const SEEDS_MAX = 5000;

for (const mutant of MUTANTS)
  test(`caught: ${mutant.name}`, async (t) => {
    const { kind, focus = [] } = mutant;
    const { entry, remove } = copyMutant(mutant);
    t.after(remove);
    const { failure } = await runSeeds({ kind, focus, first: 1, count: SEEDS_MAX }, entry);
    assert.ok(failure, `not caught in ${SEEDS_MAX} seeds`);
    t.diagnostic(`seed ${failure.seed}: ${failure.message}`);
    assert.ok(mutant.breaks.includes(failure.invariant), failure.message);
  });
