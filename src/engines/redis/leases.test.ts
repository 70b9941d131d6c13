import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../core/ports/manual-clock.ts';
import { systemRandom } from '../../core/ports/random.ts';
import { type CatalogShard, NOW_KEY, startCatalogServer } from './catalog.fixture.ts';
import { RedisLeases } from './leases.ts';
import { SeenTerms } from './seen-terms.ts';

const TTL_MS = 4000;
const fenced = { code: 'TANDEM_TERM_FENCED' };

interface Node {
  readonly shard: CatalogShard;
  readonly leases: RedisLeases;
}

/** Nodes and the server live by one clock. */
async function start(t: Parameters<typeof startCatalogServer>[0]) {
  const server = await startCatalogServer(t, true);
  const clock = new ManualClock();
  const show = async (): Promise<void> => void (await server.client.set(NOW_KEY, String(clock.nowMs())));
  await show();
  const node = (): Node => {
    const shard = server.open();
    const options = { catalog: shard, clock, random: systemRandom, seenTerms: new SeenTerms() };
    return { shard, leases: new RedisLeases(options) };
  };
  const pass = async (durationMs: number): Promise<void> => {
    await clock.advance(durationMs);
    await show();
  };
  return { server, a: node(), b: node(), node, pass };
}

const termOf = (grant: { term: number } | undefined): number => grant?.term ?? Number.NaN;

test('after a failover that lost the grant the holder goes on, and nobody else is granted anything until its time is over', async (t) => {
  const { server, a, b, pass } = await start(t);
  const older = await b.leases.acquire('active', 'b/1', TTL_MS);
  assert.ok(older);
  await b.leases.release(older);
  const before = await server.snapshot();
  const grant = await a.leases.acquire('active', 'a/1', TTL_MS);
  assert.ok(grant);
  await pass(1000);
  await server.failover(before);
  assert.equal(await b.leases.acquire('active', 'b/1', TTL_MS), undefined);
  assert.equal(await a.leases.renew(grant, TTL_MS), true);
  assert.deepEqual(await b.leases.holder('active'), grant);
  const issued = await a.leases.issueTerm(grant);
  assert.ok(issued > grant.term);
  await pass(TTL_MS - 1);
  assert.equal(await b.leases.acquire('active', 'b/1', TTL_MS), undefined);
  await pass(1);
  const next = await b.leases.acquire('active', 'b/1', TTL_MS);
  assert.ok(termOf(next) > issued);
  assert.equal(await a.leases.renew(grant, TTL_MS), false);
  await assert.rejects(a.leases.issueTerm(grant), fenced);
});

test('after a failover a grant that has ended by the holder’s own clock does not begin again', async (t) => {
  const { server, a, b, pass } = await start(t);
  const before = await server.snapshot();
  const grant = await a.leases.acquire('active', 'a/1', TTL_MS);
  assert.ok(grant);
  const withGrant = await server.snapshot();
  await pass(TTL_MS);
  assert.ok(await b.leases.acquire('active', 'b/1', TTL_MS));
  for (const snapshot of [withGrant, before]) {
    await server.failover(snapshot);
    assert.equal(await a.leases.renew(grant, TTL_MS), false);
    assert.equal(await a.leases.acquire('active', 'a/1', TTL_MS), undefined, 'b may hold it');
  }
});

test('after a failover the holder of the newest of the grants wins over one that was left in the replica', async (t) => {
  const { server, a, b } = await start(t);
  const first = await a.leases.acquire('active', 'a/1', TTL_MS);
  assert.ok(first);
  const before = await server.snapshot();
  await a.leases.release(first);
  const second = await b.leases.acquire('active', 'b/1', TTL_MS);
  assert.ok(second);
  await server.failover(before);
  assert.equal(await a.leases.renew(first, TTL_MS), false, 'a has given it back');
  assert.equal(await a.leases.acquire('active', 'a/1', TTL_MS), undefined);
  assert.equal(await b.leases.renew(second, TTL_MS), true);
});

test('a lease that nobody goes on with after a failover is free after its time', async (t) => {
  const { server, a, b, pass } = await start(t);
  const grant = await a.leases.acquire('active', 'a/1', TTL_MS);
  await server.failover(await server.snapshot());
  assert.equal(await b.leases.acquire('active', 'b/1', TTL_MS), undefined);
  await pass(TTL_MS);
  assert.ok(termOf(await b.leases.acquire('active', 'b/1', TTL_MS)) > termOf(grant));
});

test('a release after a failover counts at once', async (t) => {
  const { server, a, b } = await start(t);
  const grant = await a.leases.acquire('active', 'a/1', TTL_MS);
  assert.ok(grant);
  await server.failover(await server.snapshot());
  await a.leases.release(grant, { holder: 'c/1', forMs: TTL_MS });
  assert.equal(await b.leases.acquire('active', 'b/1', TTL_MS), undefined);
  assert.ok(await b.leases.acquire('active', 'c/1', TTL_MS));
});

