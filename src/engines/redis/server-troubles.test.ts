/** What the server refuses, and why, as clients and operators hear of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TandemError } from '../../core/errors.ts';
import { missingRedis } from '../../core/testing/redis-servers/installed.ts';
import { startRedis } from '../../core/testing/redis-servers/start-redis.ts';
import { until } from '../../core/testing/until.ts';
import { RedisReplyError } from './connections/redis-servers.ts';
import { append, codeOf, ensureTopic, openEngine, PLACE, readTexts, setOf, texts } from './redis-engine.fixture.ts';
import { openRedisEngine } from './redis-engine.ts';
import { asStoreError } from './reply-errors.ts';

const skip = missingRedis();

test('a server at its maxmemory: nothing is stored, the rest works, and service resumes', { skip }, async (t) => {
  const { server, url } = await startRedis(t);
  const engine = await openEngine(t, url);
  await ensureTopic(engine);
  await append(engine, texts('x', 10));
  await server.call('CONFIG', 'SET', 'maxmemory', '1');
  await assert.rejects(append(engine, ['full']), (error: TandemError) => {
    assert.equal(error.code, 'TANDEM_DISK_FULL');
    assert.ok(error.retryable);
    assert.match(error.message, /maxmemory/);
    return true;
  });
  assert.deepEqual(await readTexts(engine), texts('x', 10));
  assert.equal(await engine.store.trim(PLACE, 4), 4);
  const grant = await engine.leases.acquire('l', 'h', 10_000);
  assert.ok(grant !== undefined && (await engine.leases.renew(grant, 10_000)));
  await engine.claim(grant.term);
  await server.call('CONFIG', 'SET', 'maxmemory', '0');
  await append(engine, ['x-10']);
  assert.deepEqual(await readTexts(engine), texts('x', 7, 4));
});

test('a user without rights, a wrong password: said at once, without the password', { skip }, async (t) => {
  const { server, url } = await startRedis(t);
  await server.call(
    'ACL',
    'SETUSER',
    'weak',
    'on',
    '>secret-7',
    '~*',
    '&*',
    '+ping',
    '+info',
    '+role',
    '+hello',
    '+client',
    '+select',
  );
  for (const [user, what] of [
    ['weak:secret-7', /may not do this/],
    ['weak:wrong-9', /does not know|password/],
  ] as const)
    await assert.rejects(openRedisEngine({ url: url.replace('//', `//${user}@`) }), (error: TandemError) => {
      assert.match(error.message, what);
      assert.doesNotMatch(JSON.stringify(error) + error.message, /secret-7|wrong-9/);
      return true;
    });
});

test('keys of another program, scripts that fail: no trace reaches clients', { skip }, async (t) => {
  const { server, url } = await startRedis(t);
  const engine = await openEngine(t, url);
  await ensureTopic(engine, 3);
  await server.call('SET', '{tandem:0}:log:orders:1', 'text');
  await append(engine, ['x'], { ...PLACE, partition: 2 });
  await server.call('XADD', '{tandem:0}:log:orders:2', '1700000000000-0', 'data', 'x');
  for (const partition of [1, 2])
    await assert.rejects(append(engine, ['x'], { ...PLACE, partition }), (error: TandemError) => {
      assert.equal(error.code, 'TANDEM_STORE_FAILED');
      assert.doesNotMatch(error.message, /user_function|script|lua/i);
      assert.match(error.message, /another program|another type/);
      return true;
    });
  await append(engine, ['x']);
});

test('a server that has too few replicas to write is told as the reason', { skip }, async (t) => {
  const { url } = await startRedis(t, { config: ['min-replicas-to-write 1'] });
  await assert.rejects(openRedisEngine({ url }), (error: Error) => {
    assert.equal(codeOf(error), 'TANDEM_STORE_UNREACHABLE');
    assert.match(error.message, /refused for 5000 ms: NOREPLICAS/);
    return true;
  });
});

test('what the server says is told in our words', () => {
  const told = (message: string): [string, string] => {
    const { code, message: text } = asStoreError(new RedisReplyError(message));
    return [code, text];
  };
  assert.equal(told('MISCONF Redis is configured to save RDB snapshots')[0], 'TANDEM_DISK_FULL');
  assert.match(told('NOREPLICAS Not enough good replicas to write.')[1], /min-replicas-to-write/);
  assert.doesNotMatch(told('ERR user_function:12: boom script: tandem1_x, on @user_function:12.')[1], /boom|script/);
  assert.equal(asStoreError(new Error('x')).code, 'TANDEM_STORE_FAILED');
});

test('appends are acknowledged when a replica has them, and refused as not replicated when none has', {
  skip,
}, async (t) => {
  const { url, servers } = await startRedis(t, { replicas: 1 });
  const replica = servers[1] as (typeof servers)[0];
  const engine = await openEngine(t, url, { replication: { replicas: 1, waitMs: 150 } });
  assert.equal(engine.capabilities.ack, 'replicated');
  await ensureTopic(engine);
  const send = (sequence: number) =>
    engine.store.append({ ...PLACE, set: setOf(`s-${sequence}`), producer: { id: 'p', sequence } });
  const isReplicated = (sequence: number): Promise<boolean> =>
    send(sequence).then(
      () => true,
      () => false,
    );
  // A replica that has just come online is still busy.
  await until('the replica is there', () => isReplicated(1));
  await Promise.all([2, 3].map(send));
  assert.equal(await replica.call('XLEN', '{tandem:0}:log:orders:0'), 3);
  replica.pause();
  const settled = await Promise.allSettled([4, 5].map(send));
  assert.deepEqual(
    settled.map((one) => one.status === 'rejected' && codeOf(one.reason)),
    ['TANDEM_NOT_REPLICATED', 'TANDEM_NOT_REPLICATED'],
  );
  // A repeat is not a confirmation either.
  await assert.rejects(send(4), { code: 'TANDEM_NOT_REPLICATED' });
  replica.resume();
  await until('it is replicated', () => isReplicated(4));
  assert.deepEqual((await send(5)).runs[0]?.isDuplicate, true);
  assert.deepEqual(await readTexts(engine), texts('s', 5, 1));
  assert.equal(await replica.call('XLEN', '{tandem:0}:log:orders:0'), 5);
});

test('one WAIT for all appends of a turn', { skip }, async (t) => {
  const { url, server } = await startRedis(t, { replicas: 1 });
  const engine = await openEngine(t, url, { replication: { replicas: 1, waitMs: 1000 } });
  await ensureTopic(engine, 4);
  await server.call('CONFIG', 'RESETSTAT');
  await Promise.all(Array.from({ length: 200 }, (_, i) => append(engine, ['x'], { ...PLACE, partition: i % 4 })));
  const waits = /cmdstat_wait:calls=(\d+)/.exec(String(await server.call('INFO', 'commandstats')))?.[1];
  assert.equal(waits, '1');
});
