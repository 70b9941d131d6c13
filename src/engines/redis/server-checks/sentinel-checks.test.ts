/** Each check of Sentinels, and of servers behind them, sees real ones whose settings are bad, and good ones. */
import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { type TestContext, test } from 'node:test';
import { freePorts } from '../../../core/testing/redis-servers/free-ports.ts';
import { missingRedis } from '../../../core/testing/redis-servers/installed.ts';
import { ServerGroup } from '../../../core/testing/redis-servers/server-group.ts';
import type { ServerProcess } from '../../../core/testing/redis-servers/server-process.ts';
import { startRedis } from '../../../core/testing/redis-servers/start-redis.ts';
import { type StartedSentinel, startSentinel } from '../../../core/testing/redis-servers/start-sentinel.ts';
import { until } from '../../../core/testing/until.ts';
import { assertCheck, checksOf, named, set } from './checking.fixture.ts';

const skip = missingRedis();
const NAME = 'main';
const OUTER_HOST = Object.values(networkInterfaces())
  .flat()
  .find((address) => address?.internal === false && address.family === 'IPv4')?.address;

const GOOD = [
  'appendonly yes',
  'maxmemory 200mb',
  'repl-backlog-size 64mb',
  'min-replicas-to-write 1',
  'min-replicas-max-lag 10',
];

test('three Sentinels, a master and two replicas: good, and each setting that is bad', { skip }, async (t) => {
  const guarded = await startSentinel(t, { config: GOOD, replicas: 2, failoverTimeoutMs: 10_000 });
  await judgeUrls(t, guarded);
  await judgeSentinelSettings(t, guarded);
  await judgeMasterSettings(t, guarded);
  await judgeDeaths(t, guarded);
});

async function judgeUrls(t: TestContext, { servers, sentinels, url }: StartedSentinel): Promise<void> {
  const [, replica] = servers;
  const [first] = sentinels;
  await t.test('good', async () => {
    const checks = await checksOf(url);
    assert.deepEqual(
      checks.filter(({ result }) => result !== 'ok'),
      [],
    );
    assert.match(named(checks, 'sentinel timing').finding, /takes about 2 s, and leases outlive 2\.8 s/);
    assert.equal(checks.filter(({ name }) => name === 'sentinel').length, 3);
    assert.equal(named(checks, 'redis role', replica?.address).finding, 'slave');
  });
  await t.test('the URL names one Sentinel, whose others are asked too; or another master', async () => {
    const one = await checksOf(`redis+sentinel://${first?.address}/${NAME}`);
    assertCheck(named(one, 'sentinels'), 'warning', /the URL names only one/);
    assert.equal(one.filter(({ name }) => name === 'sentinel').length, 3);
    const other = await checksOf(`redis+sentinel://${first?.address}/other`);
    assertCheck(named(other, 'sentinel'), 'failed', /knows no master "other"/);
  });
}

async function judgeSentinelSettings(t: TestContext, { sentinels, url }: StartedSentinel): Promise<void> {
  const third = sentinels[2] as ServerProcess;
  const setAll = (setting: string, value: string): Promise<unknown> =>
    Promise.all(sentinels.map((sentinel) => sentinel.call('SENTINEL', 'SET', NAME, setting, value)));

  await t.test('down-after-milliseconds, failover-timeout: too long, or not the same', async () => {
    await setAll('down-after-milliseconds', '30000');
    assertCheck(
      named(await checksOf(url), 'sentinel timing'),
      'warning',
      /takes about 31 s, but leases outlive only 2\.8 s/,
    );
    const alone = named(await checksOf(url, { lease: null }), 'sentinel timing');
    assertCheck(alone, 'warning', /takes about 31 s, in which nothing is delivered and the spools fill/);
    await setAll('down-after-milliseconds', '1000');
    assertCheck(named(await checksOf(url, { lease: null }), 'sentinel timing'), 'ok', /takes about 2 s/);
    await third.call('SENTINEL', 'SET', NAME, 'down-after-milliseconds', '1500');
    assertCheck(named(await checksOf(url), 'sentinel views'), 'warning', /down-after-milliseconds: .* 1500$/);
    await third.call('SENTINEL', 'SET', NAME, 'down-after-milliseconds', '1000');
    await setAll('failover-timeout', '180000');
    assertCheck(named(await checksOf(url), 'sentinel retries'), 'warning', /tried again after 360 s/);
    await setAll('failover-timeout', '10000');
  });
  await t.test('quorum: not the same, or never reached', async () => {
    await third.call('SENTINEL', 'SET', NAME, 'quorum', '1');
    assertCheck(named(await checksOf(url), 'sentinel quorum'), 'warning', /quorum 2, 1 of 3: they differ/);
    await setAll('quorum', '4');
    assertCheck(named(await checksOf(url), 'sentinel quorum'), 'failed', /no failover is possible now: NOQUORUM/);
    await setAll('quorum', '2');
  });
}

