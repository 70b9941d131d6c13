import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { advanceWindow, EMPTY_WINDOW, PRODUCER_RUNS_MAX, placesOf, repeatedCount } from './producer-window.ts';

test('every repeat gets its first place, or -1 once it is forgotten; what was left out is refused', () => {
  const step = fc.record({
    back: fc.nat(6),
    count: fc.integer({ min: 1, max: 5 }),
    others: fc.nat(2),
    skipped: fc.nat(1),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const places = new Map<number, number>();
      let window = EMPTY_WINDOW;
      let nextOffset = 0;
      for (const { back, count, others, skipped } of steps) {
        const sequence = Math.max(1, window.lastSequence + 1 + skipped - back);
        const repeated = repeatedCount(window, sequence, count);
        assert.equal(repeated, Math.max(0, Math.min(count, window.lastSequence - sequence + 1)));
        const remembered = window.runs[0] ?? 0;
        const isLeftOut = (s: number): boolean => s > remembered && !places.has(s);
        if (Array.from({ length: repeated }, (_, i) => sequence + i).some(isLeftOut)) {
          assert.throws(() => placesOf(window, sequence, repeated), { code: 'TANDEM_PRODUCER_INVALID' });
          continue;
        }
        let at = sequence;
        for (const run of repeated === 0 ? [] : placesOf(window, sequence, repeated)) {
          assert.ok(run.isDuplicate && run.count > 0);
          for (let i = 0; i < run.count; i++, at++)
            if (run.firstOffset >= 0) assert.equal(run.firstOffset + i, places.get(at));
        }
        assert.equal(at, sequence + repeated);
        if (repeated === count) continue;
        nextOffset += others;
        for (let i = repeated; i < count; i++) places.set(sequence + i, nextOffset + i - repeated);
        window = advanceWindow(window, sequence + repeated, nextOffset, count - repeated);
        nextOffset += count - repeated;
        assert.ok(window.runs.length <= PRODUCER_RUNS_MAX * 3);
      }
    }),
    { numRuns: 60 },
  );
});

test('what continues is one run', () => {
  let window = EMPTY_WINDOW;
  for (let i = 0; i < 1000; i++) window = advanceWindow(window, 1 + i * 3, 10 + i * 3, 3);
  assert.deepEqual(window.runs, [1, 10, 3000]);
  assert.deepEqual(placesOf(window, 2998, 3), [{ count: 3, firstOffset: 3007, isDuplicate: true }]);
});
