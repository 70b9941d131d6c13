import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeFacts } from '../../core/contracts/cluster.ts';
import { type Logger, silentLogger } from '../../core/contracts/telemetry.ts';
import { TandemError } from '../../core/errors.ts';
import { ManualClock } from '../../core/ports/manual-clock.ts';
import { type CatalogShard, startCatalogServer } from './catalog.fixture.ts';
import { RedisPeers } from './peers.ts';
import { decodeMessage, MESSAGE_BYTES_MAX } from './peers-messages.ts';

const TIMEOUT_MS = 800;
const lost = { code: 'TANDEM_PEER_LOST' };

const factsOf = (name: string, extras: Partial<NodeFacts> = {}): NodeFacts => ({
  ...{ serial: 1, name, holder: `${name}/1`, role: 'standby', term: 0, isReady: true, reason: 'stands by' },
  ...{ adminUrl: 'http://127.0.0.1:9510', version: '1', sinceMs: 0, takeovers: [{ term: 3, atMs: 4 }] },
  ...extras,
});

interface Node {
  readonly shard: CatalogShard;
  readonly peers: RedisPeers;
  readonly events: string[];
  readonly logged: string[];
}

async function start(t: Parameters<typeof startCatalogServer>[0]) {
  const server = await startCatalogServer(t);
  const clock = new ManualClock();
  const node = (holder: string): Node => {
    const shard = server.open();
    const logged: string[] = [];
    const logger: Logger = { ...silentLogger, warn: (event) => void logged.push(event) };
    const peers = new RedisPeers({ catalog: shard, clock, logger, holder, heartbeatTimeoutMs: TIMEOUT_MS });
    const events: string[] = [];
    peers.onEvent(({ kind, peer: { facts } }) => void events.push(`${kind} ${facts.holder} ${facts.serial}`));
    return { shard, peers, events, logged };
  };
  const pass = async (durationMs: number): Promise<void> => {
    for (let passed = 0; passed < durationMs; passed += 50) {
      await clock.advance(50);
      await server.idle();
    }
  };
  const pair = async (): Promise<[Node, Node]> => {
    const both: [Node, Node] = [node('a/1'), node('b/1')];
    both[0].peers.tell(factsOf('a'));
    await server.idle();
    both[1].peers.tell(factsOf('b'));
    await server.idle();
    return both;
  };
  return { server, clock, node, pass, pair };
}

const holders = ({ peers }: Node): string[] => peers.peers.map(({ facts }) => facts.holder);

test('nodes hear each other at once, whoever came first, and what changes', async (t) => {
  const { server, pair, pass, clock } = await start(t);
  const [a, b] = await pair();
  assert.deepEqual([holders(a), holders(b)], [['b/1'], ['a/1']]);
  assert.deepEqual(a.peers.peers[0]?.facts, factsOf('b'));
  a.peers.tell(factsOf('a', { serial: 2, role: 'active', term: 7 }));
  await server.idle();
  assert.equal(b.peers.peers[0]?.facts.term, 7);
  await pass(2 * TIMEOUT_MS);
  assert.deepEqual(b.events, ['changed a/1 1', 'changed a/1 2'], 'signs of life are no events');
  const { lastHeardMs = 0 } = b.peers.peers[0] ?? {};
  assert.ok(clock.monotonicMs() - lastHeardMs <= TIMEOUT_MS / 8 + 50);
});

test('a peer that is silent for its time is lost, one that says good-bye at once', async (t) => {
  const { server, node, pair, pass } = await start(t);
  const [a, b] = await pair();
  const c = node('c/1');
  c.peers.tell(factsOf('c'));
  await server.idle();
  b.shard.fault = 'requests';
  await pass(TIMEOUT_MS - 200);
  assert.deepEqual(holders(a), ['b/1', 'c/1']);
  await pass(400);
  assert.deepEqual(holders(a), ['c/1']);
  await c.peers.close();
  await server.idle();
  assert.deepEqual(a.events, ['changed b/1 1', 'changed c/1 1', 'lost b/1 1', 'lost c/1 1']);
  b.shard.fault = 'none';
  await pass(200);
  assert.equal(a.events.at(-1), 'changed b/1 1', 'it is back');
});

test('a peer that is dead is lost when somebody else says so', async (t) => {
  const { server, node, pair } = await start(t);
  const [a, b] = await pair();
  await node('b/1-undertaker').peers.sayGone('b/1');
  await server.idle();
  assert.deepEqual([a.events, holders(a), holders(b)], [['changed b/1 1', 'lost b/1 1'], [], ['a/1']]);
});

