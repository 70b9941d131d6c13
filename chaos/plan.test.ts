import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FAULT_KINDS, FAULT_NAMES, type FaultName } from './faults/fault.ts';
import { type PlannedEpisode, planEpisodes } from './plan.ts';

const OPTIONS = { kinds: FAULT_KINDS, names: FAULT_NAMES, quietMsMax: 1000, pauseMsMax: 500 };
const first = (count: number, seed: number): PlannedEpisode<FaultName>[] =>
  planEpisodes({ ...OPTIONS, seed })
    .take(count)
    .toArray();

test('a seed fixes the plan, another seed gives another one', () => {
  assert.deepEqual(first(50, 7), first(50, 7));
  assert.notDeepEqual(first(50, 7), first(50, 8));
});

test('every kind of fault comes, alone and together with others', () => {
  const faults = first(1000, 1).flatMap((episode) => episode.faults.map(({ fault }) => fault));
  for (const isAlone of [true, false])
    assert.deepEqual(
      FAULT_NAMES.filter((name) => !faults.some((fault) => fault.name === name && fault.isAlone === isAlone)),
      [],
    );
});

test('only the named faults come, as many as asked for', () => {
  const names = ['kill-worker', 'restart'] as const;
  for (const { faults } of planEpisodes({ ...OPTIONS, names, faultsPerEpisode: 3, seed: 5 }).take(100)) {
    assert.equal(faults.length, 3);
    assert.ok(faults.every(({ fault }) => names.includes(fault.name as (typeof names)[number])));
  }
});