test('terms rise over failovers that lost some', async (t) => {
  const { server, a, b, pass } = await start(t);
  let highest = termOf(await b.leases.acquire('x', 'b/1', TTL_MS));
  for (let round = 0; round < 6; round++) {
    const before = await server.snapshot();
    const grant = await a.leases.acquire(`x${round}`, 'a/1', TTL_MS);
    assert.ok(grant && grant.term > highest);
    for (let i = 0; i < 10; i++) highest = await a.leases.issueTerm(grant);
    await server.failover(round % 2 === 0 ? before : await server.snapshot());
    await pass(TTL_MS);
    const other = await b.leases.acquire(`y${round}`, 'b/1', TTL_MS);
    assert.ok(other && other.term > highest);
    highest = other.term;
  }
  assert.ok(highest < Number.MAX_SAFE_INTEGER);
});

test('a server that began empty issues no term twice and grants nothing for a time, once it hears of what it has lost', async (t) => {
  const { server, a, b, pass } = await start(t);
  const grant = await a.leases.acquire('active', 'a/1', TTL_MS);
  assert.ok(grant);
  for (let i = 0; i < 5; i++) await a.leases.issueTerm(grant);
  await server.failover(undefined);
  assert.equal(await a.leases.renew(grant, TTL_MS), true);
  assert.equal(await b.leases.acquire('active', 'b/1', TTL_MS), undefined);
  await pass(TTL_MS);
  assert.ok(termOf(await b.leases.acquire('active', 'b/1', TTL_MS)) > grant.term + 5);
});

test('a server that began empty hears of what it has lost from who was only refused, too', async (t) => {
  const { server, a, b, pass } = await start(t);
  const grant = await a.leases.acquire('active', 'a/1', TTL_MS);
  assert.ok(grant);
  const issued = await a.leases.issueTerm(grant);
  assert.equal(await b.leases.acquire('active', 'b/1', TTL_MS), undefined);
  await server.failover(undefined);
  assert.equal(await b.leases.acquire('active', 'b/1', TTL_MS), undefined, 'a may hold it');
  await pass(TTL_MS);
  assert.ok(termOf(await b.leases.acquire('active', 'b/1', TTL_MS)) > issued);
});

test('only the store object that acquired a lease gets it again', async (t) => {
  const { a, b } = await start(t);
  const grant = await a.leases.acquire('active', 'a/1', TTL_MS);
  assert.ok(grant);
  assert.equal(await b.leases.acquire('active', 'a/1', TTL_MS), undefined);
  assert.ok(termOf(await a.leases.acquire('active', 'a/1', TTL_MS)) > grant.term);
  assert.equal(await a.leases.renew(grant, TTL_MS), false);
});

test('whoever has the grant may release it for its holder', async (t) => {
  const { a, b } = await start(t);
  assert.ok(await a.leases.acquire('active', 'a/1', TTL_MS));
  const seen = await b.leases.holder('active');
  assert.ok(seen);
  await b.leases.release(seen);
  assert.ok(await b.leases.acquire('active', 'b/1', TTL_MS));
});

test('a grant that no connected replica confirms is given back', async (t) => {
  const { a, b } = await start(t);
  a.shard.replicaCount = 1;
  await assert.rejects(a.leases.acquire('active', 'a/1', TTL_MS), { code: 'TANDEM_NOT_REPLICATED' });
  assert.equal(await b.leases.holder('active'), undefined);
  a.shard.confirmedReplicas = 1;
  assert.ok(await a.leases.acquire('active', 'a/1', TTL_MS));
});

test('an acquire whose answer was lost is found again by who asked', async (t) => {
  const { a, b } = await start(t);
  a.shard.fault = 'answers';
  await assert.rejects(a.leases.acquire('active', 'a/1', TTL_MS), { code: 'TANDEM_STORE_UNREACHABLE' });
  a.shard.fault = 'none';
  assert.equal(await b.leases.acquire('active', 'b/1', TTL_MS), undefined);
  assert.ok(await a.leases.acquire('active', 'a/1', TTL_MS));
});

test('close gives up what was acquired, and nothing else', async (t) => {
  const { a, b } = await start(t);
  await a.leases.acquire('x', 'a/1', TTL_MS);
  await b.leases.acquire('y', 'b/1', TTL_MS);
  await a.leases.close();
  assert.equal(await b.leases.holder('x'), undefined);
  assert.equal((await b.leases.holder('y'))?.holder, 'b/1');
  await assert.rejects(a.leases.acquire('x', 'a/1', TTL_MS), { code: 'TANDEM_DRAINING' });
});
