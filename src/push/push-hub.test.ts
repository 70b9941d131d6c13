import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { ChannelPolicy, SessionQueue, SubscribeAnswer, SubscribeFrom } from '../core/contracts/push.ts';
import { silentLogger } from '../core/contracts/telemetry.ts';
import { TandemError } from '../core/errors.ts';
import { DEFAULT_LIMITS } from '../core/limits.ts';
import { systemClock } from '../core/ports/clock.ts';
import { seededRandom } from '../core/ports/random.ts';
import { encodeCursor } from '../core/position.ts';
import { recordSetOf } from '../core/record-set.ts';
import { openMemoryEngine } from '../engines/memory/memory-engine.ts';
import { createSessionQueues } from '../sessions/session-queue.ts';
import type { ReadableStore } from './push-context.ts';
import { createPush } from './push-hub.ts';
import { LineEncoder, RecordingClient } from './recording-client.fixture.ts';

const TOPIC = { partitions: 1, retentionMs: null, retentionBytes: null };

async function open(
  t: TestContext,
  options: { partitions?: number; policy?: ChannelPolicy; store?: (store: ReadableStore) => ReadableStore } = {},
) {
  const engine = openMemoryEngine({ clock: systemClock, random: seededRandom(1), limits: DEFAULT_LIMITS });
  await engine.topics.ensure({ ...TOPIC, name: 'a', partitions: options.partitions ?? 1 });
  await engine.topics.ensure({ ...TOPIC, name: 'b' });
  const policy = options.policy ?? { policy: 'disconnect', queueBytesMax: 100_000 };
  const sessionQueues = createSessionQueues(DEFAULT_LIMITS);
  const queues: SessionQueue[] = [];
  const push = createPush({
    topics: engine.topics,
    store: options.store?.(engine.store) ?? engine.store,
    limits: { subscriptionsPerSessionMax: 2 },
    policyFor: () => policy,
    queues: {
      open(transport, onSlow) {
        const queue = sessionQueues.open(transport, onSlow);
        queues.push(queue);
        return queue;
      },
    },
    clock: systemClock,
    logger: silentLogger,
  });
  t.after(async () => {
    push.close();
    await engine.close();
  });
  const encoder = new LineEncoder();
  const connect = () => {
    const client = new RecordingClient(encoder);
    const session = push.openSession(client);
    const answers: SubscribeAnswer[] = [];
    const subscribe = (channel: string, from: SubscribeFrom): Promise<void> =>
      session.subscribe(channel, from, (answer) => {
        answers.push(answer);
        client.begin(channel, answer.position);
      });
    return { client, session, answers, subscribe };
  };
  const append = async (count: number, partition = 0, topic = 'a', bytes = 10): Promise<void> => {
    const set = recordSetOf(Array.from({ length: count }, () => ({ data: Buffer.alloc(bytes, 120) })));
    await engine.store.append({ topic, partition, set });
  };
  const metric = (name: string) => push.metrics().find((sample) => sample.name === `tandem_push_${name}`)?.value;
  return { engine, push, queues, encoder, connect, append, metric };
}

