import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SPAN, UnfinishedOffsets } from './unfinished-offsets.ts';

test('the lowest unfinished offset, for any order of finishing', () => {
  fc.assert(
    fc.property(fc.nat(SPAN * 3), fc.shuffledSubarray([...Array(200).keys()], { minLength: 0 }), (start, order) => {
      const offsets = new UnfinishedOffsets();
      offsets.reset(start);
      const finished = new Set<number>();
      for (const step of order) {
        offsets.finish(start + step);
        finished.add(step);
        let lowest = 0;
        while (finished.has(lowest)) lowest++;
        assert.equal(offsets.lowest, start + lowest);
      }
    }),
  );
});

test('room ends SPAN ahead of the lowest, and the ring is clean after it went round', () => {
  const offsets = new UnfinishedOffsets();
  offsets.reset(5);
  for (let offset = 6; offset < 5 + SPAN; offset++) offsets.finish(offset);
  assert.equal(offsets.hasRoomFor(5 + SPAN - 1), true);
  assert.equal(offsets.hasRoomFor(5 + SPAN), false);
  offsets.finish(5);
  assert.equal(offsets.lowest, 5 + SPAN);
  offsets.finish(5 + SPAN);
  assert.equal(offsets.lowest, 6 + SPAN, 'no flag of the first round counts in the second');
});
