/**
 * Law: de-duplication.
 * - A sequence at or below the last stored one of that producer in that partition MUST NOT be stored again, in whatever cut it comes again.
 * - The answer to a repeat MUST carry the place of the first time, or -1 once that has left the window; never another place.
 * - A batch that repeats in part MUST store exactly the rest.
 * - Repeats MUST be found while the first append is still in flight.
 * - Producers and partitions MUST NOT influence each other; `lastSequence` MUST tell the last stored sequence, 0 if none.
 * - All this MUST hold after a reopen, and after the death of the process if the engine is durable.
 */
import assert from 'node:assert/strict';
import type { AppendResult } from '../../../core/contracts/engine.ts';
import { append, ensureTopic, type Law, type LawContext, PLACE, readTexts, TOPIC, texts } from '../law.ts';

export const dedupe: Law = {
  name: 'dedupe',
  cases: [
    { name: 'a repeat is acked with its first place and not stored', run: repeat },
    { name: 'a repeat in another cut stores exactly the rest', run: otherCuts },
    { name: 'a repeat in flight is found', run: inFlight },
    { name: 'producers and partitions are apart', run: apart },
    { name: 'the place of a repeat is right or unknown', run: window },
    { name: 'repeats are known after a reopen', needs: { reopens: 'nothing outlives a close' }, run: afterReopen },
    {
      name: 'repeats are known after kill -9',
      mayDie: true,
      needs: { isDurable: 'data dies with the process' },
      run: afterKill,
    },
  ],
};

const producer = (
  sequence: number,
  id = 'p',
): { readonly producer: { readonly id: string; readonly sequence: number } } => ({
  producer: { id, sequence },
});

/** [count, first offset, is a duplicate] of each run */
const runsOf = ({ runs }: AppendResult): (readonly [number, number, boolean])[] =>
  runs.map(({ count, firstOffset, isDuplicate }) => [count, firstOffset, isDuplicate]);

async function repeat({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  await append(engine, ['before']);
  assert.equal(await engine.store.lastSequence(PLACE, 'p'), 0);
  const first = await append(engine, texts('x', 3), producer(1));
  assert.deepEqual(runsOf(first), [[3, 1, false]]);
  await append(engine, ['between']);
  for (let i = 0; i < 3; i++) {
    const again = await append(engine, texts('x', 3), producer(1));
    assert.deepEqual(runsOf(again), [[3, 1, true]]);
    assert.equal(again.epoch, first.epoch);
  }
  assert.equal(await engine.store.lastSequence(PLACE, 'p'), 3);
  assert.deepEqual(await readTexts(engine), ['before', ...texts('x', 3), 'between']);
}

async function otherCuts({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  await append(engine, texts('x', 10), producer(1));
  assert.deepEqual(runsOf(await append(engine, texts('x', 4, 2), producer(3))), [[4, 2, true]]);
  assert.deepEqual(runsOf(await append(engine, texts('x', 5, 8), producer(9))), [
    [2, 8, true],
    [3, 10, false],
  ]);
  assert.deepEqual(runsOf(await append(engine, texts('x', 1, 12), producer(13))), [[1, 12, true]]);
  assert.deepEqual(runsOf(await append(engine, texts('x', 2, 12), producer(13))), [
    [1, 12, true],
    [1, 13, false],
  ]);
  assert.deepEqual(await readTexts(engine), texts('x', 14));
  assert.equal(await engine.store.lastSequence(PLACE, 'p'), 14);
}

async function inFlight({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  const answers = await Promise.all([
    append(engine, texts('x', 3), producer(1)),
    append(engine, texts('x', 3), producer(1)),
    append(engine, texts('x', 4, 1), producer(2)),
    append(engine, texts('x', 5), producer(1)),
  ]);
  assert.deepEqual(answers.map(runsOf), [
    [[3, 0, false]],
    [[3, 0, true]],
    [
      [2, 1, true],
      [2, 3, false],
    ],
    [[5, 0, true]],
  ]);
  assert.deepEqual(await readTexts(engine), texts('x', 5));
}

async function apart({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine, 2);
  const other = { topic: TOPIC, partition: 1 };
  await append(engine, ['p'], producer(5));
  assert.deepEqual(runsOf(await append(engine, ['q'], producer(5, 'q'))), [[1, 1, false]]);
  assert.deepEqual(runsOf(await append(engine, ['r'], { ...producer(2), place: other })), [[1, 0, false]]);
  assert.equal(await engine.store.lastSequence(PLACE, 'p'), 5);
  assert.equal(await engine.store.lastSequence(other, 'p'), 2);
  assert.equal(await engine.store.lastSequence(other, 'q'), 0);
}

async function window({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  const rounds = 700;
  // Two producers by turns, so that no two sequences of one are neighbours.
  const sends = Array.from({ length: rounds }, (_, i) => [
    append(engine, [`a-${i}`], producer(i + 1, 'a')),
    append(engine, [`b-${i}`], producer(i + 1, 'b')),
  ]);
  await Promise.all(sends.flat());
  const again = await append(engine, texts('a', rounds), producer(1, 'a'));
  let sequence = 1;
  for (const { count, firstOffset, isDuplicate } of again.runs) {
    assert.ok(isDuplicate);
    if (firstOffset !== -1) assert.equal(firstOffset, 2 * (sequence - 1));
    if (firstOffset !== -1) assert.equal(count, 1, 'no neighbours');
    sequence += count;
  }
  assert.equal(sequence, rounds + 1);
  assert.notEqual(again.runs.at(-1)?.firstOffset, -1, 'the last one is in the window');
  assert.equal((await engine.store.state(PLACE)).nextOffset, 2 * rounds);
}

async function afterReopen({ engine, reopen }: LawContext): Promise<void> {
  await ensureTopic(engine);
  await append(engine, texts('x', 3), producer(1));
  await append(engine, texts('x', 2, 3), producer(4));
  await checkKnown(await reopen());
}

async function afterKill({ engine, kill, replace }: LawContext): Promise<void> {
  await ensureTopic(engine);
  await append(engine, texts('x', 3), producer(1));
  await append(engine, texts('x', 2, 3), producer(4));
  await kill(0);
  await checkKnown(await replace(0));
}

async function checkKnown(engine: LawContext['engine']): Promise<void> {
  assert.equal(await engine.store.lastSequence(PLACE, 'p'), 5);
  const again = await append(engine, texts('x', 6), producer(1));
  let sequence = 1;
  for (const { count, firstOffset, isDuplicate } of again.runs.slice(0, -1)) {
    assert.ok(isDuplicate);
    assert.ok(firstOffset === -1 || firstOffset === sequence - 1, `sequence ${sequence} at ${firstOffset}`);
    sequence += count;
  }
  assert.deepEqual(again.runs.at(-1), { count: 1, firstOffset: 5, isDuplicate: false });
  assert.deepEqual(await readTexts(engine), texts('x', 6));
}
