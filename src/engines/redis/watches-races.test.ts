/** Wake-ups whose messages and answers, which come over two connections, cross: with a shard whose answers the test gives. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '../../core/contracts/telemetry.ts';
import { ManualClock } from '../../core/ports/manual-clock.ts';
import type { LibraryShard } from './library-shard.ts';
import { Partition } from './partitions.ts';
import type { Answer } from './shard.ts';
import { Watches } from './watches.ts';

const LOG = '{tag}:log:orders:0';

/** One watched partition; `wakes` counts. */
async function watched() {
  const clock = new ManualClock();
  const asked: { readonly offset: number; readonly answer: (next: number, isArmed: boolean) => Promise<void> }[] = [];
  let hear: (message: Buffer | undefined) => void = () => {};
  let reconnect = (): void => {};
  const shard = {
    tag: 'tag',
    call: (_name: string, _keys: readonly string[], [offset]: readonly string[]) =>
      new Promise<Answer>((resolve) => {
        const answer = async (next: number, isArmed: boolean): Promise<void> => {
          resolve([Buffer.from('OK'), next, isArmed ? 1 : 0]);
          await new Promise((done) => setImmediate(done));
        };
        asked.push({ offset: Number(offset), answer });
      }),
    subscribe: (_name: string, listener: typeof hear) => {
      hear = listener;
      return () => {};
    },
    onReconnected: (listener: () => void) => {
      reconnect = listener;
      return () => {};
    },
  };
  const watches = new Watches({ clock, logger: silentLogger, watchIntervalMs: 60_000 });
  const partition = new Partition({ topic: 'orders', partition: 0 }, shard as unknown as LibraryShard);
  const state = { wakes: 0 };
  watches.add(partition, () => state.wakes++);
  // The first wake-up comes soon.
  await new Promise((resolve) => setImmediate(resolve));
  return {
    ...{ clock, asked, watches, partition, state },
    message: (next: number): void => hear(Buffer.from(`${LOG} ${next}`)),
    reconnect: (): void => reconnect(),
  };
}

test('it is armed at once, and again after a message that no read follows', async () => {
  const { asked, state, clock, message } = await watched();
  assert.deepEqual([asked.length, asked[0]?.offset, state.wakes], [1, 0, 1]);
  await asked[0]?.answer(0, true);
  message(3);
  assert.equal(state.wakes, 2);
  assert.equal(asked.length, 1);
  await clock.advance(20);
  assert.deepEqual([asked.length, asked[1]?.offset], [2, 3]);
  await asked[1]?.answer(5, false);
  assert.equal(state.wakes, 3, 'there was more meanwhile');
  await clock.advance(20);
  assert.deepEqual([asked.length, asked[2]?.offset], [3, 5]);
});

test('a read that comes to the end arms instead', async () => {
  const { asked, state, clock, message, watches, partition } = await watched();
  await asked[0]?.answer(0, true);
  message(3);
  watches.armed(partition, 3);
  await clock.advance(1000);
  assert.deepEqual([asked.length, state.wakes], [1, 2]);
});

test('a message that overtakes the answer which armed: it is armed no more', async () => {
  const { asked, clock, message, state, watches, partition } = await watched();
  await asked[0]?.answer(0, true);
  message(3);
  // The read's arming with 4 was taken away by the append of 4.
  message(5);
  watches.armed(partition, 4);
  assert.equal(state.wakes, 3);
  await clock.advance(20);
  assert.deepEqual([asked.length, asked[1]?.offset], [2, 5]);
});

test('a message from before the arming does not end it', async () => {
  const { asked, clock, message, state, watches, partition } = await watched();
  await asked[0]?.answer(0, true);
  watches.armed(partition, 6);
  message(3);
  await clock.advance(1000);
  assert.equal(asked.length, 1);
  assert.ok(state.wakes >= 2);
});

test('somebody else’s read that arms further on: the watchers are told', async () => {
  const { asked, state, watches, partition } = await watched();
  await asked[0]?.answer(0, true);
  assert.equal(state.wakes, 1);
  watches.armed(partition, 7);
  assert.equal(state.wakes, 2);
  watches.armed(partition, 7);
  assert.equal(state.wakes, 2);
});

test('after a new connection all begins anew, at lower offsets too', async () => {
  const { asked, state, reconnect, message, clock } = await watched();
  await asked[0]?.answer(100, true);
  const { wakes } = state;
  reconnect();
  assert.equal(state.wakes, wakes + 1);
  assert.deepEqual([asked.length, asked[1]?.offset], [2, 0]);
  await asked[1]?.answer(40, false);
  await clock.advance(20);
  await asked[2]?.answer(40, true);
  message(41);
  assert.equal(state.wakes, wakes + 3);
  await clock.advance(20);
  assert.deepEqual([asked.length, asked[3]?.offset], [4, 41]);
});
