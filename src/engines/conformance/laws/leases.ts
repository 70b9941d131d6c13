/**
 * Law: leases.
 * - At most one holder MUST have a lease at a time; of several that ask at once exactly one MUST get it. Asking who holds it MUST NOT keep
 *   anyone from getting it.
 * - The terms of all grants of all names, and those issued under grants, MUST rise strictly, over reopens and deaths too.
 * - The holder itself MUST get a new grant, which ends the older one: `renew` of that MUST be false, `release` MUST have no effect, and
 *   `issueTerm` MUST be refused with TANDEM_TERM_FENCED.
 * - A lease MUST end by release and by `close`. If the engine proves death: at once when the holder's process dies, and by nothing else; a
 *   process that is stopped MUST keep it. If it does not: by its time-out and not before, and a renewed lease MUST outlive its first time-out.
 * - After a release with a reservation nobody but the named holder MUST get the lease, until its time is over; then anyone.
 */
import assert from 'node:assert/strict';
import type { Engine, LeaseGrant } from '../../../core/contracts/engine.ts';
import { type Law, type LawContext, until } from '../law.ts';

const TWO = { members: 2, needs: { isShared: 'two processes' } };
const PROVEN = { isShared: 'two processes', provesDeath: 'leases end by time-out' };

export const leases: Law = {
  name: 'leases',
  cases: [
    { name: 'one holder, strictly rising terms', run: oneHolder },
    { name: 'a new grant of the holder ends its older one', run: newGrant },
    { name: 'terms are issued under the current grant only', run: issuedTerms },
    { name: 'another grant ends the right to issue terms', ...TWO, run: issuedByNext },
    { name: 'a reservation keeps others away, until it is over', run: reservation },
    { name: 'a reserved lease goes to whom it is reserved for', ...TWO, run: handOver },
    {
      name: 'an unrenewed lease ends, a renewed one does not',
      unless: { provesDeath: 'leases never end by time-out' },
      run: timeOut,
    },
    {
      name: 'a lease does not end by time',
      needs: { provesDeath: 'leases end by time-out' },
      run: noTimeOut,
    },
    { name: 'one of two processes that ask at once gets it', ...TWO, run: race },
    { name: 'whoever asks who holds it is in nobody’s way', ...TWO, run: asking },
    { name: 'close gives it up', ...TWO, run: closeGivesUp },
    { name: 'terms rise over a reopen', needs: { reopens: 'nothing outlives a close' }, run: overReopen },
    { name: 'the death of the holder ends it at once', members: 2, mayDie: true, needs: PROVEN, run: deathEnds },
    { name: 'a holder that is stopped keeps it', members: 2, mayDie: true, needs: PROVEN, run: stoppedKeeps },
  ],
};

const LONG_MS = 600_000;
const fenced = { code: 'TANDEM_TERM_FENCED' };

async function granted(engine: Engine, name: string, holder: string, ttlMs = LONG_MS): Promise<LeaseGrant> {
  const grant = await engine.leases.acquire(name, holder, ttlMs);
  assert.ok(grant, `${holder} gets ${name}`);
  assert.deepEqual([grant.name, grant.holder], [name, holder]);
  return grant;
}

/** The grant, once the lease can be had. */
async function grantedSoon(engine: Engine, name: string, holder: string): Promise<LeaseGrant> {
  let grant: LeaseGrant | undefined;
  await until(`${holder} gets ${name}`, async () => {
    grant = await engine.leases.acquire(name, holder, LONG_MS);
    return grant !== undefined;
  });
  return grant as unknown as LeaseGrant;
}

