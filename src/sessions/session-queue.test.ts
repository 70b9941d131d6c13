import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ChannelPolicy, Delivery, PushEncoder, SessionQueue, Transport } from '../core/contracts/push.ts';
import type { TandemError } from '../core/errors.ts';
import { createSessionQueues } from './session-queue.ts';

const encoder: PushEncoder = {
  encode: () => assert.fail('the queue gets encoded messages'),
  encodeGap: (channel, gap) => Buffer.from(`${channel}!${gap.missed}@${gap.position}\n`),
};

/** A connection whose kernel takes `room` bytes; `drain` gives it room again. */
class TestTransport implements Transport {
  readonly encoder = encoder;
  bufferedBytes = 0;
  room = 0;
  received = '';
  writes = 0;
  #onDrained: (() => void) | undefined;
  write(bytes: Buffer): void {
    this.writes++;
    this.received += bytes.toString();
    const taken = Math.min(this.room, bytes.length);
    this.room -= taken;
    this.bufferedBytes += bytes.length - taken;
  }
  whenDrained(callback: () => void): void {
    assert.equal(this.#onDrained, undefined, 'one callback at a time');
    this.#onDrained = callback;
  }
  drain(room = 0): void {
    this.bufferedBytes = 0;
    this.room = room;
    const callback = this.#onDrained;
    this.#onDrained = undefined;
    callback?.();
  }
  end(_error: TandemError): void {}
  get lines(): string[] {
    return this.received.split('\n').slice(0, -1);
  }
}

/** Messages `channel:offset` from `first` on, all of `size` bytes if given. */
function delivery(channel: string, first: number, count: number, keys: readonly string[] = [], size = 0): Delivery {
  const texts = Array.from({ length: count }, (_, i) => `${`${channel}:${first + i}`.padEnd(size - 1)}\n`);
  const ends = texts.map((_, i) => texts.slice(0, i + 1).join('').length);
  return {
    channel,
    count,
    recordsPerMessage: 1,
    bytes: Buffer.from(texts.join('')),
    endOf: (index) => (index < 0 ? 0 : (ends[index] as number)),
    keyOf: (index) => keys[index],
    positionAfter: (index) => `p${first + index + 1}`,
  };
}

const policy = (name: ChannelPolicy['policy'], queueBytesMax = 1000): ChannelPolicy => ({
  policy: name,
  queueBytesMax,
});
const send = (queue: SessionQueue, what: Delivery, how: ChannelPolicy): void => {
  if (!queue.offer(what.bytes)) queue.add(what, how);
};
const metric = (queues: ReturnType<typeof createSessionQueues>, name: string): number | undefined =>
  queues.metrics().find((sample) => sample.name === name)?.value;

function open(bytesMax = 10_000) {
  const transport = new TestTransport();
  const queues = createSessionQueues({ sessionQueueBytesMax: bytesMax });
  const slow: (string | undefined)[] = [];
  const queue: SessionQueue = queues.open(transport, () => slow.push(queue.handedPosition('a')));
  return { transport, queues, queue, slow };
}

test('while the transport takes everything, the shared buffer goes straight to it', () => {
  const { transport, queue } = open();
  transport.room = 1e6;
  const one = delivery('a', 0, 3);
  let written: Buffer | undefined;
  const write = transport.write.bind(transport);
  transport.write = (bytes) => {
    written = bytes;
    write(bytes);
  };
  assert.equal(queue.offer(one.bytes), true);
  assert.equal(written, one.bytes);
  assert.equal(queue.waitingBytes, 0);
});

test('what waits goes out in order and in one write when the transport is empty', () => {
  const { transport, queue } = open();
  for (let i = 0; i < 5; i++) send(queue, delivery('a', i * 2, 2), policy('disconnect'));
  assert.equal(transport.writes, 1);
  assert.equal(queue.handedPosition('a'), 'p2');
  transport.drain(1e6);
  assert.equal(transport.writes, 2);
  assert.deepEqual(
    transport.lines,
    Array.from({ length: 10 }, (_, i) => `a:${i}`),
  );
  assert.equal(queue.handedPosition('a'), undefined);
  assert.equal(queue.waitingBytes, 0);
});

test('disconnect: the session is told once, with the position of the last record handed over', () => {
  const { transport, queue, queues, slow } = open();
  send(queue, delivery('a', 0, 1), policy('disconnect'));
  send(queue, delivery('a', 1, 2, [], 100), policy('disconnect'));
  transport.drain();
  for (let i = 3; i < 20; i++) send(queue, delivery('a', i, 1, [], 100), policy('disconnect'));
  assert.deepEqual(slow, ['p3']);
  assert.equal(queue.waitingBytes, 0);
  assert.equal(metric(queues, 'tandem_sessions_slow_total'), 1);
  assert.equal(metric(queues, 'tandem_sessions_open'), 0);
  transport.drain(1e6);
  assert.equal(transport.lines.length, 3);
});

test('disconnect: the first delivery that waits may be too much by itself', () => {
  const { queue, slow } = open();
  send(queue, delivery('a', 0, 1), policy('disconnect'));
  send(queue, delivery('a', 1, 1, [], 2000), policy('disconnect'));
  assert.deepEqual(slow, ['p1']);
});

test('drop-oldest: the gap stands where the records were', () => {
  const { transport, queue, queues } = open();
  send(queue, delivery('a', 0, 1), policy('drop-oldest'));
  for (let i = 0; i < 10; i++) send(queue, delivery('a', 1 + i * 4, 4, [], 100), policy('drop-oldest'));
  assert.equal(queue.waitingBytes, 1000);
  assert.equal(metric(queues, 'tandem_sessions_dropped_records_total'), 30);
  transport.drain(1e6);
  const lines = transport.lines.map((line) => line.trim());
  assert.deepEqual(lines, ['a:0', 'a!30@p31', ...Array.from({ length: 10 }, (_, i) => `a:${31 + i}`)]);
});

test('drop-oldest: a gap is told even if nothing is left behind it', () => {
  const { transport, queue } = open();
  send(queue, delivery('a', 0, 1), policy('drop-oldest'));
  send(queue, delivery('a', 1, 1, [], 5000), policy('drop-oldest'));
  assert.equal(queue.waitingBytes, 0);
  assert.equal(queue.offer(delivery('a', 2, 1).bytes), false);
  transport.drain(1e6);
  assert.deepEqual(transport.lines, ['a:0', 'a!1@p2']);
});

test('latest-per-key: only the newest of each key, in order of the latest update', () => {
  const { transport, queue, queues } = open();
  send(queue, delivery('a', 0, 1), policy('latest-per-key'));
  send(queue, delivery('a', 1, 4, ['x', 'y', 'z', 'x']), policy('latest-per-key'));
  send(queue, delivery('a', 5, 2, ['y']), policy('latest-per-key'));
  transport.drain(1e6);
  assert.deepEqual(transport.lines, ['a:0', 'a:3', 'a:4', 'a:5', 'a:6']);
  assert.equal(metric(queues, 'tandem_sessions_conflated_records_total'), 2);
});

test('latest-per-key: more keys than fit end the session', () => {
  const { queue, slow } = open();
  send(queue, delivery('a', 0, 1), policy('latest-per-key'));
  for (let i = 1; i < 20; i++) send(queue, delivery('a', i, 1, [`k${i}`]), policy('latest-per-key'));
  assert.deepEqual(slow, ['p1']);
});

test('the bound of the session counts all channels; channels take turns', () => {
  const { transport, queue } = open(500);
  send(queue, delivery('a', 0, 1), policy('drop-oldest'));
  for (let i = 1; i < 10; i++) send(queue, delivery('a', i, 1, [], 100), policy('drop-oldest'));
  send(queue, delivery('b', 0, 1, [], 100), policy('drop-oldest'));
  assert.equal(queue.waitingBytes, 500);
  queue.forget('a');
  assert.equal(queue.waitingBytes, 0);
  send(queue, delivery('b', 1, 1, [], 100), policy('drop-oldest'));
  assert.equal(queue.waitingBytes, 100);
  transport.drain(1e6);
  assert.deepEqual(
    transport.lines.map((line) => line.trim()),
    ['a:0', 'b!1@p1', 'b:1'],
  );
});

test('a replay that waits is called before the backlog is written, and at close', () => {
  const { transport, queue } = open();
  send(queue, delivery('a', 0, 1), policy('disconnect'));
  assert.equal(queue.isWritable, false);
  send(queue, delivery('a', 1, 1), policy('disconnect'));
  queue.whenWritable(() => queue.write(Buffer.from('replay\n')));
  transport.drain(1e6);
  assert.deepEqual(transport.lines, ['a:0', 'replay', 'a:1']);
  let calls = 0;
  transport.room = 0;
  send(queue, delivery('a', 2, 1), policy('disconnect'));
  queue.whenWritable(() => calls++);
  queue.close();
  transport.drain();
  assert.equal(calls, 1);
});

test('any traffic: bounds hold, order holds, and what is missing was told', () => {
  const step = fc.oneof(
    fc.record({
      kind: fc.constant('send' as const),
      count: fc.integer({ min: 1, max: 6 }),
      size: fc.integer({ min: 8, max: 90 }),
    }),
    fc.record({ kind: fc.constant('drain' as const), room: fc.integer({ min: 0, max: 400 }) }),
  );
  const names = fc.constantFrom<ChannelPolicy['policy']>('disconnect', 'drop-oldest', 'latest-per-key');
  fc.assert(
    fc.property(names, fc.array(step, { maxLength: 60 }), (name, steps) => {
      const { transport, queue, slow } = open();
      const how = policy(name, 600);
      let next = 0;
      for (const what of steps) {
        if (what.kind === 'drain') transport.drain(what.room);
        else {
          const keys = Array.from({ length: what.count }, (_, i) => `k${(next + i) % 3}`);
          send(queue, delivery('a', next, what.count, keys, what.size), how);
          next += what.count;
        }
        assert.ok(queue.waitingBytes <= 600);
        if (slow.length > 0) break;
      }
      while (slow.length === 0 && queue.handedPosition('a') !== undefined) transport.drain(50);
      checkTold(transport.lines, name === 'latest-per-key', slow[0] ?? `p${next}`);
      if (slow.length > 0) return;
      const received = new Set(transport.lines.map((line) => line.trim()));
      for (let i = Math.max(0, next - 3); i < next; i++)
        assert.ok(name === 'drop-oldest' || received.has(`a:${i}`), 'the newest of each key arrives');
    }),
  );
});

/** Offsets rise; between two of them nothing is missing that no gap message told; the end is `end`. */
function checkTold(lines: readonly string[], isConflated: boolean, end: string): void {
  let expected = 0;
  for (const line of lines) {
    const gap = /^a!(\d+)@p(\d+)$/.exec(line);
    const offset = Number(/^a:(\d+)/.exec(line)?.[1]);
    if (gap !== null) {
      assert.equal(Number(gap[2]), expected + Number(gap[1]));
      expected = Number(gap[2]);
    } else {
      assert.ok(
        isConflated ? offset >= expected && offset < expected + 18 : offset === expected,
        `${line} after ${expected}`,
      );
      expected = offset + 1;
    }
  }
  assert.equal(`p${expected}`, end);
}
