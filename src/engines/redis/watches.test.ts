/** Wake-ups: none is missed, and they cost the server little. What every engine must do: conformance/laws/watch.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Engine } from '../../core/contracts/engine.ts';
import { missingRedis } from '../../core/testing/redis-servers/installed.ts';
import type { ServerProcess } from '../../core/testing/redis-servers/server-process.ts';
import { startRedis } from '../../core/testing/redis-servers/start-redis.ts';
import { until, untilStill } from '../../core/testing/until.ts';
import { append, ensureTopic, openEngine, PLACE, untilServed } from './redis-engine.fixture.ts';

const skip = missingRedis();

/** Reads when woken, to the end. */
function follow(engine: Engine): { next: number; reads: number; stop(): void } {
  const reader = { next: 0, reads: 0, stop: () => {} };
  let isWoken = false;
  let isReading = false;
  const drain = async (): Promise<void> => {
    isReading = true;
    while (isWoken) {
      isWoken = false;
      reader.reads++;
      const result = await engine.store.read(PLACE, { epoch: '', offset: reader.next }, 1e6).catch(() => undefined);
      const last = result?.batches.at(-1);
      if (last === undefined) continue;
      reader.next = last.firstOffset + last.set.count;
      isWoken = true;
    }
    isReading = false;
  };
  reader.stop = engine.store.watch(PLACE, () => {
    isWoken = true;
    if (!isReading) void drain();
  });
  return reader;
}

async function callsOf(server: ServerProcess, command: string): Promise<number> {
  const text = String(await server.call('INFO', 'commandstats'));
  return Number(new RegExp(`^cmdstat_${command}:calls=(\\d+)`, 'm').exec(text)?.[1] ?? 0);
}

test('many appends between two reads cost one message', { skip }, async (t) => {
  const { server, url } = await startRedis(t);
  const [writer, watcher] = [await openEngine(t, url), await openEngine(t, url)];
  await ensureTopic(writer);
  await watcher.topics.find(PLACE.topic);
  const reader = follow(watcher);
  await append(writer, ['x']);
  await until('it is read', () => reader.next === 1);
  // Nobody reads: the watch is armed once, and taken away by the first append.
  reader.stop();
  let wakes = 0;
  const stop = watcher.store.watch(PLACE, () => wakes++);
  await until('it is armed', async () => (await server.call('HGET', '{tandem:0}:meta:orders:0', 'armed')) === '1');
  const before = await callsOf(server, 'spublish');
  const wakesBefore = wakes;
  await Promise.all(Array.from({ length: 500 }, () => append(writer, ['x'])));
  await until('it is woken', () => wakes > wakesBefore);
  const messages = (await callsOf(server, 'spublish')) - before;
  assert.ok(messages >= 1 && messages < 50, `${messages} messages for 500 appends`);
  stop();
});

test('a reader at the end costs nothing but the slow look', { skip }, async (t) => {
  const { server, url } = await startRedis(t);
  const engine = await openEngine(t, url, { topicsIntervalMs: 600_000 });
  await ensureTopic(engine);
  const reader = follow(engine);
  await append(engine, ['x']);
  await until('it is read', () => reader.next === 1);
  await untilStill('nothing is called any more', () => callsOf(server, 'fcall'));
  reader.stop();
});

test('every watcher of a process is told, whoever of them read first', { skip }, async (t) => {
  const { url } = await startRedis(t);
  const [writer, watcher] = [await openEngine(t, url), await openEngine(t, url)];
  await ensureTopic(writer);
  await watcher.topics.find(PLACE.topic);
  const readers = [follow(watcher), follow(watcher), follow(watcher)];
  for (let i = 1; i <= 50; i++) {
    await Promise.all([append(writer, ['x']), append(writer, ['y'])]);
    // Somebody who does not watch arms too.
    if (i % 2 === 0) await watcher.store.read(PLACE, { epoch: '', offset: 2 * i }, 1000);
    await until('all are there', () => readers.every(({ next }) => next === 2 * i));
  }
  for (const reader of readers) reader.stop();
});

test('appends are seen after the server was away', { skip }, async (t) => {
  const { server, url } = await startRedis(t, { config: ['appendonly yes', 'appendfsync always'] });
  const [writer, watcher] = [await openEngine(t, url), await openEngine(t, url)];
  await ensureTopic(writer);
  await watcher.topics.find(PLACE.topic);
  const reader = follow(watcher);
  for (let round = 1; round <= 3; round++) {
    await append(writer, ['x']);
    await until('it is read', () => reader.next === 2 * round - 1);
    await server.restart();
    await untilServed(writer);
    await append(writer, ['y']);
    await until('it is read after the restart', () => reader.next === 2 * round);
  }
  reader.stop();
});

test('a lost arming is made good by the slow look', { skip }, async (t) => {
  const { server, url } = await startRedis(t);
  const [writer, watcher] = [await openEngine(t, url), await openEngine(t, url, { watchIntervalMs: 200 })];
  await ensureTopic(writer);
  await watcher.topics.find(PLACE.topic);
  const reader = follow(watcher);
  await append(writer, ['x']);
  await until('it is read', () => reader.next === 1);
  const meta = '{tandem:0}:meta:orders:0';
  await until('it is armed', async () => (await server.call('HGET', meta, 'armed')) === '1');
  await server.call('HSET', meta, 'armed', '0');
  await append(writer, ['y']);
  await until('it is read all the same', () => reader.next === 2);
  reader.stop();
});
