/** Each check of a server that holds data sees a real server whose setting is bad, and one whose setting is good. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { test } from 'node:test';
import { missingRedis } from '../../../core/testing/redis-servers/installed.ts';
import { startRedis } from '../../../core/testing/redis-servers/start-redis.ts';
import { until } from '../../../core/testing/until.ts';
import type { DataServerFacts } from './ask-server.ts';
import { assertCheck, checksOf, named, set } from './checking.fixture.ts';
import { checkMemory, checkRole, checkVersion } from './data-server-checks.ts';
import type { CheckedSetup, ServerCheck } from './server-check.ts';

const skip = missingRedis();

interface Case {
  readonly check: string;
  readonly settings: string;
  readonly setup?: Partial<CheckedSetup>;
  readonly result: ServerCheck['result'];
  readonly finding: RegExp;
}

const DURABLE = 'save , appendonly yes, appendfsync';
const CASES: readonly Case[] = [
  { check: 'redis eviction', settings: 'maxmemory-policy noeviction', result: 'ok', finding: /refuses writes/ },
  { check: 'redis eviction', settings: 'maxmemory-policy volatile-lru', result: 'ok', finding: /Tandem's have none/ },
  {
    check: 'redis eviction',
    settings: 'maxmemory 100mb, maxmemory-policy allkeys-lru',
    result: 'failed',
    finding: /deletes any key/,
  },
  {
    check: 'redis eviction',
    settings: 'maxmemory 0, maxmemory-policy allkeys-lfu',
    result: 'warning',
    finding: /never full now/,
  },
  {
    check: 'redis memory',
    settings: 'maxmemory-policy noeviction, maxmemory 0',
    result: 'warning',
    finding: /grows until/,
  },
  { check: 'redis memory', settings: 'maxmemory 200mb', result: 'ok', finding: /used of maxmemory 200 MiB/ },
  { check: 'redis memory', settings: 'maxmemory 100', result: 'failed', finding: /refuses writes/ },
  {
    check: 'redis durability',
    settings: `maxmemory 0, ${DURABLE} always`,
    result: 'ok',
    finding: /survives a kill and power loss/,
  },
  {
    check: 'redis durability',
    settings: 'no-appendfsync-on-rewrite yes',
    setup: { ack: 'stored' },
    result: 'warning',
    finding: /no-appendfsync-on-rewrite yes: power loss costs up to 35 s/,
  },
  {
    check: 'redis durability',
    settings: 'no-appendfsync-on-rewrite no, appendfsync everysec',
    result: 'ok',
    finding: /costs up to 2 s .*, a kill while its disk is busy too; the spools keep 60 s and send it again/,
  },
  {
    check: 'redis durability',
    settings: 'appendfsync everysec',
    setup: { windowMs: 1000 },
    result: 'warning',
    finding: /the spools keep only 1 s/,
  },
  {
    check: 'redis durability',
    settings: 'appendfsync everysec',
    setup: { ack: 'stored' },
    result: 'warning',
    finding: /with ack: stored nothing sends it again/,
  },
  { check: 'redis durability', settings: 'appendfsync no', result: 'ok', finding: /power loss costs up to 35 s/ },
  {
    check: 'redis durability',
    settings: 'appendonly no, save 3600 1 300 100',
    result: 'failed',
    finding: /save "3600 1 300 100": power loss costs up to 60 min of what it confirmed, a kill too/,
  },
  { check: 'redis durability', settings: 'save ', result: 'failed', finding: /a restart empties it/ },
  {
    check: 'redis buffers',
    settings: 'client-output-buffer-limit normal 0 0 0',
    result: 'ok',
    finding: /normal 0 0 0/,
  },
  {
    check: 'redis buffers',
    settings: 'client-output-buffer-limit normal 1mb 0 0',
    result: 'warning',
    finding: /normal 1\.0 MiB: reads of many records are cut off/,
  },
  {
    check: 'redis buffers',
    settings: 'client-output-buffer-limit normal 0 0 0 pubsub 0 1000 60',
    result: 'warning',
    finding: /pubsub .*wake-ups/,
  },
  {
    check: 'redis buffers',
    settings: 'client-output-buffer-limit pubsub 32mb 8mb 60 replica 1mb 1mb 60',
    result: 'warning',
    finding: /1\.0 MiB: a burst cuts replicas off/,
  },
  { check: 'redis connections', settings: 'timeout 0, tcp-keepalive 300', result: 'ok', finding: /timeout 0/ },
  { check: 'redis connections', settings: 'timeout 10', result: 'warning', finding: /closed after 10 s/ },
  { check: 'redis connections', settings: 'timeout 0, tcp-keepalive 0', result: 'warning', finding: /never closed/ },
  { check: 'redis access', settings: 'protected-mode yes', result: 'ok', finding: /this machine only/ },
  { check: 'redis access', settings: 'protected-mode no', result: 'ok', finding: /bound to 127\.0\.0\.1 only/ },
  {
    check: 'redis access',
    settings: 'bind * -::*',
    result: 'warning',
    finding: /whoever reaches its port can read and delete everything/,
  },
];

test('each setting is judged by what it means', { skip }, async (t) => {
  const { server, url } = await startRedis(t);
  for (const { check, settings, setup = {}, result, finding } of CASES) {
    await set(server, settings);
    await t.test(`${check}: ${settings}, ${JSON.stringify(setup)}`, async () => {
      const checks = await checksOf(url, setup);
      assertCheck(named(checks, check), result, finding);
      assert.equal(named(checks, check).server, server.address);
    });
  }
});

test('a good server: nothing to say', { skip }, async (t) => {
  const config = ['appendonly yes', 'maxmemory 200mb'];
  const { url } = await startRedis(t, { config, password: 'p@ss' });
  const checks = await checksOf(url);
  assert.deepEqual(
    checks.filter(({ result }) => result !== 'ok'),
    [],
  );
  assert.match(named(checks, 'redis version').finding, /^(Redis|Valkey) \d/);
  assert.ok(!JSON.stringify(checks).includes('p@ss'), 'no password in a report');
});

test('a server whose saves fail refuses writes', { skip }, async (t) => {
  const { server, url } = await startRedis(t, { config: ['save 3600 1'] });
  rmSync(server.folder, { recursive: true });
  await server.call('BGSAVE');
  await until(
    'the save has failed',
    async () => (await server.info('persistence', 'rdb_last_bgsave_status')) === 'err',
  );
  assertCheck(named(await checksOf(url), 'redis durability'), 'failed', /last save failed: it refuses writes/);
});

test('replicas: one that is asked for writes, one that is missing', { skip }, async (t) => {
  const { url, servers } = await startRedis(t, { replicas: 1 });
  const [, replica] = servers;
  assert.ok(replica !== undefined);
  const replicated = { ack: 'replicated' } as const;
  assertCheck(named(await checksOf(url, replicated), 'redis replicas'), 'ok', /online, \d+ bytes behind/);
  const two = await checksOf(url, { ...replicated, replicas: 2 });
  assertCheck(named(two, 'redis replicas'), 'failed', /wants 2, so every append is answered TANDEM_NOT_REPLICATED/);
  const ofReplica = await checksOf(`redis://${replica.address}`);
  assertCheck(named(ofReplica, 'redis role'), 'failed', /slave of 127\.0\.0\.1:\d+: it takes no writes/);
});

test('what cannot be had here: old versions, a server that loads, more memory than the machine has', () => {
  const facts = (info: Record<string, string>): DataServerFacts => ({
    server: 'h:1',
    host: 'h',
    isTls: false,
    info: new Map(Object.entries(info)),
    settings: null,
    isOpen: false,
    missingRights: { names: [], isAsked: true },
  });
  assertCheck(checkVersion(facts({ redis_version: '6.2.14' })), 'failed', /Redis 6\.2\.14/);
  assertCheck(checkVersion(facts({})), 'failed', /Redis \?/);
  assertCheck(checkVersion(facts({ redis_version: '7.2.4', valkey_version: '8.0.1' })), 'ok', /Valkey 8\.0\.1/);
  assertCheck(checkRole(facts({ role: 'master', loading: '1' }), 'any'), 'failed', /still loading/);
  const memory = { used_memory: '1000', maxmemory: '3000', total_system_memory: '2000' };
  assertCheck(checkMemory(facts(memory)), 'warning', /but the machine has/);
  assertCheck(checkMemory(facts({ used_memory: '2500', maxmemory: '3000' })), 'warning', /nearly full/);
});
