/**
 * Law: concurrent readers.
 * - Readers that run while appends go on MUST each see every record once, in order, without a gap, as it was acked.
 * - A reader MUST NOT see a record that is lost afterwards: what it saw MUST still be there at the end.
 * - What a read gave MUST stay unchanged while the caller keeps it, whatever is appended or trimmed meanwhile.
 */
import assert from 'node:assert/strict';
import type { Engine } from '../../../core/contracts/engine.ts';
import { recordsOf } from '../../../core/record-set.ts';
import { append, ensureTopic, type Law, type LawContext, PLACE, readTexts, START, texts, until } from '../law.ts';

export const concurrentReaders: Law = {
  name: 'concurrent-readers',
  cases: [
    {
      name: 'readers see all of it, once, in order, while it is written',
      run: ({ engine }) => readWhileWriting([engine]),
    },
    {
      name: 'readers in another process too',
      members: 2,
      needs: { isShared: 'two processes' },
      run: ({ engines }) => readWhileWriting(engines),
    },
    { name: 'what was read does not change', run: unchanged },
  ],
};

const COUNT = 2000;

async function readToEnd(engine: Engine, bytesMax: number): Promise<string[]> {
  const seen: string[] = [];
  // Each turn lets the writer on, whether there was something to read or not.
  await until('the reader is at the end', async () => {
    const { batches } = await engine.store.read(PLACE, { epoch: '', offset: seen.length }, bytesMax);
    for (const batch of batches) {
      assert.ok(batch.firstOffset + batch.set.count > seen.length, 'no batch that was seen already');
      for (const { offset, data } of recordsOf(batch, seen.length)) {
        assert.equal(offset, seen.length, 'no gap, no repeat');
        seen.push(data.toString());
      }
    }
    return seen.length === COUNT;
  });
  return seen;
}

async function readWhileWriting(engines: readonly Engine[]): Promise<void> {
  const writer = engines[0] as Engine;
  await ensureTopic(writer);
  for (const engine of engines) await engine.topics.find(PLACE.topic);
  const readers = engines.flatMap((engine) => [1, 500, 100_000].map((bytesMax) => readToEnd(engine, bytesMax)));
  const all = texts('x', COUNT);
  for (let i = 0; i < COUNT; i += 20) {
    const burst = all.slice(i, i + 20);
    await Promise.all([burst.slice(0, 8), burst.slice(8, 9), burst.slice(9)].map((part) => append(writer, part)));
  }
  for (const seen of await Promise.all(readers)) assert.deepEqual(seen, all);
  assert.deepEqual(await readTexts(writer), all);
}

async function unchanged({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  await append(engine, texts('x', 50));
  const { batches } = await engine.store.read(PLACE, START, 100_000);
  await engine.store.trim(PLACE, 50);
  for (let i = 0; i < 20; i++) await append(engine, texts('y', 50));
  const kept = batches.flatMap((batch) => recordsOf(batch).map(({ data }) => data.toString()));
  assert.deepEqual(kept, texts('x', 50));
}
