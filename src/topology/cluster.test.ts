import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cluster, isGone } from './testing/test-cluster.ts';
import { freePort, LineClient, until } from './testing/test-node.ts';

test('the active node is killed: a standby takes over under a higher term, nothing acked is lost, the dead one returns as a standby', async (t) => {
  const cluster = await Cluster.start(t, ['a', 'b']);
  assert.deepEqual(
    [(await cluster.get('a', '/readyz')).status, (await cluster.get('b', '/readyz')).status],
    [200, 503],
  );
  assert.equal(((await cluster.get('b', '/readyz')).body as { role: string }).role, 'standby');
  await cluster.store('one');
  const { term } = await cluster.status('a');

  await cluster.signalAll('a', 'SIGKILL');
  await cluster.store('two');
  const after = await cluster.activated('b');
  assert.ok(after.term > term, `term ${after.term} after ${term}`);
  assert.equal(await cluster.records(), 2);

  await cluster.restart('a');
  assert.equal((await cluster.status('a')).role, 'standby', 'no fail-back');
  await cluster.store('three');
  assert.equal(await cluster.records(), 3);
});

test('the active node hangs: it is ended by force before a standby serves', async (t) => {
  const cluster = await Cluster.start(t, ['a', 'b', 'c']);
  await cluster.store('one');
  const hung = await cluster.signalAll('a', 'SIGSTOP');
  await cluster.store('two');
  assert.deepEqual(
    hung.filter((pid) => !isGone(pid)),
    [],
  );
  assert.equal(await cluster.records(), 2);
});

test('only the keeper of the active node hangs, or is killed: its workers are ended with it', async (t) => {
  const cluster = await Cluster.start(t, ['a', 'b']);
  for (const [name, signal] of [
    ['a', 'SIGSTOP'],
    ['b', 'SIGKILL'],
  ] as const) {
    const { keeperPid, slots } = await cluster.activated(name);
    process.kill(keeperPid, signal);
    await until('the other one is active', async () => (await cluster.status(name === 'a' ? 'b' : 'a')).isReady);
    assert.deepEqual(
      slots.filter(({ pid }) => !isGone(pid as number)),
      [],
    );
    await cluster.store(`after ${name}`);
    if (name === 'a') await cluster.restart('a');
  }
  assert.equal(await cluster.records(), 2);
});

test('a switchover, asked of any node, moves the service in order and reports it; the earlier active stands by, warm', async (t) => {
  const cluster = await Cluster.start(t, ['a', 'b', 'c']);
  const before = new LineClient(t, cluster.lines);
  assert.match((await before.send('one')) ?? '', /^OK /);
  const { status, body } = await cluster.switchover('b', { to: 'c' });
  assert.equal(status, 200, JSON.stringify(body));
  const { from, to, recordsLost, clientsMoved, fromTerm, toTerm } = body;
  assert.deepEqual({ from, to, recordsLost, clientsMoved }, { from: 'a', to: 'c', recordsLost: 0, clientsMoved: 1 });
  assert.ok((toTerm as number) > (fromTerm as number));
  await cluster.activated('c');
  await until('the client is sent away', () => before.socket.destroyed);
  await cluster.store('two');
  assert.equal(await cluster.records(), 2);

  await until('a is warm again', () => cluster.isReadyAsSeenBy('c', 'a'));
  await until('back to a', async () => (await cluster.switchover('a', { to: 'a' })).status === 200);
  await cluster.store('three');
  assert.equal(await cluster.records(), 3);
});

test('a switchover that cannot be is refused, and changes nothing', async (t) => {
  const cluster = await Cluster.start(t, ['a']);
  const { term } = await cluster.status('a');
  for (const body of [{}, { to: 'nobody' }, { to: 'a' }]) {
    const { status, body: answer } = await cluster.switchover('a', body);
    assert.equal(status, 409, JSON.stringify(answer));
  }
  assert.deepEqual([(await cluster.status('a')).isReady, (await cluster.status('a')).term], [true, term]);
});

test('a standby refuses what only the active can answer and says who that is; a pause holds over a takeover', async (t) => {
  const handlers = { consumers: { save: { topic: 'data_queue', to: 'http://127.0.0.1:9/' } } };
  const cluster = await Cluster.start(t, ['a', 'b'], handlers);
  const { status, body } = await cluster.get('b', '/admin/v1/consumers');
  assert.equal(status, 503);
  const { error } = body as { error: { code: string; data: { active: string } } };
  assert.deepEqual([error.code, error.data.active], ['TANDEM_NODE_STANDBY', 'a']);
  const pause = (name: string) =>
    fetch(`${cluster.of(name).admin}/admin/v1/consumers/save/pause`, { method: 'POST' }).then(
      ({ status: code }) => code,
    );
  assert.equal(await pause('b'), 503);
  assert.equal(await pause('a'), 200);
  await cluster.signalAll('a', 'SIGKILL');
  await cluster.activated('b');
  const { pausedConsumers } = (await cluster.get('b')).body as { pausedConsumers: string[] };
  assert.deepEqual(pausedConsumers, ['save']);
});

test('an active node that is told to stop hands over to the standby first', async (t) => {
  const cluster = await Cluster.start(t, ['a', 'b']);
  await cluster.store('one');
  cluster.of('a').node.child.kill('SIGTERM');
  assert.equal(await cluster.of('a').node.exitCode(), 0);
  await cluster.activated('b');
  const { why } = await cluster.of('b').node.event('role_changed');
  assert.match(String(why), /stood down/);
  await cluster.store('two');
  assert.equal(await cluster.records(), 2);
});

test('a standby takes over with the config that it was given by SIGHUP', async (t) => {
  const cluster = await Cluster.start(t, ['a', 'b']);
  const b = cluster.of('b');
  const port = await freePort();
  b.node.configure({ ...b.config, listen: [`tcp://127.0.0.1:${port}?topic=data_queue`] });
  b.node.child.kill('SIGHUP');
  await b.node.event('reloaded');
  await until('it is warm again', () => cluster.isReadyAsSeenBy('a', 'b'));
  await cluster.signalAll('a', 'SIGKILL');
  await cluster.activated('b');
  assert.match((await new LineClient(t, port).send('x')) ?? '', /^OK /);
});

test('what a dead standby has left behind is ended by another node, whichever is active', async (t) => {
  const cluster = await Cluster.start(t, ['a', 'b', 'c']);
  const { keeperPid, sparePids } = await cluster.status('c');
  for (const pid of sparePids) process.kill(pid, 'SIGSTOP');
  process.kill(keeperPid, 'SIGKILL');
  await until('its stopped workers are gone', () => sparePids.every(isGone));
  assert.equal((await cluster.status('a')).role, 'active');
});
