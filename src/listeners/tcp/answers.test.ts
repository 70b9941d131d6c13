import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TandemError } from '../../core/errors.ts';
import { continues, encodeAnswers, placeText } from './answers.ts';

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

test('places that are not known are told as such, and are not counted up', () => {
  const unknown = { partition: 2, firstOffset: -1, count: 3 };
  assert.equal(encodeAnswers([unknown], 'line').toString(), 'OK 2:-\nOK 2:-\nOK 2:-\n');
  assert.equal(placeText(2, -1), 'OK 2:-');
  assert.equal(placeText(2, 0), 'OK 2:0');
  assert.ok(continues(unknown, 2, -1));
  for (const offset of [0, 2]) assert.ok(!continues(unknown, 2, offset), `${offset}`);
  assert.ok(!continues({ partition: 2, firstOffset: 0, count: 3 }, 2, -1));
  assert.ok(continues({ partition: 2, firstOffset: 0, count: 3 }, 2, 3));
  assert.ok(!continues({ partition: 2, firstOffset: 0, count: 3 }, 1, 3));
});
