/** The rights that the doctor asks for are those that the engine needs: no less, and it names them so that they can be given. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { missingRedis } from '../../../core/testing/redis-servers/installed.ts';
import type { ServerProcess } from '../../../core/testing/redis-servers/server-process.ts';
import { startRedis } from '../../../core/testing/redis-servers/start-redis.ts';
import { until } from '../../../core/testing/until.ts';
import { append, ensureTopic, openEngine, PLACE, readTexts, setOf } from '../redis-engine.fixture.ts';
import { assertCheck, checksOf, named } from './checking.fixture.ts';
import { libraryCommands, neededCalls } from './rights.ts';

const skip = missingRedis();
const LEASE_MS = 10_000;

test('each command of the library is asked for', () => {
  const asked = new Set(neededCalls('tandem', 'cluster').map(([command]) => command));
  assert.ok(libraryCommands().includes('XADD'));
  assert.deepEqual(
    libraryCommands().filter((command) => !asked.has(command)),
    [],
    'rights.ts knows how to ask for each command of the library',
  );
});

/** Everything that nodes do with an engine; the server has refused nothing. */
async function useEngine(t: TestContext, server: ServerProcess, user: string): Promise<void> {
  await server.call('ACL', 'LOG', 'RESET');
  const engine = await openEngine(t, `redis://${user}:x@${server.address}`);
  await ensureTopic(engine);
  let woken = 0;
  t.after(engine.store.watch(PLACE, () => woken++));
  await append(engine, ['a']);
  const sequence = { id: 'someone', sequence: 1 };
  await engine.store.append({ ...PLACE, set: setOf('b'), producer: sequence, origin: sequence });
  assert.deepEqual(await readTexts(engine), ['a', 'b']);
  await until('watchers are woken', () => woken > 1);
  await engine.store.trim(PLACE, 1);
  await engine.applyRetention();
  const grant = await engine.leases.acquire('active', 'a/1', LEASE_MS);
  assert.ok(grant !== undefined && (await engine.leases.renew(grant, LEASE_MS)));
  await engine.claim(grant.term);
  await engine.leases.release(grant);
  const member = await engine.groups.join('save', PLACE.topic, () => {});
  await until('it has the partition', () => member.assignments.length === 1);
  const { epoch } = await engine.store.state(PLACE);
  await engine.groups.commit('save', PLACE.topic, { partition: 0, offset: 1, epoch }, member.assignments[0]?.term ?? 0);
  await member.leave();
  const peers = engine.openPeers('a/1', 1000);
  await peers.close();
  await engine.close();
  assert.deepEqual(await server.call('ACL', 'LOG'), []);
}

test('a user with just those rights can do everything', { skip }, async (t) => {
  const { server } = await startRedis(t);
  await server.call('ACL', 'SETUSER', 'tandem', 'on', '>x', '-@all', '+info', '+multi', '+discard');
  // Commands first; keys and channels show when they may be run.
  for (let round = 0; round < 2; round++) {
    const lacking = named(await checksOf(`redis://tandem:x@${server.address}`), 'redis rights');
    await server.call(...(lacking.advice ?? '').split(' '));
  }
  assertCheck(named(await checksOf(`redis://tandem:x@${server.address}`), 'redis rights'), 'ok', /what is needed/);
  await useEngine(t, server, 'tandem');
});

test('the user of docs/redis.md can do everything, and lets the doctor read the settings', { skip }, async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../../../docs/redis.md'), 'utf8');
  const line = /ACL SETUSER tandem (on .*)$/m.exec(page)?.[1] ?? assert.fail('no ACL SETUSER in docs/redis.md');
  const { server } = await startRedis(t);
  await server.call('ACL', 'SETUSER', 'tandem', ...line.split(' '), '>x');
  const checks = await checksOf(`redis://tandem:x@${server.address}`);
  assertCheck(named(checks, 'redis rights'), 'ok', /what is needed/);
  assert.ok(checks.every(({ finding }) => !finding.startsWith('not known')));
  await useEngine(t, server, 'tandem');
});
