/**
 * Law: back-pressure.
 * - However many appends are called at once, each MUST settle, and in order of the calls per partition.
 * - Where the engine refuses for being overloaded (TANDEM_OVERLOADED), nothing of that append MUST be stored.
 * - Large batches in flight MUST NOT break the order, nor starve other partitions.
 */
import assert from 'node:assert/strict';
import { BATCH_BYTES_MAX } from '../../../core/limits.ts';
import { append, ensureTopic, type Law, type LawContext, readTexts, storedAt, TOPIC } from '../law.ts';

export const backPressure: Law = {
  name: 'back-pressure',
  cases: [
    { name: 'thousands of appends at once settle in order', run: thousands },
    { name: 'the largest batches at once settle in order', run: largest },
  ],
};

async function thousands({ engine }: LawContext): Promise<void> {
  const partitions = 3;
  await ensureTopic(engine, partitions);
  const settledOrder: number[][] = [[], [], []];
  const stored: string[][] = [[], [], []];
  const appends = Array.from({ length: 6000 }, async (_, i) => {
    const partition = i % partitions;
    const text = `${i} ${'x'.repeat(i % 300)}`;
    try {
      const offset = storedAt(await append(engine, [text], { place: { topic: TOPIC, partition } }));
      assert.equal(offset, stored[partition]?.length);
      stored[partition]?.push(text);
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'TANDEM_OVERLOADED', String(error));
    }
    settledOrder[partition]?.push(i);
  });
  await Promise.all(appends);
  for (let partition = 0; partition < partitions; partition++) {
    assert.deepEqual(
      settledOrder[partition],
      settledOrder[partition]?.toSorted((a, b) => a - b),
    );
    assert.deepEqual(await readTexts(engine, { topic: TOPIC, partition }), stored[partition]);
  }
}

async function largest({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine, 2);
  const large = 'L'.repeat(BATCH_BYTES_MAX - 16);
  const small = Array.from({ length: 20 }, (_, i) =>
    append(engine, [`small-${i}`], { place: { topic: TOPIC, partition: 1 } }),
  );
  const offsets = await Promise.all(
    Array.from({ length: 10 }, (_, i) => append(engine, i % 2 === 0 ? [`${i}${large}`] : [`${i}`])),
  );
  assert.deepEqual(
    offsets.map(storedAt),
    Array.from({ length: 10 }, (_, i) => i),
  );
  assert.deepEqual(
    (await Promise.all(small)).map(storedAt),
    Array.from({ length: 20 }, (_, i) => i),
  );
  const stored = await readTexts(engine);
  assert.deepEqual(
    stored.map((text) => text[0]),
    Array.from({ length: 10 }, (_, i) => String(i)),
  );
  assert.deepEqual(
    stored.map((text) => text.length),
    stored.map((_, i) => (i % 2 === 0 ? large.length + 1 : 1)),
  );
}
