import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Cluster } from './testing/test-cluster.ts';
import { LineClient, until } from './testing/test-node.ts';

const isServing = ({ state }: { readonly state: string }): boolean => state === 'serving';

test('active-active: every node serves, one has the slots; when it dies another takes them, and clients of the others stay connected', async (t) => {
  const cluster = await Cluster.start(t, ['a', 'b'], {}, 'active-active');
  for (const name of ['a', 'b']) {
    assert.equal((await cluster.get(name, '/readyz')).status, 200);
    assert.equal((await cluster.status(name)).fronts.filter(isServing).length, 2);
  }
  const owners = () => ['a', 'b'].map(async (name) => (await cluster.status(name)).slots.filter(isServing).length);
  assert.deepEqual(await Promise.all(owners()), [2, 0]);
  const ofA = new LineClient(t, cluster.of('a').lines);
  const ofB = new LineClient(t, cluster.of('b').lines);
  assert.match((await ofA.send('one')) ?? '', /^OK /);
  assert.match((await ofB.send('two')) ?? '', /^OK /);
  assert.equal(await cluster.records(), 2);

  await cluster.signalAll('a', 'SIGKILL');
  await until('b has the slots', async () => (await cluster.status('b')).slots.every(isServing));
  await until('the same client is acked', async () => (await ofB.send('three'))?.startsWith('OK '));
  assert.equal(ofB.socket.destroyed, false);
  assert.ok((await cluster.records()) >= 3);

  await cluster.restart('a');
  await until('a serves again', async () => (await cluster.get('a', '/readyz')).status === 200);
  assert.match((await new LineClient(t, cluster.of('a').lines).send('four')) ?? '', /^OK /);
  assert.equal((await cluster.status('a')).slots.filter(isServing).length, 0, 'no fail-back');
});

test('active-active: a switchover moves the slots and no client', async (t) => {
  const cluster = await Cluster.start(t, ['a', 'b'], {}, 'active-active');
  const clients = ['a', 'b'].map((name) => new LineClient(t, cluster.of(name).lines));
  for (const client of clients) await once(client.socket, 'connect');
  const { status, body } = await cluster.switchover('a');
  assert.equal(status, 200, JSON.stringify(body));
  assert.deepEqual([body['to'], body['recordsLost'], body['clientsMoved']], ['b', 0, 0]);
  for (const client of clients) {
    await until('it is acked', async () => (await client.send('x'))?.startsWith('OK '));
    assert.equal(client.socket.destroyed, false);
  }
});
