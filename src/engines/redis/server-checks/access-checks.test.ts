/** Who is let in, what our user lacks, what a server does not tell, and servers that do not answer: all with real servers. */
import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { freePorts } from '../../../core/testing/redis-servers/free-ports.ts';
import { missingRedis } from '../../../core/testing/redis-servers/installed.ts';
import { startRedis } from '../../../core/testing/redis-servers/start-redis.ts';
import { assertCheck, checksOf, named, set } from './checking.fixture.ts';

const skip = missingRedis();
/** An address of this machine that is not loopback. */
const OUTER_HOST = Object.values(networkInterfaces())
  .flat()
  .find((address) => address?.internal === false && address.family === 'IPv4')?.address;

test('over a network: no password, a password, protected mode', {
  skip: skip || (OUTER_HOST === undefined && 'this machine has no address but loopback'),
}, async (t) => {
  const { server } = await startRedis(t, { config: ['bind * -::*', 'protected-mode no'] });
  const host = `${OUTER_HOST}:${server.port}`;
  assertCheck(
    named(await checksOf(`redis://${host}`), 'redis access'),
    'failed',
    /without a password over the network/,
  );
  await server.call('ACL', 'SETUSER', 'tandem', 'on', '>secret', '~*', '&*', '+@all');
  // Our own password is no help while the default user has none.
  const url = `redis://tandem:secret@${host}`;
  assertCheck(named(await checksOf(url), 'redis access'), 'failed', /without a password over the network/);
  await set(server, 'protected-mode yes');
  assertCheck(named(await checksOf(`redis://${host}`), 'redis'), 'failed', /cannot be asked: DENIED .{1,150}$/);
  await set(server, 'protected-mode no, requirepass other');
  assertCheck(named(await checksOf(url), 'redis access'), 'warning', /in plain text/);
});

test('a user without the rights: each missing one is named, and none is exercised', { skip }, async (t) => {
  const { server } = await startRedis(t);
  const before = String(await server.call('DBSIZE'));
  const url = `redis://tandem:x@${server.address}`;
  await server.call(
    'ACL',
    'SETUSER',
    'tandem',
    'on',
    '>x',
    '~{tandem*',
    '&{tandem*',
    '+@all',
    '-fcall',
    '-wait',
    '-xadd',
    '-function',
  );
  assertCheck(
    named(await checksOf(url), 'redis rights'),
    'failed',
    /^user tandem lacks \+function\|load \+fcall \+wait \+xadd$/,
  );
  await server.call(
    'ACL',
    'SETUSER',
    'tandem',
    '+fcall',
    '+wait',
    '+xadd',
    '+function',
    'resetkeys',
    'resetchannels',
    '~{other*',
  );
  assertCheck(named(await checksOf(url), 'redis rights'), 'failed', /^user tandem lacks ~\{tandem\* &\{tandem\*$/);
  const advice = named(await checksOf(url), 'redis rights').advice ?? '';
  await server.call(...advice.split(' '));
  assertCheck(named(await checksOf(url), 'redis rights'), 'ok', /may do what is needed/);
  await server.call('ACL', 'SETUSER', 'tandem', '-multi');
  assertCheck(named(await checksOf(url), 'redis rights'), 'warning', /^not known: user tandem may not run MULTI/);
  assert.equal(String(await server.call('DBSIZE')), before);
});

test('settings that the server does not let us read are not known, and not ok', { skip }, async (t) => {
  const { server } = await startRedis(t, { config: ['appendonly yes', 'protected-mode no'] });
  await server.call('ACL', 'SETUSER', 'tandem', 'on', '>x', '~*', '&*', '+@all', '-config');
  const checks = await checksOf(`redis://tandem:x@${server.address}`);
  for (const name of ['redis durability', 'redis buffers', 'redis connections', 'redis access'])
    assertCheck(named(checks, name), 'warning', /^not known: the server does not let us read /);
});

test('servers that refuse us, are away or hang: one failed check that says so, in time', { skip }, async (t) => {
  const { server, url } = await startRedis(t, { password: 'right' });
  const wrong = await checksOf(url.replace('right', 'wrong'));
  assertCheck(named(wrong, 'redis'), 'failed', /cannot be asked: WRONGPASS/);
  assert.ok(!JSON.stringify(wrong).includes('wrong@'));
  assertCheck(named(await checksOf(`redis://${server.address}`), 'redis'), 'failed', /cannot be asked: NOAUTH/);
  server.pause();
  assertCheck(named(await checksOf(url), 'redis'), 'failed', /cannot be asked/);
  server.resume();
  await server.kill();
  assertCheck(named(await checksOf(url), 'redis'), 'failed', /cannot be asked: ECONNREFUSED/);
});

test('a URL that is none', async () => {
  const [port] = await freePorts(1);
  assertCheck(
    named(await checksOf(`redis://127.0.0.1:${port}?colour=red`), 'engine'),
    'failed',
    /unknown option "colour"/,
  );
});
