/** A failover to a replica that missed writes: nothing is passed over in silence, nothing is stored twice, and all goes on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missingRedis } from '../../core/testing/redis-servers/installed.ts';
import type { ServerProcess } from '../../core/testing/redis-servers/server-process.ts';
import { startSentinel } from '../../core/testing/redis-servers/start-sentinel.ts';
import { until } from '../../core/testing/until.ts';
import {
  append,
  codeOf,
  ensureTopic,
  lostAt,
  openEngine,
  PLACE,
  readTexts,
  setOf,
  texts,
  untilServed,
} from './redis-engine.fixture.ts';

const skip = missingRedis();
const LOG = '{tandem:0}:log:orders:0';

/** From here on the replica misses what the master takes. */
async function cutOff(master: ServerProcess, replica: ServerProcess, entries: number): Promise<void> {
  await until('the replica has it all', async () => (await replica.call('XLEN', LOG)) === entries);
  replica.pause();
  await master.call('CLIENT', 'KILL', 'TYPE', 'replica');
}

test('Sentinel promotes a replica that missed writes', { skip, timeout: 60_000 }, async (t) => {
  const { url, servers } = await startSentinel(t);
  const [master, replica] = servers as [ServerProcess, ServerProcess];
  const engine = await openEngine(t, url);
  await ensureTopic(engine);
  const send = (sequence: number, id = 'p') =>
    engine.store.append({ ...PLACE, set: setOf(`${id}-${sequence}`), producer: { id, sequence } });
  const forward = (sequence: number) =>
    engine.store.append({ ...PLACE, set: setOf(`o-${sequence}`), origin: { id: 'o', sequence } });
  for (let sequence = 1; sequence <= 5; sequence++) await send(sequence);
  for (let sequence = 1; sequence <= 5; sequence++) await forward(sequence);
  const before = await engine.store.state(PLACE);
  assert.equal(before.nextOffset, 10);
  const kept = [...texts('p', 5, 1), ...texts('o', 5, 1)];
  const seen: string[] = [];
  const reader = watchLosses(engine, before.epoch, seen);

  await cutOff(master, replica, 10);
  for (let sequence = 6; sequence <= 10; sequence++) await send(sequence);
  for (let sequence = 6; sequence <= 10; sequence++) await forward(sequence);
  await until('the reader has seen it', () => seen.length === 20);
  await master.kill();
  replica.resume();
  await untilServed(engine);

  const after = await engine.store.state(PLACE);
  assert.deepEqual({ ...after, epoch: '' }, { epoch: '', firstOffset: 0, nextOffset: 10 });
  assert.notEqual(after.epoch, before.epoch);
  for (const offset of [0, 5, 10])
    assert.equal((await engine.store.read(PLACE, { epoch: before.epoch, offset }, 1)).epoch, after.epoch);
  for (const offset of [11, 20])
    assert.deepEqual(await lostAt(engine, before.epoch, offset), { ...after, commonOffset: 10 });
  // What was lost is known not to be there, and is stored when it is sent again.
  assert.equal(await engine.store.lastSequence(PLACE, 'p'), 5);
  assert.equal(await engine.store.originSequence(PLACE, 'o'), 5);
  await assert.rejects(forward(11), (error) => codeOf(error) === 'TANDEM_ORIGIN_GAP');
  for (let sequence = 4; sequence <= 10; sequence++) await forward(sequence);
  for (let sequence = 4; sequence <= 10; sequence++) await send(sequence);
  assert.deepEqual(await readTexts(engine), [...kept, ...texts('o', 5, 6), ...texts('p', 5, 6)]);
  await until('the reader was told', () => reader.losses.length > 0);
  assert.deepEqual(reader.losses, ['TANDEM_POSITION_LOST']);
  reader.stop();
});

test('a planned failover, and one that lost nothing: readers go on', { skip, timeout: 60_000 }, async (t) => {
  const { url, servers, sentinels, master } = await startSentinel(t);
  const engine = await openEngine(t, url);
  await ensureTopic(engine);
  const before = await append(engine, texts('x', 10));
  const [first, replica] = servers as [ServerProcess, ServerProcess];
  await until('the replica has it all', async () => (await replica.call('XLEN', LOG)) === 1);
  const seen: string[] = [];
  const reader = watchLosses(engine, before.epoch, seen);
  await until('the reader is at the end', () => seen.length === 10);
  await sentinels[0]?.call('SENTINEL', 'FAILOVER', 'main');
  await until('another server is master', async () => (await master().catch(() => first)) !== first);
  await until('appends work', () =>
    append(engine, ['late']).then(
      () => true,
      () => false,
    ),
  );
  const { epoch } = await engine.store.state(PLACE);
  assert.notEqual(epoch, before.epoch);
  await until('the reader goes on', () => seen.length >= 11);
  assert.deepEqual(reader.losses, []);
  assert.deepEqual(seen, await readTexts(engine));
  reader.stop();
});

/** Reads when woken, from position to position; stops at the first position that is lost. */
function watchLosses(
  engine: Awaited<ReturnType<typeof openEngine>>,
  epoch: string,
  seen: string[],
): { readonly losses: string[]; stop(): void } {
  const losses: string[] = [];
  let position = { epoch, offset: 0 };
  let isReading = false;
  let isWoken = false;
  const drain = async (): Promise<void> => {
    isReading = true;
    while (isWoken && losses.length === 0) {
      isWoken = false;
      try {
        const { batches, epoch: current } = await engine.store.read(PLACE, position, 100_000);
        for (const { set, firstOffset } of batches) {
          seen.push(
            ...set.data
              .toString()
              .trimEnd()
              .split('\n')
              .slice(position.offset - firstOffset),
          );
          position = { epoch: current, offset: firstOffset + set.count };
        }
        if (batches.length > 0) isWoken = true;
      } catch (error) {
        if (codeOf(error) === 'TANDEM_POSITION_LOST') losses.push(codeOf(error));
        else isWoken = true;
      }
    }
    isReading = false;
  };
  const stop = engine.store.watch(PLACE, () => {
    isWoken = true;
    if (!isReading) void drain();
  });
  return { losses, stop };
}
