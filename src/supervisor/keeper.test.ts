import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import {
  activate,
  createKeeper,
  datagramOn,
  isAlive,
  planOf,
  portOf,
  StubClient,
  startKeeper,
  streamOn,
  until,
} from './testing/stub-node-process.ts';

test('40 connections over 4 workers are 10 each', async (t) => {
  const keeper = await startKeeper(t, planOf({ count: 4 }));
  const clients = Array.from({ length: 40 }, () => new StubClient(t, portOf(keeper)));
  const slots = (await Promise.all(clients.map((client) => client.who()))).map(({ slot }) => slot);
  for (const slot of [0, 1, 2, 3]) assert.equal(slots.filter((other) => other === slot).length, 10);
  // Three of slot 2 leave: the next three go there.
  const leaving = clients.filter((_, i) => slots[i] === 2).slice(0, 3);
  for (const { socket } of leaving) socket.destroy();
  await until('slot 2 has 7', () => keeper.status.slots[2]?.connections === 7);
  for (let i = 0; i < 3; i++) assert.equal((await new StubClient(t, portOf(keeper)).who()).slot, 2);
});

test('a killed worker is replaced by the spare under a higher term, and a connection made meanwhile only waits', async (t) => {
  const keeper = await startKeeper(t, planOf());
  const before = await new StubClient(t, portOf(keeper)).who();
  const spare = await until('there is a spare', () => keeper.status.sparePids[0]);
  process.kill(before.pid, 'SIGKILL');
  const after = await until('another answers', async () => {
    const now = await new StubClient(t, portOf(keeper)).who();
    return now.pid !== before.pid && now.pid !== 0 && now;
  });
  assert.equal(after.slot, before.slot);
  assert.ok(after.term > before.term);
  assert.equal(after.pid, spare);
  const next = await until('there is a spare again', () => keeper.status.sparePids[0]);
  assert.notEqual(next, spare);
  assert.equal(keeper.status.slots[0]?.restarts, 1);
  assert.equal(keeper.status.connections.refused, 0);
});

for (const how of ['a blocked event loop', 'SIGSTOP'] as const) {
  test(`a worker hung by ${how} is killed; a connection it was given but never took is served by the next one`, async (t) => {
    const keeper = await startKeeper(t, planOf());
    const first = new StubClient(t, portOf(keeper));
    const before = await first.who();
    if (how === 'SIGSTOP') process.kill(before.pid, 'SIGSTOP');
    else first.socket.write('block\n');
    await until('it is silent', () => keeper.status.slots[0]?.state === 'serving');
    const waiting = new StubClient(t, portOf(keeper));
    const after = await waiting.who();
    assert.notEqual(after.pid, before.pid);
    assert.ok(after.term > before.term);
    assert.ok(!isAlive(before.pid));
    assert.equal(await first.ask('who'), undefined);
  });
}

test('datagrams reach the workers, not the keeper, also after a restart', async (t) => {
  const keeper = await startKeeper(t, planOf({ count: 2 }, { label: 'a' }, [streamOn(), datagramOn()]));
  const port = portOf(keeper, 1);
  const client = createSocket('udp4');
  t.after(() => client.close());
  const ask = async (): Promise<string> => {
    client.send('who', port, '127.0.0.1');
    const [answer] = (await once(client, 'message', { signal: AbortSignal.timeout(10_000) })) as [Buffer];
    return answer.toString();
  };
  for (let i = 0; i < 100; i++) assert.match(await ask(), / a 1$/);
  const victims = keeper.status.slots.map(({ pid }) => pid as number);
  for (const pid of victims) process.kill(pid, 'SIGKILL');
  const answer = await ask();
  assert.ok(!victims.includes(Number(answer.split(' ')[0])));
});

test('all addresses that cannot be bound are named at once, and nothing is left behind', async (t) => {
  const taken = [createServer().listen(0, '127.0.0.1'), createServer().listen(0, '127.0.0.1')];
  await Promise.all(taken.map((server) => once(server, 'listening')));
  t.after(() => taken.forEach((server) => void server.close()));
  const [a, b] = taken.map((server) => (server.address() as { port: number }).port);
  const keeper = createKeeper(t, planOf({}, { label: 'a' }, [streamOn(a), datagramOn(), streamOn(b)]));
  await assert.rejects(activate(keeper), (error: Error & { code: string }) => {
    assert.equal(error.code, 'TANDEM_LISTEN_FAILED');
    assert.match(
      error.message,
      new RegExp(`tcp://127.0.0.1:${a}: the port is in use.*tcp://127.0.0.1:${b}: the port is in use`),
    );
    return true;
  });
  assert.deepEqual(keeper.status.listeners, []);
  assert.equal(keeper.status.isActive, false);
  assert.deepEqual(
    keeper.status.slots.map(({ pid }) => pid),
    [null],
  );
});

