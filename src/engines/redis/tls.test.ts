/** Servers that speak nothing but TLS, also among themselves. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { connectRedis } from '../../core/ports/redis-connection.ts';
import { makeCertificate } from '../../core/testing/certificate.ts';
import { missingRedis } from '../../core/testing/redis-servers/installed.ts';
import type { ServerProcess } from '../../core/testing/redis-servers/server-process.ts';
import { startCluster } from '../../core/testing/redis-servers/start-cluster.ts';
import { startRedis } from '../../core/testing/redis-servers/start-redis.ts';
import { startSentinel } from '../../core/testing/redis-servers/start-sentinel.ts';
import { until } from '../../core/testing/until.ts';
import { hashSlot } from './connections/hash-slot.ts';
import { DEFAULT_SHARDS } from './engine-settings.ts';
import { shardOf, shardTag } from './keys.ts';
import { append, codeOf, ensureTopic, openEngine, PLACE, readTexts, untilServed } from './redis-engine.fixture.ts';
import { openRedisEngine } from './redis-engine.ts';

const skip = missingRedis();

/** What NODE_EXTRA_CA_CERTS does when a process starts; until the test ends. */
function trust(t: TestContext, certificate: Buffer): void {
  const before = getCACertificates('default');
  setDefaultCACertificates([...before, certificate.toString()]);
  t.after(() => setDefaultCACertificates(before));
}

/** Stores, is woken, reads; and again when the master of the records has died. */
async function survives(t: TestContext, url: string, killMaster: () => Promise<void>): Promise<void> {
  const engine = await openEngine(t, url);
  await ensureTopic(engine);
  let wakes = 0;
  const stop = engine.store.watch(PLACE, () => wakes++);
  const { nextOffset } = await engine.store.state(PLACE);
  await engine.store.read(PLACE, { epoch: '', offset: nextOffset }, 1);
  await append(engine, ['before']);
  await until('the reader is woken', () => wakes > 0);
  stop();
  await killMaster();
  await untilServed(engine);
  await append(engine, ['after']);
  assert.equal((await readTexts(engine)).at(-1), 'after');
}

test('a server whose certificate nobody vouches for is refused, and the reason is told', { skip }, async (t) => {
  const { url } = await startRedis(t, { tls: makeCertificate(t) });
  await assert.rejects(openRedisEngine({ url }), (error: Error) => {
    assert.equal(codeOf(error), 'TANDEM_STORE_UNREACHABLE');
    assert.match(error.message, /self-signed certificate/);
    return true;
  });
});

test('plain Redis behind a URL that asks for TLS is refused', { skip }, async (t) => {
  const { url } = await startRedis(t);
  await assert.rejects(openRedisEngine({ url: url.replace('redis:', 'rediss:') }), (error: Error) => {
    assert.equal(codeOf(error), 'TANDEM_STORE_UNREACHABLE');
    return true;
  });
});

test('one server over TLS, with a password; lists too', { skip, timeout: 60_000 }, async (t) => {
  const tls = makeCertificate(t);
  trust(t, tls.cert);
  const { url, server } = await startRedis(t, { tls, password: 'secret', config: ['appendonly yes'] });
  assert.match(url, /^rediss:/);
  await survives(t, url, () => server.restart());
  const connection = await connectRedis({
    ...{ servers: [server], masterName: null, database: 0, isTls: true, username: null, password: 'secret' },
    ...{ sentinelUsername: null, sentinelPassword: null },
  });
  t.after(() => connection.close());
  assert.equal(await connection.call(['RPUSH', 'list', 'item']), 1);
});

test('Sentinel over TLS fails over', { skip, timeout: 60_000 }, async (t) => {
  const tls = makeCertificate(t);
  trust(t, tls.cert);
  const { url, servers } = await startSentinel(t, { tls });
  assert.match(url, /^rediss\+sentinel:/);
  await survives(t, url, () => (servers[0] as ServerProcess).kill());
});

test('a cluster over TLS fails over', { skip, timeout: 90_000 }, async (t) => {
  const tls = makeCertificate(t);
  trust(t, tls.cert);
  const cluster = await startCluster(t, { tls });
  assert.match(cluster.url, /^rediss\+cluster:/);
  const slot = hashSlot(shardTag('tandem', shardOf(PLACE, DEFAULT_SHARDS.cluster)));
  await survives(t, cluster.url, async () => (await cluster.ownerOf(slot)).kill());
});
