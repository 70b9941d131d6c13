import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TandemError } from '../../core/errors.ts';
import { encodeAnswers } from './answers.ts';

test('counts up exactly as formatting each place would, across every change of digits', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2000 }),
      fc.oneof(
        fc.integer({ min: 0, max: 12_000 }),
        fc.integer({ min: 0, max: 2 ** 50 }),
        fc.constantFrom(9, 99, 999_999_990),
      ),
      fc.integer({ min: 1, max: 1500 }),
      (partition, firstOffset, count) => {
        const expected = Array.from({ length: count }, (_, i) => `OK ${partition}:${firstOffset + i}`);
        const lines = encodeAnswers([{ partition, firstOffset, count }], 'line').toString();
        assert.equal(lines, expected.map((text) => `${text}\n`).join(''));
        const frames = encodeAnswers([{ partition, firstOffset, count }], 'length');
        let at = 0;
        for (const text of expected) {
          assert.equal(frames.readUInt32BE(at), text.length);
          assert.equal(frames.toString('latin1', at + 4, at + 4 + text.length), text);
          at += 4 + text.length;
        }
        assert.equal(at, frames.length);
      },
    ),
    { numRuns: 200 },
  );
});

test('a forgotten place is a dash, a refusal one line with its code', () => {
  const answers = [
    { partition: 3, firstOffset: -1, count: 2 },
    { error: new TandemError('TANDEM_DISK_FULL'), count: 1 },
  ];
  assert.equal(
    encodeAnswers(answers, 'line').toString(),
    'OK 3:-\nOK 3:-\nERR TANDEM_DISK_FULL the disk is full; the record was not stored\n',
  );
});
