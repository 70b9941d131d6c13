/** Subscriptions against a scripted node: repeats, holes, gaps, slow readers, resuming. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { until } from '../../src/core/testing/until.ts';
import type { Gap, SubscribeOptions, Subscription, SubscriptionState } from './api.ts';
import { connect } from './index.ts';
import { ScriptedNode } from './scripted-node.fixture.ts';

async function follow(t: TestContext, options: SubscribeOptions) {
  const node = await ScriptedNode.start(t, 1);
  const client = connect({ addresses: node.address });
  t.after(() => client.close({ flush: false }));
  const subscription = client.subscribe('t', options);
  await until('it is live', () => subscription.position !== undefined);
  return { node, client, subscription };
}

/** Breaks the connection and waits for the next `subscribe`. */
async function interrupt(node: ScriptedNode): Promise<string | undefined> {
  const { length } = node.asked('subscribe');
  for (const socket of node.sockets) socket.terminate();
  await until('it asks again', () => node.asked('subscribe').length > length);
  return node.asked('subscribe').at(-1)?.params.from;
}

test('each record once and in order; a repeat is dropped, a hole is told where it is', async (t) => {
  const heard: unknown[] = [];
  const states: SubscriptionState[] = [];
  const { node, subscription } = await follow(t, {
    from: 'start',
    onRecord: ({ offset, data, partition, timeMs, term, key }) =>
      heard.push([partition, offset, data, timeMs, term, key]),
    onGap: ({ missed, reason, position }) => heard.push({ missed, reason, position }),
    onState: (state) => states.push(state),
  });
  for (const offset of [0, 1, 1, 0, 2, 5]) node.record(offset, { key: 'k' });
  node.record(0, { partition: 1, data: undefined, base64: 'AP8=', position: 'last' });
  await until('all are there', () => subscription.position === 'last');
  assert.deepEqual(heard, [
    ...[0, 1, 2].map((offset) => [0, offset, `${offset}`, 1, 1, 'k']),
    { missed: 2, reason: 'skipped', position: 'after 5' },
    [0, 5, '5', 1, 1, 'k'],
    [1, 0, Uint8Array.of(0, 255), 1, 1, undefined],
  ]);
  assert.equal(await interrupt(node), 'last');
  await until('it is live again', () => states.length === 3);
  // What was delivered before the break is known after it.
  for (const offset of [5, 6]) node.record(offset);
  await until('the new one is there', () => heard.length === 7);
  assert.deepEqual(
    states.map((state) => (state.state === 'live' ? state.isResumed : state.state)),
    [false, 'interrupted', true],
  );
});

test('a lost position and a gap of the node are told; offsets may begin anew after them', async (t) => {
  const heard: (number | Gap['reason'])[] = [];
  const { node } = await follow(t, {
    from: 'start',
    onRecord: ({ offset }) => heard.push(offset),
    onGap: ({ reason }) => heard.push(reason),
  });
  for (const offset of [7, 8]) node.record(offset);
  node.script = ({ id, method }, socket) => {
    if (method !== 'subscribe') return false;
    node.answer(socket, id, { channel: 't', position: 'another history', isComplete: false });
    return true;
  };
  await until('both are there', () => heard.length === 2);
  await interrupt(node);
  await until('it is told', () => heard.length === 3);
  node.record(0);
  node.notify('gap', { channel: 't', position: 'further', missed: 3, reason: 'slow' });
  node.record(4);
  await until('all are there', () => heard.length === 6);
  assert.deepEqual(heard, [7, 8, 'lost', 0, 'slow', 4]);
});

