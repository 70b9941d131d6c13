/** What nodes hold together - the lease, partitions of a group, their word - over failovers of real servers. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { NodeFacts } from '../../core/contracts/cluster.ts';
import type { LeaseGrant, Membership } from '../../core/contracts/engine.ts';
import { missingRedis } from '../../core/testing/redis-servers/installed.ts';
import type { ServerProcess } from '../../core/testing/redis-servers/server-process.ts';
import { startCluster } from '../../core/testing/redis-servers/start-cluster.ts';
import { startSentinel } from '../../core/testing/redis-servers/start-sentinel.ts';
import { until } from '../../core/testing/until.ts';
import { hashSlot } from './connections/hash-slot.ts';
import { codeOf, ensureTopic, openEngine, TOPIC } from './redis-engine.fixture.ts';
import type { RedisEngine } from './redis-engine.ts';

const skip = missingRedis();
const TTL_MS = 8000;
const RENEW_MS = 200;
const PARTITIONS = 4;

/** Renews as a holder does: what fails for want of a server is tried again. */
function keep(t: TestContext, engine: RedisEngine, grant: LeaseGrant) {
  const kept = { renewals: 0, isLost: false };
  const timer = setInterval(() => {
    engine.leases.renew(grant, TTL_MS).then(
      (isRenewed) => {
        if (isRenewed) kept.renewals++;
        else kept.isLost = true;
      },
      () => {},
    );
  }, RENEW_MS);
  t.after(() => clearInterval(timer));
  return kept;
}

/** Asks for it all the time; whatever comes is wrong. */
function covet(t: TestContext, engine: RedisEngine): LeaseGrant[] {
  const stolen: LeaseGrant[] = [];
  const timer = setInterval(() => {
    engine.leases.acquire('active', 'b/1', TTL_MS).then(
      (grant) => void (grant && stolen.push(grant)),
      () => {},
    );
  }, RENEW_MS);
  t.after(() => clearInterval(timer));
  return stolen;
}

function assertNobodyTwice(members: readonly Membership[]): number {
  const all = members.flatMap(({ assignments }) => assignments.map(({ partition }) => partition));
  assert.equal(new Set(all).size, all.length, `${all}`);
  return all.length;
}

/** On a busy machine a replica may need more time than it is given. */
async function acquire(engine: RedisEngine): Promise<LeaseGrant> {
  const grant = await until('it is granted', () =>
    engine.leases.acquire('active', 'a/1', TTL_MS).catch(() => undefined),
  );
  assert.ok(grant);
  return grant;
}

async function holdsThrough(t: TestContext, url: string, failOver: () => Promise<unknown>): Promise<void> {
  const engines = [await openEngine(t, url), await openEngine(t, url)] as const;
  const [a, b] = engines;
  await ensureTopic(a, PARTITIONS);
  const members = [await a.groups.join('g', TOPIC, () => {}), await b.groups.join('g', TOPIC, () => {})];
  await until('both have work', () => members.every(({ assignments }) => assignments.length === PARTITIONS / 2));
  const grant = await acquire(a);
  const kept = keep(t, a, grant);
  const stolen = covet(t, b);
  await until('it is renewed', () => kept.renewals > 0);
  const before = members.map(({ assignments }) => [...assignments]);
  await failOver();
  kept.renewals = 0;
  await until('it is renewed at the new master', () => kept.renewals > 2, 30_000);
  assert.deepEqual([kept.isLost, stolen], [false, []]);
  assert.deepEqual(await b.leases.holder('active'), grant);
  assert.ok((await a.leases.issueTerm(grant)) > grant.term);
  await until('the partitions are worked on', () => assertNobodyTwice(members) === PARTITIONS, 30_000);
  for (const [i, member] of members.entries())
    for (const { partition, term } of member.assignments) {
      const had = before[i]?.find((assignment) => assignment.partition === partition);
      assert.ok(had === undefined || term >= had.term);
      await a.groups.commit('g', TOPIC, { partition, offset: 1, epoch: 'e' }, term);
    }
}

test('a failover by Sentinel changes no holder', { skip, timeout: 60_000 }, async (t) => {
  const { url, master } = await startSentinel(t);
  await holdsThrough(t, url, async () => (await master()).kill());
});

test('a failover in a cluster changes no holder', { skip, timeout: 90_000 }, async (t) => {
  const cluster = await startCluster(t);
  await holdsThrough(t, cluster.url, async () => (await cluster.ownerOf(hashSlot('tandem'))).kill());
});

test('a grant that no replica can have is none; without replicas it counts', { skip, timeout: 60_000 }, async (t) => {
  const { url, servers } = await startSentinel(t);
  const [, replica] = servers as [ServerProcess, ServerProcess];
  const engine = await openEngine(t, url);
  const first = await acquire(engine);
  replica.pause();
  await assert.rejects(
    engine.leases.acquire('other', 'a/1', TTL_MS),
    (error) => codeOf(error) === 'TANDEM_NOT_REPLICATED',
  );
  assert.equal(await engine.leases.holder('other'), undefined);
  await replica.kill();
  let second: LeaseGrant | undefined;
  await until('the master sees that it has no replica', async () => {
    second = await engine.leases.acquire('other', 'a/1', TTL_MS).catch(() => undefined);
    return second !== undefined;
  });
  assert.ok((second as unknown as LeaseGrant).term > first.term);
});

test('nodes find each other again after a failover', { skip, timeout: 60_000 }, async (t) => {
  const { url, master } = await startSentinel(t);
  const [a, b] = [await openEngine(t, url), await openEngine(t, url)];
  const peers = [a.openPeers('a/1', 800), b.openPeers('b/1', 800)] as const;
  const lost: string[] = [];
  for (const one of peers)
    one.onEvent(({ kind, peer }) => {
      if (kind === 'lost') lost.push(peer.facts.holder);
    });
  for (const [i, name] of ['a', 'b'].entries()) peers[i]?.tell(factsOf(name));
  const areTogether = (): boolean => peers.every((one) => one.peers.length === 1);
  await until('they hear each other', areTogether);
  await (await master()).kill();
  peers[1].onRequest(async () => 'yes');
  await until(
    'they talk again',
    () => peers[0].request('b', { kind: 'prepare', from: 'a', timeoutMs: 500 }, 500).catch(() => undefined),
    30_000,
  );
  await until('they hear each other again', areTogether);
  await b.close();
  await until('b has said good-bye', () => peers[0].peers.length === 0);
  assert.ok(lost.includes('b/1'));
});

const factsOf = (name: string): NodeFacts => ({
  ...{ serial: 1, name, holder: `${name}/1`, role: 'standby', term: 0, isReady: true, reason: '' },
  ...{ adminUrl: '', version: '1', sinceMs: 0, takeovers: [] },
});
