/**
 * Law: origins (logs that are forwarded).
 * - A sequence at or below the last stored one of that origin in that partition MUST NOT be stored again, in whatever cut it comes again, with a
 *   producer or without; `originSequence` MUST tell the last stored one, 0 if none.
 * - An append whose `after` (or sequence - 1) is above the origin's last stored sequence MUST be refused with TANDEM_ORIGIN_GAP, name the last one
 *   (data.sequence) and store nothing: so of appends that are called without waiting none is stored behind one that was refused.
 * - With an origin, what a producer left out before higher sequences MUST be stored, and what is stored of it MUST NOT be again: what a client has sent
 *   through two logs is stored once, whichever is forwarded first. What has left the window and was never stored MUST be stored.
 * - No term MUST fence such an append: neither a claim of the partition nor of the store.
 * - Origins, partitions and producers MUST NOT influence each other otherwise.
 * - All this MUST hold after a reopen, and after the death of the process if the engine is durable.
 */
import assert from 'node:assert/strict';
import type { AppendResult, Engine } from '../../../core/contracts/engine.ts';
import type { OriginSequence, ProducerSequence, TopicPartition } from '../../../core/record.ts';
import { append, ensureTopic, type Law, type LawContext, PLACE, readTexts, TOPIC, textSet, texts } from '../law.ts';

const takesOrigins = 'nothing is forwarded to it';
const needs = { takesOrigins };

export const origins: Law = {
  name: 'origins',
  cases: [
    { name: 'repeats in any cut are not stored again', needs, run: repeats },
    { name: 'a gap is refused and stores nothing', needs, run: gaps },
    { name: 'what is gone for good can be passed over', needs, run: passedOver },
    { name: 'nothing is stored behind what was refused', needs, run: noHoles },
    { name: 'origins and partitions are apart', needs, run: apart },
    { name: 'what a producer sent through two logs is stored once, in whatever order they come', needs, run: twoLogs },
    { name: 'a gap that has left the window is filled', needs, run: oldGap },
    { name: 'no term fences them', members: 2, needs: { takesOrigins, isShared: 'two processes' }, run: unfenced },
    {
      name: 'origins are known after a reopen',
      needs: { takesOrigins, reopens: 'nothing outlives a close' },
      run: reopened,
    },
    {
      name: 'origins are known after kill -9',
      mayDie: true,
      needs: { takesOrigins, isDurable: 'data dies with the process' },
      run: killed,
    },
  ],
};

interface Forwarded {
  readonly origin: OriginSequence;
  readonly producer?: ProducerSequence;
  readonly place?: TopicPartition;
}

const forward = (engine: Engine, values: readonly string[], { place = PLACE, ...rest }: Forwarded) =>
  engine.store.append({ ...place, ...rest, set: textSet(...values) });

const from = (sequence: number, id = 'o'): { readonly origin: OriginSequence } => ({ origin: { id, sequence } });
const sent = (sequence: number, id = 'p'): { readonly producer: ProducerSequence } => ({ producer: { id, sequence } });
const lastOf = (engine: Engine, id = 'o', place = PLACE): Promise<number> => engine.store.originSequence(place, id);

/** [count, is a duplicate] of each run, joined. */
function countsOf({ runs }: AppendResult): [number, boolean][] {
  const counts: [number, boolean][] = [];
  for (const { count, isDuplicate } of runs) {
    const last = counts.at(-1);
    if (last?.[1] === isDuplicate) last[0] += count;
    else counts.push([count, isDuplicate]);
  }
  return counts;
}

/** Where repeats are said to be is right, or not said. */
function assertPlaces({ runs }: AppendResult, values: readonly string[], stored: readonly string[]): void {
  let at = 0;
  for (const { count, firstOffset } of runs)
    for (let i = 0; i < count; i++, at++)
      if (firstOffset !== -1) assert.equal(stored[firstOffset + i], values[at], `record ${at}`);
  assert.equal(at, values.length);
}

