/**
 * Law: watch.
 * - `wake` MUST be called once at the start and again after records became readable; many appends MAY give one call, none MUST be missed:
 *   after the last append there MUST be a call after which a read finds it.
 * - That MUST hold for appends of other processes, and over the death and return of the process that owns the partition.
 * - After stop `wake` MUST NOT be called; stopping twice MUST do no harm. A watch MUST NOT end another one's.
 */
import assert from 'node:assert/strict';
import type { Engine } from '../../../core/contracts/engine.ts';
import type { TopicPartition } from '../../../core/record.ts';
import { append, ensureTopic, type Law, type LawContext, PLACE, TOPIC, until } from '../law.ts';

export const watch: Law = {
  name: 'watch',
  cases: [
    { name: 'a reader that only reads when woken misses nothing', run: wokenReader },
    { name: 'appends of another process wake', members: 2, needs: { isShared: 'two processes' }, run: otherProcess },
    { name: 'a stopped watch is silent, others are not', run: stopped },
    {
      name: 'appends wake after the owner died and came back',
      members: 2,
      mayDie: true,
      needs: { isShared: 'two processes', isDurable: 'data dies with the process' },
      run: ownerDied,
    },
  ],
};

/** Reads only when woken; `next` is the offset after the last record it has seen. */
function follow(engine: Engine, place: TopicPartition = PLACE): { next: number; wakes: number; stop(): void } {
  const reader = { next: 0, wakes: 0, stop: () => {} };
  let isReading = false;
  let isWoken = false;
  const drain = async (): Promise<void> => {
    isReading = true;
    while (isWoken) {
      isWoken = false;
      // A failed read (the owner is away) is followed by a wake-up when there is something to read again.
      const result = await engine.store.read(place, { epoch: '', offset: reader.next }, 100_000).catch(() => undefined);
      const last = result?.batches.at(-1);
      const next = last === undefined ? 0 : last.firstOffset + last.set.count;
      if (next > reader.next) {
        reader.next = next;
        isWoken = true;
      }
    }
    isReading = false;
  };
  reader.stop = engine.store.watch(place, () => {
    reader.wakes++;
    isWoken = true;
    if (!isReading) void drain();
  });
  return reader;
}

async function wokenReader({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  await append(engine, ['before']);
  const reader = follow(engine);
  await until('woken at the start', () => reader.next === 1);
  for (let i = 0; i < 30; i++) {
    const burst = Array.from({ length: 1 + (i % 4) }, () => append(engine, ['x']));
    await Promise.all(burst);
    if (i % 3 === 0) {
      const { nextOffset } = await engine.store.state(PLACE);
      await until('woken after an append', () => reader.next === nextOffset);
    }
  }
  const { nextOffset } = await engine.store.state(PLACE);
  await until('woken after the last append', () => reader.next === nextOffset);
  reader.stop();
}

async function otherProcess({ engines }: LawContext): Promise<void> {
  const [a, b] = engines as [Engine, Engine];
  await ensureTopic(a, 2);
  await b.topics.find(TOPIC);
  for (const partition of [0, 1]) {
    const place = { topic: TOPIC, partition };
    const readers = [follow(a, place), follow(b, place)];
    for (let i = 0; i < 10; i++) {
      await append(i % 2 === 0 ? a : b, ['x'], { place });
      await until('both are woken', () => readers.every(({ next }) => next === i + 1));
    }
    for (const reader of readers) reader.stop();
  }
}

async function stopped({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  const [first, second] = [follow(engine), follow(engine)];
  await append(engine, ['x']);
  await until('both are woken', () => first.next === 1 && second.next === 1);
  first.stop();
  first.stop();
  const wakes = first.wakes;
  for (let i = 0; i < 5; i++) await append(engine, ['x']);
  await until('the other one is woken', () => second.next === 6);
  assert.equal(first.wakes, wakes);
  for (let i = 0; i < 10; i++) {
    const third = follow(engine);
    await append(engine, ['x']);
    // Stopped while a call may be due already.
    third.stop();
    const { wakes: wakesBefore } = third;
    await append(engine, ['x']);
    await until('the other one is woken again', () => second.next === 8 + 2 * i);
    assert.equal(third.wakes, wakesBefore);
  }
  second.stop();
}

async function ownerDied({ engines, kill, replace }: LawContext): Promise<void> {
  const [a] = engines as [Engine, Engine];
  await ensureTopic(a, 2);
  const places = [0, 1].map((partition) => ({ topic: TOPIC, partition }));
  const readers = places.map((place) => follow(a, place));
  for (const place of places) await append(a, ['before'], { place });
  await until('woken before', () => readers.every(({ next }) => next === 1));
  await kill(1);
  const again = await replace(1);
  for (const place of places) await append(again, ['after'], { place });
  await until('woken after', () => readers.every(({ next }) => next === 2));
  for (const reader of readers) reader.stop();
}