test('the start fails at once with what no retry can mend, and no slot has a process', async (t) => {
  const keeper = createKeeper(t, planOf({ count: 2 }, { label: 'a', broken: 'preload-for-good' }));
  await assert.rejects(activate(keeper), { code: 'TANDEM_HANDLER_INVALID' });
  assert.deepEqual(
    keeper.status.slots.map(({ pid }) => pid),
    [null, null],
  );
});

test('a worker that dies before it serves is started again with growing delays, not in a spin', async (t) => {
  const keeper = createKeeper(t, planOf({}, { label: 'a', broken: 'open' }));
  const startedMs = performance.now();
  activate(keeper).catch(() => {});
  await until('it was started four times', () => (keeper.status.slots[0]?.restarts ?? 0) >= 4);
  // Four deaths: waits of 100, 200 and 400 ms lie between them.
  assert.ok(performance.now() - startedMs >= 700);
});

test('questions are answered per slot, refusals too', async (t) => {
  const keeper = await startKeeper(t, planOf({ count: 2 }));
  const status = await keeper.ask({ about: 'admin', request: { kind: 'status' } });
  assert.deepEqual(
    status.answers.map(({ slot }) => slot),
    [0, 1],
  );
  const topics = await keeper.ask({ about: 'admin', request: { kind: 'topics' } });
  assert.deepEqual(
    topics.failures.map(({ slot, error }) => [slot, error.code, error.message]),
    [0, 1].map((slot) => [slot, 'TANDEM_CONSUMER_UNKNOWN', 'there is no such consumer: topics']),
  );
});

test('a command reaches a worker that is being built, which knows what was paused before', async (t) => {
  const paused: string[] = [];
  const keeper = createKeeper(t, planOf({ count: 2 }, { label: 'a', buildMs: 400 }), () => paused);
  await activate(keeper);
  paused.push('save');
  await until('there is a spare', () => keeper.status.sparePids.length > 0);
  process.kill(keeper.status.slots[1]?.pid ?? 0, 'SIGKILL');
  await until('its successor is being built', () => keeper.status.slots[1]?.state === 'recovered');
  const { answers, failures } = await keeper.commandAll({ kind: 'pause', consumer: 'x' });
  assert.deepEqual(
    answers.map(({ result }) => result),
    [
      { paused: [], builds: 1 },
      { paused: ['save'], builds: 1 },
    ],
  );
  assert.deepEqual(failures, []);
});

test('a worker that is being built while another one recovers is built once', async (t) => {
  const keeper = createKeeper(t, planOf({ count: 2 }, { label: 'a', buildMs: 400 }));
  await activate(keeper);
  await until('there is a spare', () => keeper.status.sparePids.length > 0);
  const killed = keeper.status.slots;
  for (const { pid } of killed) process.kill(pid ?? 0, 'SIGKILL');
  await until('both are being built, or one is done', () =>
    keeper.status.slots.every(({ term, state }, i) => {
      return term > (killed[i]?.term ?? 0) && (state === 'recovered' || state === 'serving');
    }),
  );
  const { answers } = await keeper.commandAll({ kind: 'pause', consumer: 'x' });
  assert.deepEqual(
    answers.map(({ result }) => result),
    Array.from({ length: 2 }, () => ({ paused: [], builds: 1 })),
  );
});

test('a worker that dies instead of obeying is no failure of the command', async (t) => {
  const keeper = await startKeeper(t, planOf({ count: 2, heartbeatTimeoutMs: 5000 }));
  const victim = keeper.status.slots[1]?.pid ?? 0;
  process.kill(victim, 'SIGSTOP');
  const commanded = keeper.commandAll({ kind: 'pause', consumer: 'x' });
  process.kill(victim, 'SIGKILL');
  const { answers, failures } = await commanded;
  assert.deepEqual([answers.map(({ slot }) => slot), failures], [[0], []]);
  await assert.rejects(keeper.command(7, { kind: 'pause', consumer: 'x' }), { code: 'TANDEM_WORKER_LOST' });
});