async function oneHolder({ engine }: LawContext): Promise<void> {
  assert.equal(await engine.leases.holder('x'), undefined);
  let term = 0;
  for (const holder of ['a', 'b', 'a', 'c']) {
    const grant = await granted(engine, 'x', holder);
    assert.ok(grant.term > term, `term ${grant.term} after ${term}`);
    term = grant.term;
    assert.equal(await engine.leases.acquire('x', 'other', LONG_MS), undefined);
    assert.deepEqual({ ...(await engine.leases.holder('x')) }, { ...grant });
    const elsewhere = await granted(engine, `y-${holder}-${term}`, 'other');
    assert.ok(elsewhere.term > term, 'terms rise over all names');
    term = elsewhere.term;
    assert.equal(await engine.leases.renew(grant, LONG_MS), true);
    await engine.leases.release(grant);
    assert.equal(await engine.leases.holder('x'), undefined);
    assert.equal(await engine.leases.renew(grant, LONG_MS), false);
  }
}

async function newGrant({ engine }: LawContext): Promise<void> {
  const older = await granted(engine, 'x', 'a');
  const newer = await granted(engine, 'x', 'a');
  assert.ok(newer.term > older.term);
  assert.equal(await engine.leases.renew(older, LONG_MS), false);
  await assert.rejects(engine.leases.issueTerm(older), fenced);
  await engine.leases.release(older);
  assert.equal((await engine.leases.holder('x'))?.term, newer.term);
}

async function issuedTerms({ engine }: LawContext): Promise<void> {
  const grant = await granted(engine, 'x', 'a');
  const first = await engine.leases.issueTerm(grant);
  const others = await Promise.all([1, 2, 3].map(() => engine.leases.issueTerm(grant)));
  assert.ok(first > grant.term);
  assert.ok(others.every((term) => term > first));
  assert.equal(new Set(others).size, others.length);
  assert.equal((await engine.leases.holder('x'))?.term, grant.term, 'the grant stays');
  assert.ok((await granted(engine, 'y', 'a')).term > Math.max(...others), 'terms rise over grants and issued ones');
  await engine.leases.release(grant);
  await assert.rejects(engine.leases.issueTerm(grant), fenced);
  await assert.rejects(engine.leases.issueTerm({ name: 'never', holder: 'a', term: 1 }), fenced);
}

async function issuedByNext({ engines }: LawContext): Promise<void> {
  const [a, b] = engines as [Engine, Engine];
  const older = await granted(a, 'x', 'a');
  const issued = await a.leases.issueTerm(older);
  await a.leases.release(older);
  const newer = await granted(b, 'x', 'b');
  assert.ok(newer.term > issued);
  await assert.rejects(a.leases.issueTerm(older), fenced);
  assert.ok((await b.leases.issueTerm(newer)) > newer.term);
}

async function reservation({ engine }: LawContext): Promise<void> {
  const grant = await granted(engine, 'x', 'a');
  await engine.leases.release(grant, { holder: 'b', forMs: 150 });
  assert.equal(await engine.leases.holder('x'), undefined);
  assert.equal(await engine.leases.acquire('x', 'a', LONG_MS), undefined, 'not even who had it');
  assert.equal(await engine.leases.renew(grant, LONG_MS), false);
  const after = await grantedSoon(engine, 'x', 'c');
  await engine.leases.release(after);
  await engine.leases.release(await granted(engine, 'x', 'a'), { holder: 'b', forMs: LONG_MS });
  await engine.leases.release(await granted(engine, 'x', 'b'));
  await granted(engine, 'x', 'c');
}

async function handOver({ engines }: LawContext): Promise<void> {
  const [a, b] = engines as [Engine, Engine];
  const grant = await granted(a, 'x', 'a');
  await a.leases.release(grant, { holder: 'b', forMs: LONG_MS });
  assert.equal(await a.leases.acquire('x', 'a', LONG_MS), undefined);
  assert.equal(await b.leases.acquire('x', 'c', LONG_MS), undefined);
  const next = await granted(b, 'x', 'b');
  assert.ok(next.term > grant.term);
  await b.leases.release(next);
  await granted(a, 'x', 'a');
}

