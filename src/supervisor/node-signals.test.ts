import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { datagramOn, isAlive, planOf, StubClient, StubNode, streamOn, until } from './testing/stub-node-process.ts';

test('SIGTERM drains: exit code 0 and no process left', async (t) => {
  const node = await StubNode.start(t, planOf({ count: 2 }));
  const { pids, ports } = await node.ready();
  const client = new StubClient(t, ports[0] as number);
  await client.who();
  node.child.kill('SIGTERM');
  assert.equal(await node.exitCode(), 0);
  for (const pid of pids) assert.ok(!isAlive(pid));
  assert.equal(await client.ask('who'), undefined);
});

test('a second signal stops at once', async (t) => {
  const node = await StubNode.start(t, planOf({ drainTimeoutMs: 60_000 }));
  const { pids, ports } = await node.ready();
  const client = new StubClient(t, ports[0] as number);
  client.socket.write('block\n');
  node.child.kill('SIGTERM');
  await node.event('stopping');
  node.child.kill('SIGTERM');
  assert.equal(await node.exitCode(), 143);
  await until('its workers are gone', () => pids.every((pid) => !isAlive(pid)));
});

test('kill -9 of the keeper leaves no process, and the node starts again on the same ports', async (t) => {
  const node = await StubNode.start(t, planOf({ count: 2 }, { label: 'a' }, [streamOn(), datagramOn()]));
  const { pids, ports } = await node.ready();
  node.child.kill('SIGKILL');
  await until('its workers are gone', () => pids.every((pid) => !isAlive(pid)));
  const listen = [streamOn(ports[0]), datagramOn(ports[1])];
  const next = await StubNode.start(t, planOf({ count: 2 }, { label: 'b' }, listen));
  await next.ready();
  assert.equal((await new StubClient(t, ports[0] as number).who()).label, 'b');
});

/** One connection after the other, each must be answered. */
async function connectContinuously(
  t: Parameters<typeof StubNode.start>[0],
  port: number,
  labels: string[],
  signal: AbortSignal,
) {
  while (!signal.aborted) {
    const client = new StubClient(t, port);
    const { label } = await client.who();
    client.socket.destroy();
    labels.push(label);
  }
}

test('SIGHUP replaces all workers one by one with the new config, and no connection is refused or left without an answer', async (t) => {
  const node = await StubNode.start(t, planOf({ count: 2 }, { label: 'a' }, [streamOn(), datagramOn()]));
  const { pids, ports } = await node.ready();
  const labels: string[] = [];
  const load = new AbortController();
  const running = connectContinuously(t, ports[0] as number, labels, load.signal);
  await node.rewrite(planOf({ count: 2 }, { label: 'b' }, [{ ...streamOn(), url: 'tcp://other' }, streamOn()]));
  node.child.kill('SIGHUP');
  await node.event('reloaded');
  await until('the new config answers', () => labels.at(-1) === 'b');
  load.abort();
  await running;
  assert.deepEqual([...new Set(labels)].sort(), ['a', 'b'], 'an empty label is a connection without an answer');
  for (const pid of pids) assert.ok(!isAlive(pid));
  assert.ok(!node.events.some(({ event }) => event === 'worker_died'));
});

test('SIGHUP binds added addresses and closes removed ones', async (t) => {
  const node = await StubNode.start(t, planOf({}, { label: 'a' }, [streamOn()]));
  const { ports } = await node.ready();
  const port = ports[0] as number;
  const other: Parameters<typeof planOf>[2] = [{ ...streamOn(port), host: '127.0.0.2' }];
  await node.rewrite(planOf({}, { label: 'b' }, other));
  node.child.kill('SIGHUP');
  await node.event('reloaded');
  assert.equal((await new StubClient(t, port, '127.0.0.2').who()).label, 'b');
  assert.equal(await new StubClient(t, port).ask('who'), undefined);
});

for (const [what, plan, code] of [
  ['a config that its workers cannot load', planOf({}, { label: 'b', broken: 'preload' }), 'TANDEM_INTERNAL'],
  ['another number of workers', planOf({ count: 2 }, { label: 'b' }), 'TANDEM_CONFIG_INVALID'],
  [
    'an address that cannot be bound',
    planOf({}, { label: 'b' }, [streamOn(), { ...streamOn(), host: '192.0.2.1' }]),
    'TANDEM_LISTEN_FAILED',
  ],
] as const) {
  test(`SIGHUP with ${what} changes nothing`, async (t) => {
    const node = await StubNode.start(t, planOf());
    const { ports } = await node.ready();
    const before = await new StubClient(t, ports[0] as number).who();
    await node.rewrite(plan);
    node.child.kill('SIGHUP');
    assert.equal((await node.event('reload_refused'))['code'], code);
    assert.deepEqual(await new StubClient(t, ports[0] as number).who(), before);
  });
}

test('a reload that its workers cannot load leaves none of its new addresses bound', async (t) => {
  const node = await StubNode.start(t, planOf());
  const { ports } = await node.ready();
  const port = ports[0] as number;
  // The same port under another host of this machine: surely free.
  const added = { ...streamOn(port), host: '127.0.0.2' };
  await node.rewrite(planOf({}, { label: 'b', broken: 'preload' }, [streamOn(), added]));
  node.child.kill('SIGHUP');
  await node.event('reload_refused');
  const refused = connect(port, '127.0.0.2');
  t.after(() => refused.destroy());
  await assert.rejects(once(refused, 'connect'), { code: 'ECONNREFUSED' });
  assert.equal((await new StubClient(t, port).who()).label, 'a');
});
