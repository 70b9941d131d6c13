import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Candidate } from './compaction-choice.ts';
import { chooseRun } from './compaction-choice.ts';
import { segmentAt } from './log/segment.ts';

const MIB = 1024 * 1024;
const SEGMENT_BYTES = 64 * MIB;

let sequence = 0;
function candidate(bytes: number, liveBytes = bytes, more: Partial<Candidate> = {}): Candidate {
  const last = ++sequence;
  const segment = segmentAt('', 0, { first: last, last, generation: 0 }, { low: 1, high: 1 });
  return { segment, bytes, liveBytes, isMovable: true, startsRun: false, ...more };
}

/** The indexes of the run chosen of `candidates`. */
const choose = (candidates: readonly Candidate[]): number[] => {
  const run = chooseRun(candidates, SEGMENT_BYTES);
  return candidates.flatMap(({ segment }, i) => (run.includes(segment) ? [i] : []));
};

test('a sparse one is worth it alone, a small one or a full one is not', () => {
  assert.deepEqual(choose([candidate(64 * MIB, 10 * MIB)]), [0]);
  assert.deepEqual(choose([candidate(64 * MIB, 33 * MIB)]), []);
  assert.deepEqual(choose([candidate(1000)]), []);
  assert.deepEqual(choose([candidate(64 * MIB, 0)]), [], 'nothing lives: it is deleted, not copied');
});

test('neighbours only, up to the size of a segment, and none that must stay', () => {
  const sparse = (live: number, more = {}): Candidate => candidate(64 * MIB, live * MIB, more);
  assert.deepEqual(choose([sparse(1), sparse(1), sparse(1)]), [0, 1, 2]);
  assert.deepEqual(choose([sparse(30), sparse(30), sparse(30)]).length, 2);
  assert.deepEqual(choose([sparse(1), sparse(1, { isMovable: false }), sparse(2), sparse(2)]), [0]);
  assert.deepEqual(choose([sparse(3), sparse(1), sparse(1, { startsRun: true }), sparse(1)]), [2, 3]);
});

test('however segments come, few are left, and no byte is copied more often than sizes can double', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 100, max: 3 * MIB }), { minLength: 1, maxLength: 300, size: 'max' }),
      (sizes) => {
        let segments: Candidate[] = [];
        let copied = 0;
        let written = 0;
        for (const bytes of sizes) {
          written += bytes;
          segments.push(candidate(bytes));
          for (let run = chooseRun(segments, SEGMENT_BYTES); run.length > 0; run = chooseRun(segments, SEGMENT_BYTES)) {
            const inputs = segments.filter(({ segment }) => run.includes(segment));
            const sum = inputs.reduce((total, input) => total + input.bytes, 0);
            copied += sum;
            const at = segments.indexOf(inputs[0] as Candidate);
            segments = segments.toSpliced(at, inputs.length, candidate(sum));
          }
          assert.ok(segments.length <= 40 + written / (SEGMENT_BYTES / 4), `${segments.length} of ${written} bytes`);
        }
        assert.ok(copied <= written * 20, `${copied} copied of ${written}`);
      },
    ),
    { numRuns: 50 },
  );
});
