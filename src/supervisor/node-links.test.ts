import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { NodeFacts, PeerEvent } from '../core/contracts/cluster.ts';
import { TandemError } from '../core/errors.ts';
import { until } from '../core/testing/until.ts';
import { NodeLinks } from './node-links.ts';
import { holderOf, NodeRegistry } from './node-registry.ts';

const skip = existsSync('/proc/self/stat') ? false : 'there is no /proc here';

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-links-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function nodeIn(t: TestContext, folder: string, name: string) {
  const registry = new NodeRegistry(folder);
  const self = { name, incarnation: `${name}1` };
  const roll = registry.rollOf(self);
  const links = new NodeLinks({ registry, self, heartbeatTimeoutMs: 1000 });
  t.after(() => links.close());
  const events: PeerEvent[] = [];
  links.onEvent((event) => events.push(event));
  const facts = (over: Partial<NodeFacts> = {}): NodeFacts => ({
    serial: 1,
    name,
    holder: holderOf(self),
    role: 'standby',
    term: 0,
    isReady: true,
    reason: 'ok',
    adminUrl: '',
    version: '1',
    sinceMs: 0,
    takeovers: [],
    ...over,
  });
  return { links, events, facts, roll, self, registry, names: () => links.peers.map((peer) => peer.facts.name).sort() };
}

test('nodes find each other, hear what changes, and that one is gone', async (t) => {
  const folder = folderOf(t);
  const a = nodeIn(t, folder, 'a');
  a.links.tell(a.facts());
  const b = nodeIn(t, folder, 'b');
  const c = nodeIn(t, folder, 'c');
  b.links.tell(b.facts());
  c.links.tell(c.facts());
  await until('all know all', () => [a, b, c].every((node) => node.names().length === 2), 5000);

  a.links.tell(a.facts({ role: 'active', term: 7 }));
  await until('b hears it', () => b.links.peers.some(({ facts }) => facts.role === 'active' && facts.term === 7), 5000);

  a.links.close();
  await until('b and c have lost a', () => [b, c].every(({ names }) => !names().includes('a')), 5000);
  assert.deepEqual(
    b.events.filter(({ kind }) => kind === 'lost').map(({ peer }) => [peer.facts.name, peer.facts.term]),
    [['a', 7]],
  );
});

test('a request is answered, with an error too, and fails when the peer goes', async (t) => {
  const folder = folderOf(t);
  const a = nodeIn(t, folder, 'a');
  const b = nodeIn(t, folder, 'b');
  a.links.onRequest(async (request) => {
    if (request.kind === 'prepare') return { from: request.from };
    if (request.to === 'nobody') return new Promise(() => {});
    throw new TandemError('TANDEM_SWITCHOVER_REFUSED', { detail: 'too young', data: { retryInMs: 5 } });
  });
  a.links.tell(a.facts());
  b.links.tell(b.facts());
  await until('they are linked', () => b.names().length === 1, 5000);
  assert.deepEqual(await b.links.request('a', { kind: 'prepare', from: 'b', timeoutMs: 1 }, 5000), { from: 'b' });
  await assert.rejects(b.links.request('a', { kind: 'switchover', to: null, timeoutMs: 1 }, 5000), {
    code: 'TANDEM_SWITCHOVER_REFUSED',
    message: /: too young$/,
    data: { retryInMs: 5 },
  });
  await assert.rejects(b.links.request('x', { kind: 'switchover', to: null, timeoutMs: 1 }, 5000), {
    code: 'TANDEM_PEER_LOST',
  });
  const unanswered = b.links.request('a', { kind: 'switchover', to: 'nobody', timeoutMs: 1 }, 60_000);
  a.links.close();
  await assert.rejects(unanswered, { code: 'TANDEM_PEER_LOST' });
});

test('what does not speak the protocol is cut off and disturbs nobody', async (t) => {
  const folder = folderOf(t);
  const a = nodeIn(t, folder, 'a');
  a.links.tell(a.facts());
  for (const text of ['nonsense\n', '{"kind":"other"}\n', 'x'.repeat(300_000)]) {
    const socket = connect(a.registry.socketPath(a.self));
    socket.on('error', () => {});
    socket.resume().write(text);
    await new Promise((resolve) => socket.once('close', resolve));
  }
  const b = nodeIn(t, folder, 'b');
  b.links.tell(b.facts());
  await until('b still finds a', () => b.names().includes('a'), 5000);
});

test('fencing ends every process of that incarnation, also of a node that nobody is linked with', {
  skip,
}, async (t) => {
  const folder = folderOf(t);
  const a = nodeIn(t, folder, 'a');
  const stopped = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  const other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  t.after(() => [stopped, other].forEach((child) => void child.kill('SIGKILL')));
  const old = { name: 'b', incarnation: 'b1' };
  a.registry.rollOf(old).add(stopped.pid as number);
  a.registry.rollOf({ name: 'b', incarnation: 'b2' }).add(other.pid as number);
  stopped.kill('SIGSTOP');
  const exited = once(stopped, 'exit');
  await a.links.fence({ name: 'b', holder: holderOf(old) });
  await exited;
  assert.equal(stopped.signalCode, 'SIGKILL');
  assert.equal(other.signalCode, null);
  await a.links.fence({ name: 'b', holder: holderOf(old) });
});