async function timeOut({ engine }: LawContext): Promise<void> {
  const kept = await granted(engine, 'kept', 'a', 40);
  const ended = await granted(engine, 'ended', 'a', 40);
  assert.equal(await engine.leases.renew(kept, LONG_MS), true);
  const next = await grantedSoon(engine, 'ended', 'b');
  assert.ok(next.term > ended.term);
  assert.equal(await engine.leases.renew(ended, LONG_MS), false);
  await assert.rejects(engine.leases.issueTerm(ended), fenced);
  assert.equal(await engine.leases.acquire('kept', 'b', LONG_MS), undefined);
}

async function noTimeOut({ engine }: LawContext): Promise<void> {
  const first = await granted(engine, 'x', 'a', 1);
  // Longer than the time-out by the same clock: that of a reservation.
  await engine.leases.release(await granted(engine, 'clock', 'a'), { holder: 'b', forMs: 20 });
  await grantedSoon(engine, 'clock', 'c');
  assert.equal(await engine.leases.acquire('x', 'b', LONG_MS), undefined);
  assert.equal((await engine.leases.holder('x'))?.term, first.term);
  assert.equal(await engine.leases.renew(first, 1), true);
}

async function race({ engines }: LawContext): Promise<void> {
  for (let round = 0; round < 20; round++) {
    const name = `x-${round}`;
    const asked = engines.map((engine, i) => engine.leases.acquire(name, `holder-${i}`, LONG_MS));
    const grants = (await Promise.all(asked)).filter((grant) => grant !== undefined);
    assert.equal(grants.length, 1);
    for (const engine of engines) assert.deepEqual({ ...(await engine.leases.holder(name)) }, { ...grants[0] });
  }
}

async function asking({ engines }: LawContext): Promise<void> {
  const [a, b] = engines as [Engine, Engine];
  let isOver = false;
  let asked = 0;
  const ask = async (): Promise<void> => {
    for (; !isOver; asked++) {
      await b.leases.holder('x');
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const askers = [ask(), ask()];
  await until('they ask', () => asked > 10);
  for (let round = 0; round < 50; round++) {
    await a.leases.release(await granted(a, 'x', 'a'));
    await new Promise((resolve) => setImmediate(resolve));
  }
  isOver = true;
  await Promise.all(askers);
}

async function closeGivesUp({ engines }: LawContext): Promise<void> {
  const [a, b] = engines as [Engine, Engine];
  const grant = await granted(b, 'x', 'b');
  assert.equal(await a.leases.acquire('x', 'a', LONG_MS), undefined);
  await b.close();
  assert.ok((await granted(a, 'x', 'a')).term > grant.term);
}

async function overReopen({ engine, reopen }: LawContext): Promise<void> {
  const grant = await granted(engine, 'x', 'a');
  const issued = await engine.leases.issueTerm(grant);
  const again = await reopen();
  assert.ok((await granted(again, 'x', 'b')).term > issued);
}

async function deathEnds({ engines, kill }: LawContext): Promise<void> {
  const [a, b] = engines as [Engine, Engine];
  const grant = await granted(b, 'x', 'b');
  assert.equal(await a.leases.acquire('x', 'a', LONG_MS), undefined);
  await kill(1);
  // The process is reaped: not soon, now.
  assert.equal(await a.leases.holder('x'), undefined);
  assert.ok((await granted(a, 'x', 'a')).term > grant.term);
}

async function stoppedKeeps({ engines, suspend, resume }: LawContext): Promise<void> {
  const [a, b] = engines as [Engine, Engine];
  const grant = await granted(b, 'x', 'b', 1);
  await suspend(1);
  for (let i = 0; i < 20; i++) assert.equal(await a.leases.acquire('x', 'a', LONG_MS), undefined);
  assert.deepEqual({ ...(await a.leases.holder('x')) }, { ...grant });
  await resume(1);
  assert.equal(await b.leases.renew(grant, 1), true);
  await b.leases.release(grant);
  await granted(a, 'x', 'a');
}
