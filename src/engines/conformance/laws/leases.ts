/**
 * Law: leases.
 * - At most one holder MUST have a lease at a time; of several that ask at once exactly one MUST get it.
 * - The terms of all grants of all names MUST rise strictly, over reopens and deaths too.
 * - The holder itself MUST get a new grant, which ends the older one: `renew` of that MUST be false and `release` MUST have no effect.
 * - A lease MUST end by release, by its time-out if it is not renewed, by `close`; by the death of the process at once if the engine proves death.
 * - A renewed lease MUST outlive its first time-out.
 */
import assert from 'node:assert/strict';
import type { Engine, LeaseGrant } from '../../../core/contracts/engine.ts';
import { type Law, type LawContext, until } from '../law.ts';

export const leases: Law = {
  name: 'leases',
  cases: [
    { name: 'one holder, strictly rising terms', run: oneHolder },
    { name: 'a new grant of the holder ends its older one', run: newGrant },
    {
      name: 'an unrenewed lease ends, a renewed one does not',
      unless: { provesDeath: 'leases never end by time-out' },
      run: timeOut,
    },
    {
      name: 'one of two processes that ask at once gets it',
      members: 2,
      needs: { isShared: 'two processes' },
      run: race,
    },
    { name: 'close gives it up', members: 2, needs: { isShared: 'two processes' }, run: closeGivesUp },
    { name: 'terms rise over a reopen', needs: { reopens: 'nothing outlives a close' }, run: overReopen },
    {
      name: 'the death of the holder ends it at once',
      members: 2,
      mayDie: true,
      needs: { isShared: 'two processes', provesDeath: 'leases end by time-out' },
      run: deathEnds,
    },
  ],
};

const LONG_MS = 600_000;

async function granted(engine: Engine, name: string, holder: string, ttlMs = LONG_MS): Promise<LeaseGrant> {
  const grant = await engine.leases.acquire(name, holder, ttlMs);
  assert.ok(grant, `${holder} gets ${name}`);
  assert.deepEqual([grant.name, grant.holder], [name, holder]);
  return grant;
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
  await engine.leases.release(older);
  assert.equal((await engine.leases.holder('x'))?.term, newer.term);
}

async function timeOut({ engine }: LawContext): Promise<void> {
  const kept = await granted(engine, 'kept', 'a', 40);
  const ended = await granted(engine, 'ended', 'a', 40);
  assert.equal(await engine.leases.renew(kept, LONG_MS), true);
  let next: LeaseGrant | undefined;
  await until('the unrenewed lease has ended', async () => {
    next = await engine.leases.acquire('ended', 'b', LONG_MS);
    return next !== undefined;
  });
  assert.ok(((next as LeaseGrant | undefined)?.term ?? 0) > ended.term);
  assert.equal(await engine.leases.renew(ended, LONG_MS), false);
  assert.equal(await engine.leases.acquire('kept', 'b', LONG_MS), undefined);
}

async function race({ engines }: LawContext): Promise<void> {
  for (let round = 0; round < 10; round++) {
    const name = `x-${round}`;
    const asked = engines.map((engine, i) => engine.leases.acquire(name, `holder-${i}`, LONG_MS));
    const grants = (await Promise.all(asked)).filter((grant) => grant !== undefined);
    assert.equal(grants.length, 1);
    for (const engine of engines) assert.deepEqual({ ...(await engine.leases.holder(name)) }, { ...grants[0] });
  }
}

async function closeGivesUp({ engines }: LawContext): Promise<void> {
  const [a, b] = engines as [Engine, Engine];
  const grant = await granted(b, 'x', 'b');
  assert.equal(await a.leases.acquire('x', 'a', LONG_MS), undefined);
  await b.close();
  assert.ok((await granted(a, 'x', 'a')).term > grant.term);
}

async function overReopen({ engine, reopen }: LawContext): Promise<void> {
  const { term } = await granted(engine, 'x', 'a');
  const again = await reopen();
  assert.ok((await granted(again, 'x', 'b')).term > term);
}

async function deathEnds({ engines, kill }: LawContext): Promise<void> {
  const [a, b] = engines as [Engine, Engine];
  const grant = await granted(b, 'x', 'b');
  assert.equal(await a.leases.acquire('x', 'a', LONG_MS), undefined);
  await kill(1);
  let next: LeaseGrant | undefined;
  await until('the lease is free', async () => {
    next = await a.leases.acquire('x', 'a', LONG_MS);
    return next !== undefined;
  });
  assert.ok(((next as LeaseGrant | undefined)?.term ?? 0) > grant.term);
}
