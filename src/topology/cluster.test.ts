import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { freePort, LineClient, makeFolder, TestNode, until } from './testing/test-node.ts';

interface Status {
  readonly role: string;
  readonly term: number;
  readonly isReady: boolean;
  readonly keeperPid: number;
  readonly sparePids: readonly number[];
  readonly slots: readonly { readonly pid: number | null }[];
  readonly cluster: {
    readonly peers: readonly { readonly facts: { readonly name: string; readonly isReady: boolean } }[];
  };
}

interface ClusterNode {
  readonly name: string;
  readonly admin: string;
  readonly config: object;
  node: TestNode;
}

/** Nodes of one folder that would all listen on the same port. The first is active. */
class Cluster {
  readonly lines: number;
  readonly nodes: readonly ClusterNode[];
  readonly #t: TestContext;

  static async start(t: TestContext, names: readonly string[], extra: object = {}): Promise<Cluster> {
    const lines = await freePort();
    const data = makeFolder(t);
    const nodes: ClusterNode[] = [];
    for (const name of names) {
      const admin = `http://127.0.0.1:${await freePort()}`;
      const listen = [`tcp://127.0.0.1:${lines}?topic=data_queue`];
      const cluster = { mode: 'active-standby', minTenureMs: 0, heartbeatTimeoutMs: 500 };
      const config = { name, data, workers: 2, listen, admin, cluster, ...extra };
      const node = new TestNode(t, makeFolder(t), config);
      await node.event('node_ready');
      nodes.push({ name, admin, config, node });
    }
    return new Cluster(t, lines, nodes);
  }

  constructor(t: TestContext, lines: number, nodes: readonly ClusterNode[]) {
    this.#t = t;
    this.lines = lines;
    this.nodes = nodes;
  }

  async get(name: string, path = '/admin/v1/status'): Promise<{ status: number; body: unknown }> {
    const response = await fetch(`${this.of(name).admin}${path}`);
    return { status: response.status, body: await response.json() };
  }

  async status(name: string): Promise<Status> {
    return (await this.get(name)).body as Status;
  }

  async switchover(name: string, body: object = {}): Promise<{ status: number; body: { [field: string]: unknown } }> {
    const response = await fetch(`${this.of(name).admin}/admin/v1/switchover`, {
      method: 'POST',
      body: JSON.stringify(body),
    });
    return { status: response.status, body: (await response.json()) as { [field: string]: unknown } };
  }

  of(name: string): ClusterNode {
    return this.nodes.find((each) => each.name === name) as ClusterNode;
  }

  async signalAll(name: string, signal: NodeJS.Signals): Promise<readonly number[]> {
    const { keeperPid, slots, sparePids } = await this.status(name);
    const pids = [keeperPid, ...slots.flatMap(({ pid }) => pid ?? []), ...sparePids];
    for (const pid of pids) process.kill(pid, signal);
    return pids;
  }

  async restart(name: string): Promise<void> {
    const node = this.of(name);
    await node.node.exitCode();
    node.node = new TestNode(this.#t, node.node.folder, node.config);
    await node.node.event('node_ready');
  }

  async isReadyAsSeenBy(name: string, peer: string): Promise<boolean> {
    const { peers } = (await this.status(name)).cluster;
    return peers.some(({ facts }) => facts.name === peer && facts.isReady);
  }

  /** Until `name` is active and serves. */
  activated(name: string): Promise<Status> {
    return until(`${name} is active`, async () => {
      const status = await this.status(name);
      return status.role === 'active' && status.isReady ? status : undefined;
    });
  }

  /** The place at which the record was stored, by whoever is active by then. */
  store(text: string): Promise<string> {
    return until(`${text} is acked`, async () => {
      const answer = await new LineClient(this.#t, this.lines).send(text);
      return answer?.startsWith('OK ') === true ? answer : undefined;
    });
  }

  async records(): Promise<number> {
    const active = await Promise.any(
      this.nodes.map(async ({ name }) => {
        const { status, body } = await this.get(name, '/admin/v1/topics');
        if (status !== 200) throw new Error(`${name} stands by`);
        return body as { partitions: { nextOffset: number }[] }[];
      }),
    );
    return active.flatMap(({ partitions }) => partitions).reduce((sum, { nextOffset }) => sum + nextOffset, 0);
  }
}

const isGone = (pid: number): boolean => {
  try {
    return /^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return true;
  }
};

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
