import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../core/ports/random.ts';
import { NumberSet } from './number-set.ts';

function setOf(numbers: Iterable<number>): NumberSet {
  const set = new NumberSet();
  for (const number of numbers) set.add(number);
  return set;
}

test('agrees with a Set: what was new, how many, what the other has not', () => {
  const random = seededRandom(7);
  const numbers = (): number[] => Array.from({ length: 20_000 }, () => 1 + Math.floor(random.fraction() * 120_000));
  const [mine, theirs] = [numbers(), numbers()];
  const set = new NumberSet();
  const model = new Set<number>();
  for (const number of mine) {
    assert.equal(set.add(number), !model.has(number));
    model.add(number);
  }
  assert.deepEqual([set.count, set.highest], [model.size, Math.max(...mine)]);
  const missing = [...model].filter((number) => !theirs.includes(number)).sort((a, b) => a - b);
  assert.deepEqual(set.without(setOf(theirs)), { count: missing.length, examples: missing.slice(0, 5) });
});

test('full pages, their edges, and a set that ends earlier', () => {
  const all = Array.from({ length: 100_000 }, (_, i) => i + 1);
  const full = setOf(all);
  assert.equal(full.add(32_768), false);
  assert.equal(full.add(32_769), false);
  const holes = setOf(all.filter((number) => ![1, 32_768, 32_769, 100_000].includes(number)));
  assert.deepEqual(full.without(holes), { count: 4, examples: [1, 32_768, 32_769, 100_000] });
  assert.equal(holes.without(full).count, 0);
  assert.deepEqual(full.without(setOf([])), { count: 100_000, examples: [1, 2, 3, 4, 5] });
});