/** Lets the event loop turn until the condition holds; bounded by time, since back-off waits by the clock and turns take next to none. */
async function until(condition: () => boolean, what: string): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + 10_000;
  while (!condition()) {
    if (systemClock.monotonicMs() > deadlineMs) assert.fail(`never: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};
const withCode = (code: string) => (error: unknown) => error instanceof TandemError && error.code === code;

test('now: only what is stored from here on, encoded once and written once per session and flush', async (t) => {
  const { connect, append, encoder } = await open(t, { partitions: 2 });
  await append(5);
  const clients = [connect(), connect(), connect()];
  await Promise.all(clients.map(({ subscribe }) => subscribe('a', 'now')));
  await Promise.all([append(4), append(3, 1), append(2)]);
  await until(() => clients.every(({ client }) => client.records.length === 9), 'all live records');
  for (const { client, answers } of clients) {
    assert.equal(client.writes, 1);
    assert.deepEqual(client.problems, []);
    assert.deepEqual(client.offsets(0), [5, 6, 7, 8, 9, 10]);
    assert.deepEqual(
      answers.map((answer) => answer.isComplete),
      [true],
    );
  }
  assert.equal(encoder.encoded, 9);
});

test('start and a position: replay, then live, without gap or repeat', async (t) => {
  const { connect, append, metric } = await open(t, { partitions: 2 });
  await append(3000, 0, 'a', 100);
  await append(10, 1);
  const first = connect();
  await first.subscribe('a', 'start');
  await append(50, 1);
  await until(() => first.client.records.length === 3060, 'the whole log');
  assert.ok(first.client.writes >= 5, 'in chunks');
  const second = connect();
  await second.subscribe('a', { position: first.client.records[2000]?.position ?? '' });
  assert.deepEqual(second.answers, [
    { channel: 'a', position: first.client.records[2000]?.position, isComplete: true },
  ]);
  await append(7);
  await until(
    () => second.client.position('a') === first.client.position('a') && metric('live_subscriptions') === 2,
    'both live',
  );
  assert.deepEqual([...first.client.problems, ...second.client.problems], []);
});

test('a lost position is answered as incomplete and begins where it can be read', async (t) => {
  const { connect, append, engine } = await open(t);
  await append(1);
  await append(9);
  const before = connect();
  await before.subscribe('a', 'start');
  await until(() => before.client.records.length === 10, 'the log');
  const [old, end] = [before.client.records[0]?.position ?? '', before.client.position('a')];
  before.session.close();
  await engine.store.trim({ topic: 'a', partition: 0 }, 5);
  const trimmed = connect();
  await trimmed.subscribe('a', { position: old });
  const beyond = connect();
  await beyond.subscribe('a', { position: encodeCursor(new Map([[7, { epoch: 'x', offset: 1 }]])) });
  engine.shared.loseHistory({ topic: 'a', partition: 0 });
  await append(3);
  const other = connect();
  await other.subscribe('a', { position: end });
  for (const { answers } of [trimmed, beyond, other]) assert.equal(answers[0]?.isComplete, false);
  await until(() => other.client.records.length === 3, 'the new epoch from its start');
  assert.deepEqual(trimmed.client.offsets().slice(0, 5), [5, 6, 7, 8, 9]);
  assert.deepEqual(other.client.offsets(), [0, 1, 2]);
  for (const { client } of [trimmed, beyond, other]) assert.deepEqual(client.problems, []);
});

test('live sessions are told when history is replaced under them', async (t) => {
  const { connect, append, engine } = await open(t);
  const one = connect();
  await one.subscribe('a', 'now');
  await append(2);
  await until(() => one.client.records.length === 2, 'live');
  engine.shared.loseHistory({ topic: 'a', partition: 0 });
  await append(2);
  await until(() => one.client.records.length === 4, 'the new history');
  assert.deepEqual(
    one.client.gaps.map((gap) => gap.reason),
    ['lost'],
  );
  assert.deepEqual(one.client.problems, []);
});

test('a slow replay holds one chunk, and is told if it is trimmed away', async (t) => {
  const { connect, append, engine } = await open(t);
  for (let i = 0; i < 40; i++) await append(100, 0, 'a', 200);
  const slow = connect();
  slow.client.room = 0;
  await slow.subscribe('a', 'start');
  await until(() => slow.client.bufferedBytes > 0, 'the first chunk');
  await turns(50);
  assert.equal(slow.client.writes, 1);
  assert.ok(slow.client.bufferedBytesMax < 70_000);
  await engine.store.trim({ topic: 'a', partition: 0 }, 3500);
  slow.client.drain(Number.POSITIVE_INFINITY);
  await until(() => slow.client.offsets().at(-1) === 3999, 'the end');
  assert.equal(slow.client.gaps.length, 1);
  assert.equal(slow.client.gaps[0]?.missed, 3500 - (slow.client.records.length - 500));
  assert.deepEqual(slow.client.problems, []);
});

test('a slow live session: bounded, then ended with the position of what it was given; others notice nothing', async (t) => {
  const { connect, append, queues } = await open(t, { policy: { policy: 'disconnect', queueBytesMax: 20_000 } });
  const [slow, quick] = [connect(), connect()];
  await slow.subscribe('a', 'now');
  await slow.subscribe('b', 'now');
  await quick.subscribe('a', 'now');
  slow.client.room = 0;
  for (let i = 0; i < 100; i++) {
    await Promise.all([append(2, 0, 'a', 100), append(1, 0, 'b')]);
    assert.ok((queues[0]?.waitingBytes ?? 0) <= 40_000);
  }
  await until(() => quick.client.records.length === 200, 'the quick one has all');
  await until(() => slow.client.ended !== undefined, 'the slow one is ended');
  assert.equal(slow.client.ended?.error.code, 'TANDEM_SESSION_SLOW');
  assert.deepEqual([...(slow.client.ended?.positions.keys() ?? [])].sort(), ['a', 'b']);
  const again = connect();
  again.client.cursors.set('a', new Map());
  await again.subscribe('a', { position: slow.client.ended?.positions.get('a') ?? '' });
  await until(() => again.client.position('a') === quick.client.position('a'), 'resumed');
  for (const { client } of [slow, quick, again]) assert.deepEqual(client.problems, []);
  assert.equal(slow.client.records.filter((r) => r.channel === 'a').length + again.client.records.length, 200);
});

test('several channels of a session go out in one write', async (t) => {
  const { connect, append } = await open(t);
  const both = [connect(), connect()];
  for (const { subscribe } of both) {
    await subscribe('a', 'now');
    await subscribe('b', 'now');
  }
  await Promise.all([append(2), append(3, 0, 'b')]);
  await until(() => both.every(({ client }) => client.records.length === 5), 'both channels');
  for (const { client } of both) {
    assert.equal(client.writes, 1);
    assert.deepEqual(client.problems, []);
  }
});

test('a damaged log: its sessions end with the error; resuming begins after it, incomplete', async (t) => {
  let damage: { readonly fromOffset: number; readonly nextOffset: number } | undefined;
  const { connect, append } = await open(t, {
    store: (store) => ({
      state: (place) => store.state(place),
      watch: (place, wake) => store.watch(place, wake),
      async read(place, from, bytesMax) {
        if (damage !== undefined && from.offset >= damage.fromOffset && from.offset < damage.nextOffset)
          throw new TandemError('TANDEM_LOG_CORRUPT', { data: damage });
        return store.read(place, from, bytesMax);
      },
    }),
  });
  const one = connect();
  await one.subscribe('a', 'now');
  await append(2);
  await until(() => one.client.records.length === 2, 'live');
  damage = { fromOffset: 2, nextOffset: 4 };
  await append(2);
  await append(2);
  await until(() => one.client.ended !== undefined, 'the end');
  assert.equal(one.client.ended?.error.code, 'TANDEM_LOG_CORRUPT');
  const again = connect();
  await again.subscribe('a', { position: one.client.ended?.positions.get('a') ?? '' });
  assert.equal(again.answers[0]?.isComplete, false);
  await until(() => again.client.records.length === 2, 'what lies after the damage');
  assert.deepEqual(again.client.offsets(), [4, 5]);
  assert.deepEqual([...one.client.problems, ...again.client.problems], []);
});

test('an owner that restarts delays, nothing more', async (t) => {
  let failures = 0;
  const flaky = async <T>(work: () => Promise<T>): Promise<T> => {
    if (failures-- > 0) throw new TandemError('TANDEM_OWNER_UNAVAILABLE');
    return work();
  };
  const { connect, append } = await open(t, {
    store: (store) => ({
      state: (place) => flaky(() => store.state(place)),
      watch: (place, wake) => store.watch(place, wake),
      read: (place, from, bytesMax) => flaky(() => store.read(place, from, bytesMax)),
    }),
  });
  await append(3);
  failures = 2;
  const one = connect();
  await one.subscribe('a', 'start');
  failures = 2;
  await append(3);
  await until(() => one.client.records.length === 6, 'all');
  assert.deepEqual(one.client.problems, []);
});

test('a topic that gains partitions: sessions that live and sessions that come get them', async (t) => {
  const { connect, append, engine } = await open(t);
  const one = connect();
  await one.subscribe('a', 'now');
  await engine.topics.ensure({ ...TOPIC, name: 'a', partitions: 3 });
  await append(4, 2);
  const two = connect();
  await two.subscribe('a', 'now');
  await append(1, 2);
  await until(() => one.client.records.length === 5 && two.client.records.length === 1, 'the new partition');
  assert.deepEqual([...one.client.problems, ...two.client.problems], []);
});

test('errors of subscribe and unsubscribe; ending early; the limit', async (t) => {
  const { connect, append, metric } = await open(t);
  const { session, subscribe, answers, client } = connect();
  await assert.rejects(subscribe('nope', 'now'), withCode('TANDEM_TOPIC_UNKNOWN'));
  await assert.rejects(subscribe('a', { position: '?' }), withCode('TANDEM_POSITION_MALFORMED'));
  assert.throws(() => session.unsubscribe('a'), withCode('TANDEM_SUBSCRIPTION_UNKNOWN'));
  assert.throws(() => session.unsubscribe('nope'), withCode('TANDEM_SUBSCRIPTION_UNKNOWN'));
  const early = subscribe('a', 'start');
  session.unsubscribe('a');
  await assert.rejects(early, withCode('TANDEM_SUBSCRIPTION_UNKNOWN'));
  const replaced = subscribe('a', 'start');
  const kept = subscribe('a', 'now');
  await assert.rejects(replaced, withCode('TANDEM_SUBSCRIPTION_UNKNOWN'));
  await kept;
  assert.equal(answers.length, 1);
  await subscribe('b', 'now');
  await assert.rejects(subscribe('c', 'now'), withCode('TANDEM_SUBSCRIPTIONS_LIMIT'));
  session.unsubscribe('a');
  client.cursors.delete('a');
  await append(1);
  await append(1, 0, 'b');
  await until(() => client.records.length === 1, 'b alone');
  session.close();
  session.close();
  await assert.rejects(subscribe('b', 'now'), withCode('TANDEM_SUBSCRIPTION_UNKNOWN'));
  assert.deepEqual(client.problems, []);
  assert.deepEqual(['sessions', 'live_subscriptions', 'replaying_subscriptions'].map(metric), [0, 0, 0]);
});

test('closing the hub ends sessions with their positions', async (t) => {
  const { connect, append, push } = await open(t);
  const { client, subscribe } = connect();
  await subscribe('a', 'start');
  await append(2);
  await until(() => client.records.length === 2, 'live');
  push.close();
  assert.equal(client.ended?.error.code, 'TANDEM_DRAINING');
  assert.equal(client.ended?.positions.get('a'), client.position('a'));
});

test('ended in the middle of a flush of several channels: what was not handed out yet is not in the positions', async (t) => {
  const { connect, append } = await open(t, { policy: { policy: 'disconnect', queueBytesMax: 1_000 } });
  const { client, subscribe } = connect();
  await subscribe('a', 'now');
  await subscribe('b', 'now');
  client.room = 0;
  await append(1);
  await until(() => client.bufferedBytes > 0, 'a full transport');
  await Promise.all([append(1, 0, 'a', 2_000), append(1, 0, 'b', 2_000)]);
  await until(() => client.ended !== undefined, 'the end');
  assert.deepEqual([...(client.ended?.positions.keys() ?? [])].sort(), ['a', 'b']);
  assert.deepEqual(client.problems, []);
});