async function repeats({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  assert.equal(await lastOf(engine), 0);
  await append(engine, ['own']);
  for (const extra of [{}, sent(1)]) {
    const id = 'producer' in extra ? 'with' : 'without';
    const values = texts(id, 12);
    const send = async (first: number, end: number): Promise<[number, boolean][]> => {
      const producer = 'producer' in extra ? sent(first) : {};
      const some = values.slice(first - 1, end);
      const result = await forward(engine, some, { ...from(first, id), ...producer });
      assertPlaces(result, some, await readTexts(engine));
      return countsOf(result);
    };
    assert.deepEqual(await send(1, 5), [[5, false]]);
    assert.equal(await lastOf(engine, id), 5);
    assert.deepEqual(await send(1, 5), [[5, true]]);
    assert.deepEqual(await send(3, 4), [[2, true]]);
    assert.deepEqual(await send(4, 9), [
      [2, true],
      [4, false],
    ]);
    assert.deepEqual(await send(9, 9), [[1, true]]);
    assert.deepEqual(await send(1, 12), [
      [9, true],
      [3, false],
    ]);
    assert.equal(await lastOf(engine, id), 12);
  }
  assert.deepEqual(await readTexts(engine), ['own', ...texts('without', 12), ...texts('with', 12)]);
  assert.equal(await engine.store.lastSequence(PLACE, 'p'), 12);
}

const gapAfter = (sequence: number) => (error: { code?: string; data?: { sequence?: unknown } }) => {
  assert.equal(error.code, 'TANDEM_ORIGIN_GAP');
  assert.equal(error.data?.sequence, sequence);
  return true;
};

async function gaps({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  await assert.rejects(forward(engine, ['x-1'], from(2)), gapAfter(0));
  await forward(engine, texts('x', 3), from(1));
  await assert.rejects(forward(engine, ['x-4'], from(5)), gapAfter(3));
  await assert.rejects(forward(engine, ['x-4'], { ...from(5), ...sent(1) }), gapAfter(3));
  assert.equal(await lastOf(engine), 3);
  assert.equal(await engine.store.lastSequence(PLACE, 'p'), 0);
  await forward(engine, ['x-3', 'x-4'], from(4));
  assert.deepEqual(await readTexts(engine), texts('x', 5));
}

async function passedOver({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  await forward(engine, texts('x', 3), from(1));
  await assert.rejects(forward(engine, ['late'], { origin: { id: 'o', sequence: 100, after: 4 } }), gapAfter(3));
  const first = await forward(engine, ['x-3', 'x-4'], { origin: { id: 'o', sequence: 100, after: 3 } });
  assert.deepEqual(countsOf(first), [[2, false]]);
  assert.equal(await lastOf(engine), 101);
  assert.deepEqual(countsOf(await forward(engine, ['x-5'], from(102))), [[1, false]]);
  const again = await forward(engine, ['x-3', 'x-4'], { origin: { id: 'o', sequence: 100, after: 3 } });
  assert.deepEqual(countsOf(again), [[2, true]]);
  assert.deepEqual(await readTexts(engine), texts('x', 6));
}

async function noHoles({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  await forward(engine, ['x-0'], from(1));
  const sends = [2, 3, 5, 6, 7, 4].map((sequence) => forward(engine, [`x-${sequence - 1}`], from(sequence)));
  const settled = await Promise.allSettled(sends);
  assert.deepEqual(
    settled.map(({ status }) => status === 'fulfilled'),
    [true, true, false, false, false, true],
  );
  assert.equal(await lastOf(engine), 4);
  await Promise.all([5, 6, 7].map((sequence) => forward(engine, [`x-${sequence - 1}`], from(sequence))));
  assert.deepEqual(await readTexts(engine), texts('x', 7));
}

async function apart({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine, 2);
  const other = { topic: TOPIC, partition: 1 };
  await forward(engine, ['a', 'b'], from(1));
  await forward(engine, ['c'], from(1, 'q'));
  await forward(engine, ['d'], { ...from(1), place: other });
  // A producer of the same name is another thing.
  await append(engine, ['e'], sent(7, 'o'));
  assert.deepEqual([await lastOf(engine), await lastOf(engine, 'q'), await lastOf(engine, 'o', other)], [2, 1, 1]);
  assert.equal(await lastOf(engine, 'q', other), 0);
  assert.equal(await engine.store.lastSequence(PLACE, 'o'), 7);
  assert.deepEqual(await readTexts(engine), ['a', 'b', 'c', 'e']);
  assert.deepEqual(await readTexts(engine, other), ['d']);
}

async function twoLogs({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  const values = ['', ...texts('s', 20, 1)];
  const send = (id: string, sequence: number, first: number, end: number) =>
    forward(engine, values.slice(first, end + 1), { ...from(sequence, id), ...sent(first) });
  // The client's first log is forwarded late; 6 to 8 were sent to both.
  assert.deepEqual(countsOf(await send('b', 1, 6, 12)), [[7, false]]);
  assert.deepEqual(countsOf(await send('a', 1, 1, 4)), [[4, false]]);
  assert.deepEqual(countsOf(await send('a', 5, 5, 8)), [
    [1, false],
    [3, true],
  ]);
  assert.equal(await lastOf(engine, 'a'), 8);
  assert.equal(await engine.store.lastSequence(PLACE, 'p'), 12);
  // Gaps in the middle of a batch.
  assert.deepEqual(countsOf(await send('b', 8, 15, 16)), [[2, false]]);
  assert.deepEqual(countsOf(await send('a', 9, 11, 18)), [
    [2, true],
    [2, false],
    [2, true],
    [2, false],
  ]);
  assert.deepEqual(countsOf(await send('c', 1, 1, 20)), [
    [18, true],
    [2, false],
  ]);
  const stored = await readTexts(engine);
  assert.equal(stored.length, 20);
  assert.deepEqual(new Set(stored), new Set(values.slice(1)));
  assert.equal(await engine.store.lastSequence(PLACE, 'p'), 20);
}

async function oldGap({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  const rounds = 700;
  // Every second sequence, so that no two are neighbours.
  const sends = Array.from({ length: rounds }, (_, i) =>
    forward(engine, [`s-${2 * i + 2}`], { ...from(i + 1, 'b'), ...sent(2 * i + 2) }),
  );
  await Promise.all(sends);
  assert.deepEqual(countsOf(await forward(engine, ['s-1'], { ...from(1, 'a'), ...sent(1) })), [[1, false]]);
  assert.deepEqual(countsOf(await forward(engine, ['s-1'], { ...from(1, 'a'), ...sent(1) })), [[1, true]]);
  const lastGap = 2 * rounds - 1;
  assert.deepEqual(countsOf(await forward(engine, [`s-${lastGap}`], { ...from(2, 'a'), ...sent(lastGap) })), [
    [1, false],
  ]);
  assert.equal((await engine.store.state(PLACE)).nextOffset, rounds + 2);
  assert.equal(await engine.store.lastSequence(PLACE, 'p'), 2 * rounds);
}

async function unfenced({ engines }: LawContext): Promise<void> {
  const [a, b] = engines as [Engine, Engine];
  await ensureTopic(a);
  const term = 1_000_000;
  await forward(a, ['before'], from(1));
  await b.store.claim(PLACE, term);
  await forward(a, ['after the claim of the partition'], from(2));
  await b.claim(term + 1);
  await assert.rejects(append(a, ['late']), { code: 'TANDEM_TERM_FENCED' });
  await forward(a, ['after the claim of the store'], { ...from(3), ...sent(1) });
  assert.deepEqual(await readTexts(b), ['before', 'after the claim of the partition', 'after the claim of the store']);
}

async function reopened({ engine, reopen }: LawContext): Promise<void> {
  await storeSome(engine);
  await checkKnown(await reopen());
}

async function killed({ engine, kill, replace }: LawContext): Promise<void> {
  await storeSome(engine);
  await kill(0);
  await checkKnown(await replace(0));
}

async function storeSome(engine: Engine): Promise<void> {
  await ensureTopic(engine);
  await forward(engine, texts('x', 3), { ...from(1), ...sent(11) });
  await forward(engine, texts('x', 2, 3), from(4));
}

async function checkKnown(engine: Engine): Promise<void> {
  assert.equal(await lastOf(engine), 5);
  await assert.rejects(forward(engine, ['x-6'], from(7)), gapAfter(5));
  assert.deepEqual(countsOf(await forward(engine, texts('x', 6), from(1))), [
    [5, true],
    [1, false],
  ]);
  // Sent through another log too.
  assert.deepEqual(countsOf(await forward(engine, texts('x', 3), { ...from(1, 'q'), ...sent(11) })), [[3, true]]);
  assert.deepEqual(await readTexts(engine), texts('x', 6));
}
