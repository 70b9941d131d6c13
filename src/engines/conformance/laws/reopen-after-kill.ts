/**
 * Law: reopen after kill -9.
 * - Whenever the process dies, every acked record MUST be read back at its offset, in order, once.
 * - What was not acked MAY be there, but only whole, after what was acked before it, and once.
 * - A producer that sends again what was not acked MUST end with each sequence stored exactly once, in order.
 * - The epoch MUST stay, unless acked records could be lost. Topics and trims MUST be kept.
 */
import assert from 'node:assert/strict';
import type { Engine } from '../../../core/contracts/engine.ts';
import { systemRandom } from '../../../core/ports/random.ts';
import {
  append,
  ensureTopic,
  type Law,
  type LawContext,
  PLACE,
  readAll,
  readTexts,
  TOPIC,
  texts,
  until,
} from '../law.ts';

const needs = { isDurable: 'data dies with the process', reopens: 'nothing outlives the process' };

export const reopenAfterKill: Law = {
  name: 'reopen-after-kill',
  cases: [
    {
      name: 'a producer killed over and over ends with everything once, in order',
      mayDie: true,
      needs,
      run: producerKilled,
    },
    { name: 'acked records keep their places', mayDie: true, needs, run: ackedPlaces },
    { name: 'topics, trims and epochs are kept', mayDie: true, needs, run: stateKept },
    {
      name: 'a surviving process sees the other one die and return',
      members: 2,
      mayDie: true,
      needs: { ...needs, isShared: 'two processes' },
      run: otherDies,
    },
  ],
};

const textOf = (sequence: number): string => `sequence-${sequence} ${'x'.repeat((sequence * 37) % 500)}`;

/** Appends until the engine dies; the last acked sequence. */
async function produce(engine: Engine, first: number, kill: () => Promise<void>, killAfter: number): Promise<number> {
  let acked = first - 1;
  let next = first;
  let killing: Promise<void> | undefined;
  const lanes = Array.from({ length: 8 }, async () => {
    while (killing === undefined) {
      const [sequence, count] = [next, 1 + (next % 5)];
      next += count;
      const values = Array.from({ length: count }, (_, i) => textOf(sequence + i));
      await append(engine, values, { producer: { id: 'p', sequence } });
      acked = Math.max(acked, sequence + count - 1);
      if (acked - first >= killAfter) killing ??= kill();
    }
  });
  await Promise.allSettled(lanes);
  await killing;
  return acked;
}

async function producerKilled({ engine, kill, replace }: LawContext): Promise<void> {
  await ensureTopic(engine);
  let live = engine;
  let acked = 0;
  for (let round = 0; round < 4; round++) {
    const killAfter = Math.floor(systemRandom.fraction() * 300);
    acked = await produce(live, acked + 1, () => kill(0), killAfter);
    live = await replace(0);
    const stored = await readTexts(live);
    assert.ok(stored.length >= acked, `${stored.length} stored, ${acked} acked`);
    assert.deepEqual(
      stored,
      Array.from({ length: stored.length }, (_, i) => textOf(i + 1)),
    );
    assert.equal(await live.store.lastSequence(PLACE, 'p'), stored.length);
  }
}

async function ackedPlaces({ engine, kill, replace }: LawContext): Promise<void> {
  await ensureTopic(engine, 3);
  const acked: { readonly partition: number; readonly offset: number; readonly text: string }[] = [];
  let killing: Promise<void> | undefined;
  const sends = Array.from({ length: 600 }, async (_, i) => {
    const partition = i % 3;
    const result = await append(engine, [`x-${i}`], { place: { topic: TOPIC, partition } });
    acked.push({ partition, offset: result.runs[0]?.firstOffset as number, text: `x-${i}` });
    if (acked.length === 100) killing = kill(0);
  });
  await Promise.allSettled(sends);
  await killing;
  const again = await replace(0);
  for (const partition of [0, 1, 2]) {
    const stored = await readTexts(again, { topic: TOPIC, partition });
    assert.equal(new Set(stored).size, stored.length, 'once');
    for (const { offset, text } of acked.filter((one) => one.partition === partition))
      assert.equal(stored[offset], text);
    const numbers = stored.map((text) => Number(text.slice(2)));
    assert.deepEqual(
      numbers,
      numbers.toSorted((a, b) => a - b),
    );
  }
}

async function stateKept({ engine, kill, replace }: LawContext): Promise<void> {
  await ensureTopic(engine, 2);
  await append(engine, texts('x', 10));
  await engine.store.trim(PLACE, 4);
  const { epoch } = await engine.store.state(PLACE);
  await ensureTopic(engine, 1, 'second');
  await kill(0);
  const again = await replace(0);
  assert.deepEqual({ ...(await again.store.state(PLACE)) }, { epoch, firstOffset: 4, nextOffset: 10 });
  assert.deepEqual(await readTexts(again), texts('x', 6, 4));
  assert.deepEqual(
    (await again.topics.list()).map(({ name }) => name),
    [TOPIC, 'second'],
  );
}

/** Appends that need the dead process fail with an error that says "try again", or wait; afterwards all is stored once. */
async function otherDies({ engines, kill, replace }: LawContext): Promise<void> {
  const [a] = engines as [Engine, Engine];
  await ensureTopic(a, 2);
  const places = [0, 1].map((partition) => ({ topic: TOPIC, partition }));
  for (const place of places) await append(a, ['s-1'], { place, producer: { id: 'p', sequence: 1 } });
  await kill(1);
  const sends = places.map((place) =>
    until(`partition ${place.partition} takes records again`, async () => {
      try {
        await append(a, ['s-2'], { place, producer: { id: 'p', sequence: 2 } });
        return true;
      } catch (error) {
        const { code, retryable } = error as { code?: string; retryable?: boolean };
        assert.ok(retryable, `${code} says: try again`);
        return false;
      }
    }),
  );
  const again = await replace(1);
  await Promise.all(sends);
  for (const place of places)
    for (const engine of [a, again]) {
      const stored = (await readAll(engine, place)).map(({ data }) => data.toString());
      assert.deepEqual(stored, ['s-1', 's-2']);
    }
}
