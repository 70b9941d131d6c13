/** What the client makes of the ways in which a node ends a connection. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../src/core/testing/until.ts';
import type { ClientState } from './api.ts';
import { connect } from './index.ts';
import { ScriptedNode } from './scripted-node.fixture.ts';

const closing = { code: 'TANDEM_X', message: 'because', hint: 'none', positions: { t: 'told' } };

test('4000-4099: it stops; everything that waits is rejected with the error', async (t) => {
  const node = await ScriptedNode.start(t, 1);
  const states: ClientState[] = [];
  const client = connect({ addresses: node.address, onState: (state) => states.push(state) });
  const subscription = client.subscribe('t');
  await until('it is live', () => subscription.position !== undefined);
  node.script = () => true;
  const waiting = client.publish('t', 'a');
  node.notify('closing', closing);
  for (const socket of node.sockets) socket.close(4044, 'TANDEM_X');
  await assert.rejects(waiting, { code: 'TANDEM_X', message: 'because', hint: 'none' });
  await assert.rejects(subscription.closed, { code: 'TANDEM_X' });
  await assert.rejects(client.publish('t', 'b'), { code: 'TANDEM_X' });
  assert.throws(() => client.subscribe('u'), { code: 'TANDEM_X' });
  assert.deepEqual(states.at(-1)?.state, 'closed');
  await client.close();
  assert.equal(node.connections, 1);
});

test('4100-4199: it waits before it comes again; 4200-4299: at once, with the next address and the told position', async (t) => {
  const first = await ScriptedNode.start(t, 1);
  const second = await ScriptedNode.start(t, 1);
  const delays: number[] = [];
  const client = connect({
    addresses: [first.address, second.address],
    onState: (state) => state.state === 'waiting' && delays.push(state.delayMs),
  });
  t.after(() => client.close({ flush: false }));
  const subscription = client.subscribe('t', { from: 'start' });
  await until('it is live', () => subscription.position !== undefined);
  first.notify('closing', { ...closing, code: 'TANDEM_DRAINING' });
  for (const socket of first.sockets) socket.close(4200, 'TANDEM_DRAINING');
  await until('it has moved', () => second.asked('subscribe').length === 1);
  assert.equal(second.asked('subscribe')[0]?.params.from, 'told');
  assert.equal(first.connections, 1);
  assert.ok((delays[0] as number) <= 5, `${delays}`);
  // With full jitter one delay may be short; all of them together are not (once in 20,000 runs).
  for (let round = 2; round <= 5; round++) {
    const { connections } = second;
    for (const socket of second.sockets) socket.close(4150, 'TANDEM_SESSION_SLOW');
    await until('it is back', () => second.connections > connections && second.asked('subscribe').length === round);
  }
  const [, ...patient] = delays;
  assert.ok(patient.reduce((sum, delayMs) => sum + delayMs, 0) > 150, `${patient}`);
});

test('a message that is too large for the node: the record is found and rejected, the others are stored', async (t) => {
  const node = await ScriptedNode.start(t, 1);
  node.script = ({ params }, socket) => {
    if (params.records?.some(({ data }) => data === 'large') !== true) return false;
    socket.close(1009);
    return true;
  };
  const client = connect({ addresses: node.address });
  t.after(() => client.close({ flush: false }));
  const results = await Promise.allSettled(['a', 'b', 'c', 'large', 'd'].map((data) => client.publish('t', data)));
  assert.deepEqual(
    results.map((result) => (result.status === 'fulfilled' ? 'stored' : result.reason.code)),
    ['stored', 'stored', 'stored', 'TANDEM_BATCH_TOO_LARGE', 'stored'],
  );
  assert.deepEqual(node.stored, ['a', 'b', 'c', 'd']);
});

test('the first address is dead: the second is used, and stays the first choice', async (t) => {
  const dead = await ScriptedNode.start(t, 1);
  const node = await ScriptedNode.start(t, 1);
  dead.stop();
  const tried: string[] = [];
  const client = connect({
    addresses: [dead.address, node.address],
    onState: (state) => state.state === 'connecting' && tried.push(new URL(state.address).origin),
  });
  t.after(() => client.close({ flush: false }));
  await client.publish('t', 'a');
  for (const socket of node.sockets) socket.terminate();
  await client.publish('t', 'b');
  assert.deepEqual(tried, [dead.address, node.address, node.address]);
  assert.deepEqual(node.stored, ['a', 'b']);
});
