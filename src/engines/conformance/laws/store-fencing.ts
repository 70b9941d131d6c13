/**
 * Law: fencing of the whole store.
 * - After `Engine.claim(term)` every append, commit, trim and claim of a partition under an older term MUST be refused with
 *   TANDEM_TERM_FENCED, in any process, the claiming one included; so MUST what carries no term and comes from a process that was open before
 *   and has not claimed. What was called before the claim and not answered by then MUST NOT be acknowledged after it, but for what the
 *   claimer sees in the store when it reads after its claim.
 * - The claimed term itself MUST be accepted, and so MUST writes without a term by the process that claimed, and by one that was opened later.
 * - A claim of an older term MUST be refused with TANDEM_TERM_FENCED; of the same term it MUST be accepted.
 * - Terms that the store issues after a claim MUST be above it.
 * - A claim MUST hold after a reopen, and after the death of the process if the engine is durable.
 */
import assert from 'node:assert/strict';
import type { Engine } from '../../../core/contracts/engine.ts';
import { append, ensureTopic, type Law, type LawContext, PLACE, readTexts, TOPIC, until } from '../law.ts';

const TWO = { members: 2, needs: { isShared: 'two processes' } };

export const storeFencing: Law = {
  name: 'store-fencing',
  cases: [
    { name: 'older writes are refused', run: olderWrites },
    { name: 'older claims are refused', run: olderClaims },
    { name: 'terms issued after a claim are above it', run: laterTerms },
    { name: 'other processes are fenced', ...TWO, run: otherProcesses },
    { name: 'a fenced process cannot write through another', ...TWO, run: throughAnother },
    { name: 'appends in flight are stored before the claim, or not acknowledged', ...TWO, mayDie: true, run: inFlight },
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
const OTHER_PLACE = { topic: TOPIC, partition: 1 };
const commit = (engine: Engine, term: number): Promise<void> =>
  engine.groups.commit('g', TOPIC, { partition: 0, offset: 1, epoch: 'e' }, term);

async function olderWrites({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  await append(engine, ['before']);
  await commit(engine, TERM - 1);
  await engine.claim(TERM);
  await assert.rejects(append(engine, ['late'], { term: TERM - 1 }), fenced);
  await assert.rejects(commit(engine, TERM - 1), fenced);
  await assert.rejects(engine.store.claim(PLACE, TERM - 1), fenced);
  await append(engine, ['own']);
  await append(engine, ['claimed'], { term: TERM });
  await commit(engine, TERM);
  await engine.store.claim(PLACE, TERM);
  await append(engine, ['above'], { term: TERM + 1 });
  assert.deepEqual(await readTexts(engine), ['before', 'own', 'claimed', 'above']);
  assert.equal(await engine.store.trim(PLACE, 1), 1);
}

async function olderClaims({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  await engine.claim(TERM);
  await engine.claim(TERM);
  await assert.rejects(engine.claim(TERM - 1), fenced);
  await engine.claim(TERM + 5);
  await assert.rejects(engine.claim(TERM), fenced);
  await assert.rejects(append(engine, ['late'], { term: TERM }), fenced);
  await append(engine, ['own']);
}

async function laterTerms({ engine }: LawContext): Promise<void> {
  await engine.claim(TERM);
  const grant = await engine.leases.acquire('x', 'a', 60_000);
  assert.ok(grant !== undefined && grant.term > TERM);
  assert.ok((await engine.leases.issueTerm(grant)) > grant.term);
  await ensureTopic(engine);
  const { assignments } = await engine.groups.join('g', TOPIC, () => {});
  assert.ok((assignments[0]?.term ?? 0) > TERM);
  await commit(engine, assignments[0]?.term ?? 0);
}

async function otherProcesses({ engines }: LawContext): Promise<void> {
  const [a, b] = engines as [Engine, Engine];
  await ensureTopic(a, 2);
  await append(b, ['old'], { place: OTHER_PLACE });
  await a.claim(TERM);
  await assert.rejects(append(b, ['late'], { place: OTHER_PLACE }), fenced);
  await assert.rejects(append(b, ['late'], { place: OTHER_PLACE, term: TERM - 1 }), fenced);
  await assert.rejects(b.store.trim(OTHER_PLACE, 1), fenced);
  await assert.rejects(b.store.claim(OTHER_PLACE, TERM - 1), fenced);
  await assert.rejects(commit(b, TERM - 1), fenced);
  await assert.rejects(b.claim(TERM - 1), fenced);
  await append(a, ['new']);
  assert.deepEqual(await readTexts(a), ['new']);
  assert.deepEqual(await readTexts(a, OTHER_PLACE), ['old']);
}

async function throughAnother({ engines, reopen }: LawContext): Promise<void> {
  const [a, b] = engines as [Engine, Engine];
  await ensureTopic(a, 2);
  await append(b, ['old']);
  await a.claim(TERM);
  await assert.rejects(append(b, ['late']), fenced);
  await assert.rejects(append(b, ['late'], { producer: { id: 'p', sequence: 1 } }), fenced);
  await assert.rejects(b.store.trim(PLACE, 1), fenced);
  assert.deepEqual(await readTexts(a), ['old']);
  const again = await reopen(1);
  await append(again, ['new']);
  await append(again, ['new'], { place: OTHER_PLACE });
  assert.deepEqual(await readTexts(a), ['old', 'new']);
}

async function inFlight({ engines, kill, replace }: LawContext): Promise<void> {
  const [a, b] = engines as [Engine, Engine];
  await ensureTopic(a, 2);
  const acked: string[] = [];
  let refused = 0;
  const settled: Promise<void>[] = [];
  for (let i = 0; refused === 0; i++) {
    const text = `a-${i}`;
    const one = append(a, [text]).then(
      () => void acked.push(text),
      () => void refused++,
    );
    settled.push(one);
    if (i === 100) settled.push(b.claim(TERM));
    if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(i < 1_000_000, 'some append is refused');
  }
  await Promise.all(settled);
  await until('the claim counts for all', () => refused > 0);
  const seen = new Set(await readTexts(b));
  assert.deepEqual(
    acked.filter((text) => !seen.has(text)),
    [],
  );
  await assert.rejects(append(a, ['late']), fenced);
  await kill(0);
  const again = await replace(0);
  await append(again, ['new']);
  const kept = await readTexts(again);
  assert.equal(kept.at(-1), 'new');
  const keptSet = new Set(kept);
  assert.deepEqual(
    acked.filter((text) => !keptSet.has(text)),
    [],
  );
}

async function afterReopen({ engine, reopen }: LawContext): Promise<void> {
  await ensureTopic(engine);
  await engine.claim(TERM);
  await checkClaimed(await reopen());
}

async function afterKill({ engine, kill, replace }: LawContext): Promise<void> {
  await ensureTopic(engine);
  await engine.claim(TERM);
  await kill(0);
  await checkClaimed(await replace(0));
}

async function checkClaimed(engine: Engine): Promise<void> {
  await assert.rejects(append(engine, ['late'], { term: TERM - 1 }), fenced);
  await assert.rejects(engine.claim(TERM - 1), fenced);
  await assert.rejects(engine.store.claim(PLACE, TERM - 1), fenced);
  await assert.rejects(commit(engine, TERM - 1), fenced);
  await append(engine, ['own']);
  await append(engine, ['claimed'], { term: TERM });
  assert.deepEqual(await readTexts(engine), ['own', 'claimed']);
}
