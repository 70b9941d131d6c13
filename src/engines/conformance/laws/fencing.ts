/**
 * Law: fencing.
 * - After `claim(term)` an append or a commit under an older term MUST be refused with TANDEM_TERM_FENCED and leave nothing, in any process.
 * - The claimed term itself MUST be accepted, and so MUST appends without a term by the process that claimed.
 * - A claim of an older term MUST be refused with TANDEM_TERM_FENCED; of the same term it MUST be accepted.
 * - Claims of a partition MUST NOT touch others.
 * - A claim MUST hold after a reopen, and after the death of the process if the engine is durable.
 */
import assert from 'node:assert/strict';
import type { Engine } from '../../../core/contracts/engine.ts';
import { append, ensureTopic, type Law, type LawContext, PLACE, readTexts, TOPIC, texts } from '../law.ts';

export const fencing: Law = {
  name: 'fencing',
  cases: [
    { name: 'appends under an older term are refused', run: olderAppends },
    { name: 'commits under an older term are refused', run: olderCommits },
    { name: 'older claims are refused', run: olderClaims },
    { name: 'a claim fences other processes', members: 2, needs: { isShared: 'two processes' }, run: otherProcess },
    { name: 'a claim holds after a reopen', needs: { reopens: 'nothing outlives a close' }, run: afterReopen },
    {
      name: 'a claim holds after kill -9',
      mayDie: true,
      needs: { isDurable: 'data dies with the process' },
      run: afterKill,
    },
  ],
};

/** Far above what an engine has issued by itself. */
const TERM = 1_000_000;
const fenced = { code: 'TANDEM_TERM_FENCED' };
const commit = (engine: Engine, term: number, offset = 1): Promise<void> =>
  engine.groups.commit('g', TOPIC, { partition: 0, offset, epoch: 'e' }, term);

async function olderAppends({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine, 2);
  await append(engine, ['before']);
  await engine.store.claim(PLACE, TERM);
  await assert.rejects(append(engine, ['late'], { term: TERM - 1 }), fenced);
  await append(engine, ['claimed'], { term: TERM });
  await append(engine, ['own']);
  const mixed = await Promise.allSettled(
    texts('m', 6).map((text, i) => append(engine, [text], { term: i % 2 === 0 ? TERM : TERM - 1 })),
  );
  assert.deepEqual(
    mixed.map(({ status }) => status === 'fulfilled'),
    [true, false, true, false, true, false],
  );
  assert.deepEqual(await readTexts(engine), ['before', 'claimed', 'own', 'm-0', 'm-2', 'm-4']);
  await append(engine, ['elsewhere'], { place: { topic: TOPIC, partition: 1 } });
}

async function olderCommits({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  await engine.store.claim(PLACE, TERM);
  await assert.rejects(commit(engine, TERM - 1), fenced);
  assert.deepEqual(await engine.groups.committed('g', TOPIC), []);
  await commit(engine, TERM, 2);
  await assert.rejects(commit(engine, TERM - 1, 3), fenced);
  assert.deepEqual(
    (await engine.groups.committed('g', TOPIC)).map(({ offset }) => offset),
    [2],
  );
}

async function olderClaims({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  await engine.store.claim(PLACE, TERM);
  await engine.store.claim(PLACE, TERM);
  await assert.rejects(engine.store.claim(PLACE, TERM - 1), fenced);
  await engine.store.claim(PLACE, TERM + 5);
  await assert.rejects(engine.store.claim(PLACE, TERM), fenced);
  await assert.rejects(append(engine, ['late'], { term: TERM }), fenced);
}

async function otherProcess({ engines }: LawContext): Promise<void> {
  const [a, b] = engines as [Engine, Engine];
  await ensureTopic(a, 2);
  for (const partition of [0, 1]) {
    const place = { topic: TOPIC, partition };
    await a.store.claim(place, TERM);
    await append(a, ['a'], { place, term: TERM });
    await b.store.claim(place, TERM + 1);
    await assert.rejects(append(a, ['late'], { place, term: TERM }), fenced);
    await assert.rejects(a.store.claim(place, TERM), fenced);
    await assert.rejects(a.groups.commit('g', TOPIC, { partition, offset: 1, epoch: 'e' }, TERM), fenced);
    await append(b, ['b'], { place, term: TERM + 1 });
    assert.deepEqual(await readTexts(a, place), ['a', 'b']);
  }
}

async function afterReopen({ engine, reopen }: LawContext): Promise<void> {
  await ensureTopic(engine);
  await engine.store.claim(PLACE, TERM);
  await checkClaimed(await reopen());
}

async function afterKill({ engine, kill, replace }: LawContext): Promise<void> {
  await ensureTopic(engine);
  await engine.store.claim(PLACE, TERM);
  await kill(0);
  await checkClaimed(await replace(0));
}

async function checkClaimed(engine: Engine): Promise<void> {
  await assert.rejects(append(engine, ['late'], { term: TERM - 1 }), fenced);
  await assert.rejects(engine.store.claim(PLACE, TERM - 1), fenced);
  await assert.rejects(commit(engine, TERM - 1), fenced);
  await append(engine, ['current'], { term: TERM });
  assert.deepEqual(await readTexts(engine), ['current']);
}
