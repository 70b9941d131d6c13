/** Publishing against a scripted node: order, bounds, refusals, and what goes again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../src/core/testing/until.ts';
import { connect } from './index.ts';
import { ScriptedNode } from './scripted-node.fixture.ts';

test('what is published together goes together; what is published meanwhile goes in the next request', async (t) => {
  const node = await ScriptedNode.start(t, 1);
  const client = connect({ addresses: node.address, inFlightMax: 4 });
  t.after(() => client.close({ flush: false }));
  const results = await Promise.all(Array.from({ length: 10 }, (_, i) => client.publish('t', `${i}`)));
  assert.deepEqual(
    results.map(({ offset }) => offset),
    Array.from({ length: 10 }, (_, i) => i),
  );
  assert.deepEqual(
    node.asked('publish').map(({ params }) => [params.sequence, params.records?.length]),
    [
      [1, 4],
      [5, 4],
      [9, 2],
    ],
  );
  // Sixteen loops that each wait for their answer still share requests.
  const before = node.asked('publish').length;
  const loop = async (name: string): Promise<void> => {
    for (let i = 0; i < 10; i++) await client.publish('u', `${name} ${i}`);
  };
  await Promise.all(Array.from({ length: 4 }, (_, i) => loop(`${i}`)));
  assert.ok(node.asked('publish').length - before <= 20, 'about one request for each four records');
});

test('a receipt says what the record has reached, and that its place is not known yet', async (t) => {
  const node = await ScriptedNode.start(t, 1);
  const client = connect({ addresses: node.address });
  t.after(() => client.close({ flush: false }));
  const receipts = [{ epoch: '', partition: 2, offset: null, count: 2 }];
  node.script = ({ id, method }, socket) => {
    if (method !== 'publish') return false;
    node.answer(socket, id, { ack: 'flushed', receipts });
    return true;
  };
  const [first, second] = await Promise.all([client.publish('t', 'a'), client.publish('t', 'b')]);
  const expected = { topic: 't', partition: 2, offset: null, epoch: '', term: 1, ack: 'flushed', isDuplicate: false };
  assert.deepEqual([first, second], [expected, expected]);
  // A node of an earlier version.
  node.script = () => false;
  assert.equal((await client.publish('u', 'c')).ack, undefined);
});

test('unacknowledged records go again after the link broke, with the same sequences, and only those', async (t) => {
  const node = await ScriptedNode.start(t, 1);
  const client = connect({ addresses: node.address, inFlightMax: 3 });
  t.after(() => client.close({ flush: false }));
  let publishes = 0;
  // The second request is stored and its answer is lost; the third is lost itself.
  node.script = (request, socket) => {
    if (request.method !== 'publish') return false;
    publishes++;
    if (publishes === 2) node.store(request);
    if (publishes === 2 || publishes === 3) socket.terminate();
    return publishes === 2 || publishes === 3;
  };
  const values = Array.from({ length: 8 }, (_, i) => `${i}`);
  const receipts = await Promise.all(values.map((value) => client.publish('t', value)));
  assert.deepEqual(node.stored, values);
  assert.deepEqual(
    node.asked('publish').map(({ params }) => params.sequence),
    [1, 4, 4, 4, 7],
  );
  assert.deepEqual(
    receipts.map(({ isDuplicate }) => isDuplicate),
    [false, false, false, true, true, true, false, false],
  );
});

test('refused for good: the one record is rejected, nothing behind it overtakes it; refused for now: it is tried again', async (t) => {
  const node = await ScriptedNode.start(t, 1);
  const client = connect({ addresses: node.address });
  t.after(() => client.close({ flush: false }));
  let isFull = true;
  node.script = (request, socket) => {
    const { id, params } = request;
    if (params.records?.some(({ data }) => data === 'bad')) node.refuse(socket, id, 'TANDEM_RECORD_TOO_LARGE', false);
    else if (isFull && params.records !== undefined) node.refuse(socket, id, 'TANDEM_DISK_FULL', true);
    else return false;
    isFull = false;
    return true;
  };
  const values = ['a', 'b', 'bad', 'c', 'd', 'e', 'bad', 'f'];
  const results = await Promise.allSettled(values.map((value) => client.publish('t', value)));
  assert.deepEqual(
    results.map((result) => (result.status === 'fulfilled' ? result.value.offset : result.reason.code)),
    [0, 1, 'TANDEM_RECORD_TOO_LARGE', 2, 3, 4, 'TANDEM_RECORD_TOO_LARGE', 5],
  );
  assert.deepEqual(node.stored, ['a', 'b', 'c', 'd', 'e', 'f']);
});

test('who closes the client at the first refusal has nothing stored that was published after it', async (t) => {
  const node = await ScriptedNode.start(t, 1);
  const client = connect({ addresses: node.address });
  node.script = ({ id, params }, socket) => {
    if (params.records?.some(({ data }) => data === 'bad') !== true) return false;
    node.refuse(socket, id, 'TANDEM_RECORD_TOO_LARGE', false);
    return true;
  };
  const publishAll = async (): Promise<void> => {
    try {
      await Promise.all(['a', 'bad', 'b'].map((value) => client.publish('t', value)));
    } finally {
      // The news may have a long way to who closes the client.
      for (let hops = 0; hops < 50; hops++) await Promise.resolve();
      await client.close({ flush: false });
    }
  };
  await assert.rejects(publishAll(), { code: 'TANDEM_RECORD_TOO_LARGE' });
  assert.deepEqual(node.stored, ['a']);
});

test('bounds: the queue in records and bytes, the deadline, and a closed client', async (t) => {
  const node = await ScriptedNode.start(t, 1);
  node.script = ({ method }) => method === 'publish';
  const client = connect({ addresses: node.address, queueMax: 2, queueBytesMax: 1000, deadlineMs: 200 });
  t.after(() => client.close({ flush: false }));
  const large = client.publish('t', 'x'.repeat(950));
  await assert.rejects(client.publish('t', 'y'.repeat(100)), { code: 'TANDEM_CLIENT_QUEUE_FULL' });
  const small = client.publish('t', 'z');
  await assert.rejects(client.publish('t', ''), { code: 'TANDEM_CLIENT_QUEUE_FULL' });
  await assert.rejects(large, { code: 'TANDEM_CLIENT_DEADLINE' });
  await assert.rejects(small, { code: 'TANDEM_CLIENT_DEADLINE' });
  assert.equal(client.pending, 0);
  // What was given up is not sent again.
  node.script = () => false;
  for (const socket of node.sockets) socket.terminate();
  assert.equal((await client.publish('t', 'later')).offset, 0);
  assert.deepEqual(node.stored, ['later']);
  node.script = ({ method }) => method === 'publish';
  const last = client.publish('t', 'last');
  await Promise.all([client.close({ flush: false }), assert.rejects(last, { code: 'TANDEM_CLIENT_CLOSED' })]);
  await assert.rejects(client.publish('t', 'x'), { code: 'TANDEM_CLIENT_CLOSED' });
});

test('close waits for what was published', async (t) => {
  const node = await ScriptedNode.start(t, 1);
  const client = connect({ addresses: node.address });
  const published = client.publish('t', 'a');
  await client.close();
  assert.equal((await published).offset, 0);
  await until('the connection is closed', () => node.sockets.length === 0);
});

test('sequences of the caller go under exactly its producer id, the client’s own under one that no other client has', async (t) => {
  const node = await ScriptedNode.start(t, 1);
  const options = { addresses: node.address, producer: 'import' };
  const clients = [connect(options), connect(options)];
  t.after(() => Promise.all(clients.map((client) => client.close({ flush: false }))));
  for (const client of clients) await client.publish('t', 'numbered by itself');
  const [first, second] = node.asked('publish').map(({ params }) => params.producer);
  assert.match(first ?? '', /^import\.[0-9a-f]{16}$/);
  assert.notEqual(first, second);
  const [client] = clients as [(typeof clients)[0]];
  await Promise.all([7, 8, 10].map((sequence) => client.publish('t', `${sequence}`, { sequence })));
  await assert.rejects(client.publish('t', 'c', { sequence: 10 }), { code: 'TANDEM_CLIENT_INVALID' });
  const own = node.asked('publish').filter(({ params }) => params.producer === 'import');
  assert.deepEqual(
    own.map(({ params }) => [params.sequence, params.records?.map(({ data }) => data)]),
    [
      [7, ['7', '8']],
      [10, ['10']],
    ],
  );
  const anonymous = connect({ addresses: node.address });
  t.after(() => anonymous.close({ flush: false }));
  await assert.rejects(anonymous.publish('t', 'a', { sequence: 1 }), { code: 'TANDEM_CLIENT_INVALID' });
});
