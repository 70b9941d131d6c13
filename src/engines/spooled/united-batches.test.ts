import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { recordSetOf, recordsOf, type StoredBatch } from '../../core/record-set.ts';
import { UNITED_BYTES_MAX, UNITED_RECORDS_MAX, unitedBatches } from './united-batches.ts';

interface Sent {
  readonly sizes: readonly number[];
  /** undefined: no producer. */
  readonly by: string | undefined;
  readonly leavesOut: boolean;
}

const sent: fc.Arbitrary<Sent> = fc.record({
  sizes: fc.array(fc.oneof(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 40_000 })), { minLength: 1 }),
  by: fc.constantFrom(undefined, 'p', 'q'),
  leavesOut: fc.boolean(),
});

/** As a log has them: dense offsets, except where something is gone; sequences of each producer ascend. */
function logOf(sends: readonly Sent[], goneAt: number): StoredBatch[] {
  const sequences = new Map<string, number>();
  let offset = 0;
  return sends.map(({ sizes, by, leavesOut }, i) => {
    const firstOffset = offset + (i === goneAt ? 3 : 0);
    offset = firstOffset + sizes.length;
    const set = recordSetOf(
      sizes.map((size, j) => ({
        data: Buffer.alloc(size, 97 + (i % 26)),
        ...(j % 3 === 0 ? { key: `${i}.${j}` } : {}),
      })),
    );
    const batch = { topic: 't', partition: 0, firstOffset, timeMs: i, term: 1, set };
    if (by === undefined) return batch;
    const sequence = (sequences.get(by) ?? 0) + (leavesOut ? 2 : 1);
    sequences.set(by, sequence + sizes.length - 1);
    return { ...batch, producer: { id: by, sequence } };
  });
}

const facts = (batches: readonly StoredBatch[]): unknown[] =>
  batches.flatMap((batch) =>
    recordsOf(batch).map(({ offset, key, data }, i) => {
      const { producer } = batch;
      return [offset, key, data.toString(), producer && `${producer.id}:${producer.sequence + i}`];
    }),
  );

test('united batches hold the same records at the same places, of the same producers, and keep the bounds', () => {
  fc.assert(
    fc.property(fc.array(sent, { maxLength: 30 }), fc.nat(40), (sends, goneAt) => {
      const batches = logOf(sends, goneAt);
      const united = unitedBatches(batches);
      assert.deepEqual(facts(united), facts(batches));
      for (const batch of united) {
        if (batches.includes(batch)) continue;
        assert.ok(batch.set.data.length <= UNITED_BYTES_MAX && batch.set.count <= UNITED_RECORDS_MAX);
      }
    }),
  );
});

test('small batches become few; who fits with nobody is passed on as it is', () => {
  const small = (firstOffset: number, producer?: StoredBatch['producer']): StoredBatch => ({
    topic: 't',
    partition: 0,
    firstOffset,
    timeMs: 1,
    term: 1,
    set: recordSetOf([{ data: Buffer.alloc(100) }]),
    ...(producer === undefined ? {} : { producer }),
  });
  const anonymous = Array.from({ length: 100 }, (_, i) => small(i));
  assert.deepEqual(
    unitedBatches(anonymous).map(({ set }) => set.count),
    [100],
  );
  const numbered = Array.from({ length: 100 }, (_, i) => small(i, { id: 'p', sequence: 7 + i }));
  assert.deepEqual(
    unitedBatches(numbered).map(({ set, producer }) => [set.count, producer]),
    [[100, { id: 'p', sequence: 7 }]],
  );
  const mixed = [small(0), small(1, { id: 'p', sequence: 1 }), small(2, { id: 'q', sequence: 2 }), small(4), small(6)];
  assert.deepEqual(unitedBatches(mixed), mixed);
  assert.ok(unitedBatches(mixed).every((batch, i) => batch === mixed[i]));
});
