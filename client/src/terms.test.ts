/** What comes under an older term than the client has seen does not count. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../src/core/testing/until.ts';
import type { ClientState, ReceivedRecord } from './api.ts';
import { connect } from './index.ts';
import { ScriptedNode } from './scripted-node.fixture.ts';

test('a node that answers under an older term is left, asked nothing, and its records are not delivered', async (t) => {
  const old = await ScriptedNode.start(t, 5);
  const active = await ScriptedNode.start(t, 6);
  const states: ClientState[] = [];
  const addresses = [active.address, old.address];
  const client = connect({ addresses, onState: (state) => states.push(state) });
  t.after(() => client.close({ flush: false }));
  const records: ReceivedRecord[] = [];
  client.subscribe('t', { from: 'start', onRecord: (record) => records.push(record) });
  assert.equal((await client.publish('t', 'a')).term, 6);
  active.stop();
  // The old one is up all the time; it greets under its old term, and that is the end of it.
  await until('the old one was tried', () => old.connections > 0);
  const waiting = client.publish('t', 'b');
  const next = await ScriptedNode.start(t, 7, Number(new URL(active.address).port));
  assert.equal((await waiting).term, 7);
  assert.deepEqual(next.stored, ['b']);
  assert.deepEqual(old.stored, []);
  assert.deepEqual([...new Set(old.requests.map(({ method }) => method))], ['ping']);
  assert.ok(states.some((state) => state.state === 'waiting' && state.error.code === 'TANDEM_CLIENT_STALE'));
  assert.equal(client.term, 7);
  assert.deepEqual(records, []);
});

test('term 0 is no term: a node that only passes on is believed whatever was seen before', async (t) => {
  const active = await ScriptedNode.start(t, 6);
  const front = await ScriptedNode.start(t, 0);
  const client = connect({ addresses: [active.address, front.address] });
  t.after(() => client.close({ flush: false }));
  await client.publish('t', 'a');
  active.stop();
  assert.equal((await client.publish('t', 'b')).term, 0);
  assert.equal(client.term, 6);
});

test('an acknowledgement under an older term is none: the record goes again, to another node', async (t) => {
  const first = await ScriptedNode.start(t, 6);
  const second = await ScriptedNode.start(t, 6);
  first.script = (request, socket) => {
    if (request.method !== 'publish') return false;
    first.answer(socket, request.id, first.store(request), 5);
    return true;
  };
  const client = connect({ addresses: [first.address, second.address] });
  t.after(() => client.close({ flush: false }));
  const { term, isDuplicate } = await client.publish('t', 'a');
  assert.deepEqual([term, isDuplicate], [6, false]);
  assert.deepEqual(second.stored, ['a']);
  const [again] = second.asked('publish');
  assert.deepEqual(again?.params, first.asked('publish')[0]?.params);
});

test('a record or a gap under an older term ends the link and is not delivered; the subscription goes on elsewhere', async (t) => {
  for (const stale of ['record', 'gap'] as const) {
    const first = await ScriptedNode.start(t, 6);
    const second = await ScriptedNode.start(t, 6);
    const client = connect({ addresses: [first.address, second.address] });
    t.after(() => client.close({ flush: false }));
    const offsets: number[] = [];
    const gaps: unknown[] = [];
    const subscription = client.subscribe('t', {
      from: 'start',
      onRecord: ({ offset }) => offsets.push(offset),
      onGap: (gap) => gaps.push(gap),
    });
    await until('it is live', () => subscription.position !== undefined);
    first.record(0);
    first.notify(stale, { channel: 't', position: 'x', partition: 0, offset: 1, missed: 1, reason: 'lost' }, 5);
    first.record(2);
    await until('it has moved on', () => second.asked('subscribe').length > 0);
    assert.equal(second.asked('subscribe')[0]?.params.from, 'after 0');
    await until('the answer was taken', () => {
      second.record(1);
      return offsets.length === 2;
    });
    assert.deepEqual([offsets, gaps], [[0, 1], []]);
  }
});
