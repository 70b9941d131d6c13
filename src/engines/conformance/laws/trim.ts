/**
 * Law: trim.
 * - After `trim(n)` everything below n MUST be unreadable, everything from n on MUST be as before; n inside a batch too.
 * - The answer MUST be the new first offset; a trim MUST NOT go back, nor beyond the end.
 * - Offsets MUST go on where they were; de-duplication and appends in flight MUST NOT be touched.
 * - A trim MUST hold after a reopen.
 */
import assert from 'node:assert/strict';
import {
  append,
  ensureTopic,
  type Law,
  type LawContext,
  PLACE,
  readAll,
  readTexts,
  storedAt,
  TOPIC,
  texts,
} from '../law.ts';

export const trim: Law = {
  name: 'trim',
  cases: [
    { name: 'what is below is gone, the rest is as before', run: below },
    { name: 'it goes neither back nor beyond the end', run: bounds },
    { name: 'all may be trimmed, and offsets go on', run: everything },
    { name: 'appends in flight and repeats are not touched', run: inFlight },
    { name: 'it holds after a reopen', needs: { reopens: 'nothing outlives a close' }, run: afterReopen },
  ],
};

async function below({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine, 2);
  const other = { topic: TOPIC, partition: 1 };
  for (let i = 0; i < 10; i++) await append(engine, texts('x', 5, i * 5));
  await append(engine, texts('other', 5), { place: other });
  assert.equal(await engine.store.trim(PLACE, 23), 23);
  assert.equal((await engine.store.state(PLACE)).firstOffset, 23);
  const records = await readAll(engine);
  assert.deepEqual(
    records.map(({ offset }) => offset),
    Array.from({ length: 27 }, (_, i) => 23 + i),
  );
  assert.deepEqual(
    records.map(({ data }) => data.toString()),
    texts('x', 27, 23),
  );
  await assert.rejects(engine.store.read(PLACE, { epoch: '', offset: 22 }, 1000), { code: 'TANDEM_POSITION_LOST' });
  assert.equal((await readTexts(engine, other)).length, 5);
}

async function bounds({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  await append(engine, texts('x', 10));
  assert.equal(await engine.store.trim(PLACE, 4), 4);
  assert.equal(await engine.store.trim(PLACE, 2), 4);
  assert.equal(await engine.store.trim(PLACE, 99), 10);
  const { firstOffset, nextOffset } = await engine.store.state(PLACE);
  assert.deepEqual([firstOffset, nextOffset], [10, 10]);
}

async function everything({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  await append(engine, texts('x', 10));
  await engine.store.trim(PLACE, 10);
  assert.deepEqual(await readAll(engine), []);
  assert.equal(storedAt(await append(engine, ['next'])), 10);
  assert.deepEqual(await readTexts(engine), ['next']);
}

async function inFlight({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  const producer = { id: 'p', sequence: 1 };
  await append(engine, texts('x', 10), { producer });
  const answers = texts('y', 20).map((text) => append(engine, [text]));
  assert.equal(await engine.store.trim(PLACE, 5), 5);
  assert.deepEqual(
    (await Promise.all(answers)).map(storedAt),
    answers.map((_, i) => 10 + i),
  );
  const again = await append(engine, texts('x', 10), { producer });
  assert.deepEqual(
    again.runs.map(({ isDuplicate }) => isDuplicate),
    again.runs.map(() => true),
  );
  assert.equal((await engine.store.state(PLACE)).nextOffset, 30);
}

async function afterReopen({ engine, reopen }: LawContext): Promise<void> {
  await ensureTopic(engine, 2);
  const emptied = { topic: TOPIC, partition: 1 };
  await append(engine, texts('x', 10));
  await append(engine, texts('e', 10), { place: emptied });
  await engine.store.trim(PLACE, 7);
  await engine.store.trim(emptied, 10);
  const again = await reopen();
  assert.deepEqual(await readTexts(again), texts('x', 3, 7));
  await assert.rejects(again.store.read(PLACE, { epoch: '', offset: 6 }, 1000), { code: 'TANDEM_POSITION_LOST' });
  const { firstOffset, nextOffset } = await again.store.state(emptied);
  assert.deepEqual([firstOffset, nextOffset], [10, 10]);
  assert.equal(storedAt(await append(again, ['next'], { place: emptied })), 10);
}