test('whoever does not hear itself loses nobody', async (t) => {
  const { pair, pass, server } = await start(t);
  const [a, b] = await pair();
  a.shard.fault = 'requests';
  await pass(5 * TIMEOUT_MS);
  assert.deepEqual([holders(a), holders(b)], [['b/1'], []]);
  a.shard.fault = 'none';
  a.shard.resubscribed();
  await server.idle();
  assert.deepEqual([holders(a), holders(b)], [['b/1'], ['a/1']]);
  await pass(TIMEOUT_MS);
  assert.deepEqual(a.events, ['changed b/1 1']);
});

test('requests are answered, with errors as they are, or fail by their time-out', async (t) => {
  const { server, pair, pass } = await start(t);
  const [a, b] = await pair();
  const request = { kind: 'switchover', to: null, timeoutMs: 1000 } as const;
  b.peers.onRequest(async (asked) => ({ asked }));
  assert.deepEqual(await a.peers.request('b', request, 1000), { asked: request });
  b.peers.onRequest(async () => {
    throw new TandemError('TANDEM_SWITCHOVER_REFUSED', { detail: 'too early', data: { retryInMs: 5 } });
  });
  await assert.rejects(a.peers.request('b', request, 1000), (error: TandemError) => {
    const expected = new TandemError('TANDEM_SWITCHOVER_REFUSED', { detail: 'too early' });
    assert.deepEqual([error.code, error.message, error.data], [expected.code, expected.message, { retryInMs: 5 }]);
    return true;
  });
  await assert.rejects(a.peers.request('z', request, 1000), lost);
  b.peers.onRequest(() => new Promise(() => {}));
  const unanswered = assert.rejects(a.peers.request('b', request, 300), lost);
  await pass(350);
  await unanswered;
  const gone = assert.rejects(a.peers.request('b', request, 60_000), lost);
  await server.idle();
  await b.peers.close();
  await gone;
  a.shard.fault = 'requests';
  await assert.rejects(a.peers.request('b', request, 1000), lost);
  await assert.rejects(a.peers.fence({ name: 'b', holder: 'b/1' }), lost);
});

test('what cannot be understood or is too large is dropped, and said once', async (t) => {
  const { server, pair } = await start(t);
  const [a, b] = await pair();
  const good = { v: 1, kind: 'facts', from: 'c/1', facts: factsOf('c') };
  const bad = [
    ...['', 'x', '[]', 'null', '{"v":1}', 'x'.repeat(MESSAGE_BYTES_MAX + 1)],
    ...[
      { ...good, v: 2 },
      { ...good, from: 'd/1' },
      { ...good, facts: { ...good.facts, serial: '1' } },
      { ...good, facts: { ...good.facts, role: 'master' } },
      { ...good, facts: { ...good.facts, takeovers: [null] } },
      { v: 1, kind: 'answer', from: 'c/1', to: 'a/1', id: 1, error: { code: 'toString', detail: '' } },
      { v: 1, kind: 'request', from: 'c/1', to: 'a/1', id: 1, request: { kind: 'stop', timeoutMs: 1 } },
    ].map((message) => JSON.stringify(message)),
  ];
  for (const text of bad) {
    assert.equal(decodeMessage(Buffer.from(text)), undefined, text.slice(0, 100));
    await server.open().publish('peers', text);
  }
  await server.idle();
  assert.deepEqual(holders(a), ['b/1']);
  assert.deepEqual(a.logged, ['peer_message_dropped']);
  b.peers.tell(factsOf('b', { serial: 2, reason: 'x'.repeat(MESSAGE_BYTES_MAX) }));
  await server.idle();
  assert.deepEqual(b.logged, ['peer_message_dropped', 'peer_message_too_large']);
  await server.open().publish('peers', JSON.stringify({ ...good, more: 1 }));
  await server.idle();
  assert.deepEqual(holders(a), ['b/1', 'c/1'], 'fields of later versions do no harm');
});

test('the latest incarnation of a node is the one that is asked', async (t) => {
  const { server, node, pair } = await start(t);
  const [a, b] = await pair();
  b.shard.fault = 'requests';
  const again = node('b/2');
  again.peers.onRequest(async () => 'second');
  again.peers.tell(factsOf('b', { holder: 'b/2' }));
  await server.idle();
  assert.equal(await a.peers.request('b', { kind: 'prepare', from: 'a', timeoutMs: 100 }, 1000), 'second');
});