async function judgeMasterSettings(t: TestContext, { servers, url }: StartedSentinel): Promise<void> {
  const master = servers[0] as ServerProcess;
  await t.test('a master that is cut off', async () => {
    const of = async (setup: Parameters<typeof checksOf>[1]) =>
      named(await checksOf(url, setup), 'redis min-replicas', master.address);
    assertCheck(await of({}), 'ok', /stops taking writes after 10 s; the spools keep 60 s/);
    assertCheck(await of({ windowMs: 5000 }), 'warning', /the spools keep what it confirmed only for 5 s/);
    assertCheck(await of({ ack: 'stored' }), 'warning', /with ack: stored nothing sends it again/);
    assertCheck(named(await checksOf(url, { ack: 'stored' }), 'engine'), 'warning', /a failover loses what no replica/);
    await set(master, 'min-replicas-to-write 2');
    assertCheck(await of({}), 'warning', /after a failover the new master has one fewer, and refuses writes/);
    await set(master, 'min-replicas-to-write 3');
    assertCheck(await of({}), 'failed', /2 replicas are there: it refuses writes/);
    await set(master, 'min-replicas-to-write 0');
    assertCheck(await of({}), 'warning', /goes on taking writes .* longer than 60 s is lost/);
    assertCheck(await of({ ack: 'replicated' }), 'ok', /confirms nothing with ack: replicated/);
    await set(master, 'repl-backlog-size 1mb');
    assertCheck(named(await checksOf(url), 'redis backlog', master.address), 'warning', /copies everything anew/);
  });
}

async function judgeDeaths(t: TestContext, { servers, sentinels, url }: StartedSentinel): Promise<void> {
  const [master, replica, other] = servers as [ServerProcess, ServerProcess, ServerProcess];
  const [first, second, third] = sentinels as [ServerProcess, ServerProcess, ServerProcess];
  await t.test('one names another master', async () => {
    await third.call('SENTINEL', 'REMOVE', NAME);
    await third.call('SENTINEL', 'MONITOR', NAME, replica.host, String(replica.port), '2');
    assertCheck(named(await checksOf(url), 'sentinel views'), 'failed', /they name different masters/);
  });
  await t.test('Sentinels, then the replicas, then the master die', async () => {
    await third.kill();
    await second.kill();
    await until('that is noticed', async () => named(await checksOf(url), 'sentinel quorum').result === 'failed');
    const dead = await checksOf(url);
    assertCheck(named(dead, 'sentinel', third.address), 'failed', /cannot be asked: ECONNREFUSED/);
    assertCheck(named(dead, 'sentinel quorum'), 'failed', /NOQUORUM/);
    assertCheck(named(dead, 'sentinels'), 'warning', /not reached by the others: 127\.0\.0\.1:\d+/);
    await Promise.all([replica.kill(), other.kill()]);
    await until('that is noticed', async () => named(await checksOf(url), 'sentinel master').result === 'failed');
    const alone = await checksOf(url);
    assertCheck(named(alone, 'sentinel master'), 'failed', /of 2 replicas none can take over/);
    assertCheck(named(alone, 'redis', replica.address), 'failed', /cannot be asked: ECONNREFUSED/);
    assertCheck(named(alone, 'redis replicas', master.address), 'failed', /nobody can take over from it/);
    await master.kill();
    await until('that is noticed', async () => /is down/.test(named(await checksOf(url), 'sentinel master').finding));
    await first.kill();
    assert.ok((await checksOf(url)).every(({ name, result }) => name === 'engine' || result === 'failed'));
  });
}

test('one Sentinel, without a password, that names a loopback address to other machines', {
  skip: skip || (OUTER_HOST === undefined && 'this machine has no address but loopback'),
}, async (t) => {
  const { server: master } = await startRedis(t);
  const group = new ServerGroup({}, t);
  const [port = 0] = await freePorts(1);
  const monitor = `sentinel monitor ${NAME} ${master.host} ${master.port} 1`;
  await group.startSentinel({ index: 0, port: port }, [monitor, 'bind * -::*', 'protected-mode no']);
  const checks = await checksOf(`redis+sentinel://${OUTER_HOST}:${port}/${NAME}`);
  assertCheck(named(checks, 'sentinel'), 'warning', /can make any server the master/);
  assertCheck(named(checks, 'sentinels'), 'warning', /without it there is no failover/);
  assertCheck(named(checks, 'sentinel master'), 'failed', /look for it on itself/);
});