test('workers know the health that the keeper last told', async (t) => {
  const keeper = await startKeeper(t, planOf());
  const client = new StubClient(t, portOf(keeper));
  keeper.setHealth({ isReady: false, role: 'active', term: 1, reason: 'the-disk-is-full' });
  await until('the worker knows', async () => (await client.ask('health')) === 'the-disk-is-full');
});

test('a node that stands by is warm and binds nothing; it becomes active, and stands by again, with nothing refused in between', async (t) => {
  const keeper = createKeeper(t, planOf({ count: 2 }));
  keeper.start();
  await keeper.warmed();
  assert.deepEqual(keeper.status.listeners, []);
  assert.equal(keeper.status.isWarm, true);
  const warm = new Set(keeper.status.sparePids);
  assert.equal(warm.size, 2);

  await keeper.activate(5, { issueTerm: () => 6 });
  const slots = keeper.status.slots.map(({ pid }) => pid as number);
  assert.ok(
    slots.every((pid) => warm.has(pid)),
    'the warm processes have the slots',
  );
  const port = portOf(keeper);
  const client = new StubClient(t, port);
  assert.equal((await client.who()).term, 6);

  assert.deepEqual(await keeper.deactivate(1000), { records: 0, clients: 1 });
  assert.deepEqual(slots.filter(isAlive), []);
  assert.equal(await new StubClient(t, port).ask('who'), undefined, 'nobody listens');
  assert.equal(keeper.status.isActive, false);

  await keeper.warmed();
  await keeper.activate(8, { issueTerm: () => 9 });
  assert.equal((await new StubClient(t, portOf(keeper)).who()).term, 9);
});

test('slots that are the node’s own are open while it stands by, and serve once it is active', async (t) => {
  const keeper = createKeeper(t, planOf({ count: 2 }, { label: 'a' }));
  let term = 0;
  const right = { issueTerm: () => ++term };
  const areOpen = (): boolean => keeper.status.slots.every(({ state }) => state === 'recovered');
  keeper.start();
  keeper.openSlots(right);
  await until('both are open', areOpen);
  assert.deepEqual([keeper.status.isActive, keeper.status.isWarm, keeper.status.listeners.length], [false, true, 0]);
  const opened = keeper.status.slots.map(({ pid }) => pid);

  process.kill(opened[0] as number, 'SIGKILL');
  await until('another has it', () => areOpen() && keeper.status.slots[0]?.pid !== opened[0]);
  await keeper.activate(7, right);
  assert.equal(keeper.status.slots[1]?.pid, opened[1]);
  assert.equal((await new StubClient(t, portOf(keeper)).who()).label, 'a');

  await keeper.deactivate(1000);
  keeper.openSlots(right);
  await until('both are open again', areOpen);
  assert.equal(keeper.status.isActive, false);
});

test('cut while it becomes active: the processes are killed and activate says so', async (t) => {
  const keeper = createKeeper(t, planOf({ count: 2 }, { label: 'a', buildMs: 60_000 }));
  keeper.start();
  await keeper.warmed();
  const activation = keeper.activate(5, { issueTerm: () => 6 });
  const refused = assert.rejects(activation, { code: 'TANDEM_TERM_FENCED' });
  await until('the slots are taken', () => keeper.status.slots.every(({ pid }) => pid !== null));
  const pids = keeper.status.slots.map(({ pid }) => pid as number);
  await keeper.cut('the lease is lost');
  await refused;
  assert.deepEqual(pids.filter(isAlive), []);
  assert.deepEqual(keeper.status.listeners, []);
});

test('a standby that loses a warm process forks another one, though the others are well', async (t) => {
  const keeper = createKeeper(t, planOf({ count: 2 }));
  keeper.start();
  await keeper.warmed();
  const killed = keeper.status.sparePids[0] as number;
  process.kill(killed, 'SIGKILL');
  await until('it is lost', () => !keeper.status.sparePids.includes(killed));
  await keeper.warmed();
  assert.equal(keeper.status.sparePids.length, 2);
});