test('without onGap a gap ends the subscription: it is never passed over in silence', async (t) => {
  const heard: number[] = [];
  const { node, client, subscription } = await follow(t, { onRecord: ({ offset }) => heard.push(offset) });
  for (const offset of [0, 2, 3]) node.record(offset);
  await assert.rejects(subscription.closed, { code: 'TANDEM_POSITION_LOST' });
  assert.deepEqual(heard, [0]);
  await until('the node is told', () => node.asked('unsubscribe').length === 1);
  const loop = client.subscribe('t');
  const read = (async () => {
    for await (const { offset } of loop) heard.push(offset);
  })();
  await until('it is live', () => loop.position !== undefined);
  for (const offset of [4, 6]) node.record(offset);
  await assert.rejects(read, { code: 'TANDEM_POSITION_LOST' });
  await assert.rejects(loop.closed, { code: 'TANDEM_POSITION_LOST' });
  assert.deepEqual(heard, [0, 4]);
});

test('a slow reader: the node is told to stop, and asked again from there; nothing is lost, memory is bounded', async (t) => {
  const heard: number[] = [];
  let open: () => void = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const { node, subscription } = await follow(t, {
    from: 'start',
    onRecord: async ({ offset }) => {
      if (offset === 0) await gate;
      heard.push(offset);
    },
  });
  for (let offset = 0; offset < 3000; offset++) node.record(offset);
  await until('it has had enough', () => node.asked('unsubscribe').length === 1);
  assert.equal(subscription.position, 'start');
  open();
  await until('it wants more', () => node.asked('subscribe').length === 2);
  const from = Number(/^after (\d+)$/.exec(node.asked('subscribe')[1]?.params.from ?? '')?.[1]);
  assert.ok(from >= 1000 && from < 2000, `${from}`);
  for (let offset = from + 1; offset < 3000; offset++) node.record(offset);
  await until(
    'all are there',
    () => heard.length > 0 && subscription.position === `after ${heard.length - 1}` && heard.length > from + 1,
  );
  assert.deepEqual(
    heard,
    Array.from({ length: heard.length }, (_, i) => i),
  );
});

test('the loop: records in order, the position behind the last one that was worked off, leaving it unsubscribes', async (t) => {
  const { node, client, subscription } = await follow(t, { from: 'start' });
  for (const offset of [0, 1, 2]) node.record(offset);
  const offsets: number[] = [];
  for await (const { offset } of subscription) {
    assert.equal(subscription.position, offset === 0 ? 'start' : `after ${offset - 1}`);
    offsets.push(offset);
    if (offset === 2) break;
  }
  assert.deepEqual(offsets, [0, 1, 2]);
  await subscription.closed;
  await until('the node is told', () => node.asked('unsubscribe').length === 1);
  const other = client.subscribe('t');
  assert.throws(() => client.subscribe('t'), { code: 'TANDEM_CLIENT_INVALID' });
  const ended = (async () => {
    for await (const { offset } of other) offsets.push(offset);
  })();
  await client.close();
  await ended;
  assert.throws(() => client.subscribe('t'), { code: 'TANDEM_CLIENT_CLOSED' });
});

test('what onRecord throws ends the subscription and nothing else; so does a refusal of the node', async (t) => {
  for (const fail of [
    () => {
      throw new RangeError('mine');
    },
    () => Promise.reject(new RangeError('mine')),
  ]) {
    const { node, client, subscription } = await follow(t, { onRecord: fail });
    node.record(0);
    const error = await subscription.closed.then(
      () => undefined,
      (thrown: { code: string; cause: Error }) => thrown,
    );
    assert.deepEqual([error?.code, error?.cause.message], ['TANDEM_CLIENT_INVALID', 'mine']);
    await client.publish('t', 'still there');
  }
  const node = await ScriptedNode.start(t, 1);
  let attempts = 0;
  node.script = ({ id, method }, socket) => {
    if (method !== 'subscribe') return false;
    attempts++;
    node.refuse(socket, id, attempts < 3 ? 'TANDEM_OWNER_UNAVAILABLE' : 'TANDEM_TOPIC_UNKNOWN', attempts < 3);
    return true;
  };
  const client = connect({ addresses: node.address });
  t.after(() => client.close({ flush: false }));
  const refused: Subscription = client.subscribe('none');
  await assert.rejects(refused.closed, { code: 'TANDEM_TOPIC_UNKNOWN' });
  assert.equal(attempts, 3);
});
