/** Epochs: what a restart or a failover lost is never passed over in silence, what it kept costs no reader anything. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { missingRedis } from '../../core/testing/redis-servers/installed.ts';
import { startRedis } from '../../core/testing/redis-servers/start-redis.ts';
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
  TOPIC,
  texts,
  untilServed,
} from './redis-engine.fixture.ts';

const skip = missingRedis();

test('a restart that lost nothing costs readers nothing', { skip }, async (t) => {
  const { server, url } = await startRedis(t, { config: ['appendonly yes', 'appendfsync always'] });
  const engine = await openEngine(t, url);
  await ensureTopic(engine, 2);
  const before = await append(engine, texts('x', 5));
  await server.restart();
  await untilServed(engine);
  const { epoch, nextOffset } = await engine.store.state(PLACE);
  assert.notEqual(epoch, before.epoch, 'another history');
  assert.equal(nextOffset, 5);
  for (const offset of [0, 3, 5]) {
    const result = await engine.store.read(PLACE, { epoch: before.epoch, offset }, 1000);
    assert.deepEqual([result.epoch, result.nextOffset], [epoch, 5]);
  }
  await append(engine, texts('x', 2, 5));
  assert.equal((await engine.store.read(PLACE, { epoch: before.epoch, offset: 5 }, 1000)).batches[0]?.firstOffset, 5);
  assert.deepEqual(await lostAt(engine, before.epoch, 6), { epoch, firstOffset: 0, nextOffset: 7, commonOffset: 5 });
  assert.deepEqual(await readTexts(engine), texts('x', 7));
});

test('a server that restarts empty gives new epochs, and all goes on', { skip }, async (t) => {
  const { server, url } = await startRedis(t);
  const engine = await openEngine(t, url);
  await ensureTopic(engine, 2);
  const before = await append(engine, texts('old', 5));
  await engine.store.append({ ...PLACE, set: setOf('p'), producer: { id: 'p', sequence: 1 } });
  await server.restart({ empty: true });
  await untilServed(engine);
  for (const offset of [0, 3, 5]) assert.ok(await lostAt(engine, before.epoch, offset));
  assert.equal(await engine.store.lastSequence(PLACE, 'p'), 0);
  const after = await append(engine, texts('new', 7));
  assert.notEqual(after.epoch, before.epoch);
  assert.deepEqual(after.runs, [{ count: 7, firstOffset: 0, isDuplicate: false }]);
  // Offsets that exist again, in another history.
  assert.deepEqual(await lostAt(engine, before.epoch, 3), { epoch: after.epoch, firstOffset: 0, nextOffset: 7 });
  assert.deepEqual(await readTexts(engine), texts('new', 7));
  const other = await openEngine(t, url);
  assert.equal((await other.topics.find(TOPIC))?.partitions, 2, 'the topic is there for others too');
  assert.equal(other.storeId, engine.storeId);
});

test('a restart from an older snapshot: positions that survived go on, those beyond are lost', { skip }, async (t) => {
  const { server, url } = await startRedis(t);
  const engine = await openEngine(t, url);
  await ensureTopic(engine, 2);
  const before = await append(engine, texts('kept', 10));
  await server.call('SAVE');
  await append(engine, texts('lost', 10));
  await server.restart();
  await untilServed(engine);
  for (const offset of [0, 7, 10])
    assert.equal((await engine.store.read(PLACE, { epoch: before.epoch, offset }, 1)).nextOffset, 10);
  const state = await engine.store.state(PLACE);
  for (const offset of [11, 20])
    assert.deepEqual(await lostAt(engine, before.epoch, offset), { ...state, commonOffset: 10 }, `offset ${offset}`);
  await append(engine, texts('new', 15));
  assert.ok(await lostAt(engine, before.epoch, 15), 'offsets that exist again');
  assert.equal((await engine.store.read(PLACE, { epoch: before.epoch, offset: 10 }, 1)).batches[0]?.firstOffset, 10);
  assert.deepEqual(await readTexts(engine), [...texts('kept', 10), ...texts('new', 15)]);
});

test('two restarts from the same snapshot are two histories', { skip }, async (t) => {
  const { server, url } = await startRedis(t);
  const engine = await openEngine(t, url);
  await ensureTopic(engine);
  const first = await append(engine, texts('kept', 4));
  await server.call('SAVE');
  await server.restart();
  await untilServed(engine);
  const second = await append(engine, texts('second', 4));
  await server.restart();
  await untilServed(engine);
  await append(engine, texts('third', 8));
  const state = await engine.store.state(PLACE);
  assert.deepEqual(
    await lostAt(engine, second.epoch, 8),
    { ...state, commonOffset: 4 },
    'the history that was lost whole',
  );
  assert.equal((await engine.store.read(PLACE, { epoch: second.epoch, offset: 4 }, 1)).batches[0]?.firstOffset, 4);
  assert.equal((await engine.store.read(PLACE, { epoch: first.epoch, offset: 4 }, 1)).batches[0]?.firstOffset, 4);
  assert.deepEqual(await readTexts(engine), [...texts('kept', 4), ...texts('third', 8)]);
});

test('several histories are lost whole: what was read in the last of them goes on where they began', {
  skip,
}, async (t) => {
  const { server, url } = await startRedis(t);
  const engine = await openEngine(t, url);
  await ensureTopic(engine);
  const snapshot = join(server.folder, 'dump.rdb');
  await append(engine, texts('kept', 4));
  await server.call('SAVE');
  const kept = readFileSync(snapshot);
  const epochs: string[] = [];
  for (let i = 0; i < 5; i++) {
    await server.restart();
    await untilServed(engine);
    epochs.push((await append(engine, texts(`lost-${i}`, 2))).epoch);
    await server.call('SAVE');
  }
  writeFileSync(snapshot, kept);
  await server.restart();
  await untilServed(engine);
  const state = await engine.store.state(PLACE);
  for (const [i, epoch] of epochs.slice(0, 4).entries()) {
    assert.deepEqual(await lostAt(engine, epoch, 6 + 2 * i), { ...state, commonOffset: 4 }, epoch);
    assert.equal((await engine.store.read(PLACE, { epoch, offset: 4 }, 1)).nextOffset, 4);
  }
  assert.deepEqual(await lostAt(engine, epochs[4] ?? '', 14), state, 'only so many are told');
});

test('a replica is promoted, and its master counts again: what was read from either goes on where they part', {
  skip,
}, async (t) => {
  const { server: master, url } = await startRedis(t);
  const { server: replica, url: replicaUrl } = await startRedis(t);
  const engine = await openEngine(t, url, { historyIntervalMs: 20 });
  await ensureTopic(engine);
  await append(engine, texts('x', 4));
  await replica.call('REPLICAOF', master.host, String(master.port));
  const link = (): Promise<string | undefined> => replica.info('replication', 'master_link_status');
  await until('it follows', async () => (await link()) === 'up');
  // To be followed for the first time makes a history of its own.
  await until('the history is another one', async () => (await engine.store.state(PLACE)).epoch.includes('_4.'));
  const before = await append(engine, texts('x', 1, 4));
  await until('the replica has all', async () => {
    const offset = await master.info('replication', 'master_repl_offset');
    return (await replica.info('replication', 'slave_repl_offset')) === offset;
  });
  await replica.call('REPLICAOF', 'NO', 'ONE');
  const beside = await openEngine(t, replicaUrl);
  const branch = await append(beside, texts('branch', 3));
  await append(engine, texts('x', 4, 5));
  const state = await engine.store.state(PLACE);
  assert.equal(state.epoch, before.epoch);
  assert.deepEqual(await lostAt(engine, branch.epoch, 8), { ...state, commonOffset: 5 });
  assert.equal((await engine.store.read(PLACE, { epoch: branch.epoch, offset: 5 }, 1)).batches[0]?.firstOffset, 5);
});

test('a server that is another one behind the same connection is adopted anew', { skip }, async (t) => {
  const { server, url } = await startRedis(t);
  const engine = await openEngine(t, url, { historyIntervalMs: 20 });
  await ensureTopic(engine);
  const before = await append(engine, texts('x', 5));
  // It was a replica for a moment: its replication id is another one since.
  await server.call('REPLICAOF', '127.0.0.1', '1');
  await server.call('REPLICAOF', 'NO', 'ONE');
  await until('the history is another one', async () => (await engine.store.state(PLACE)).epoch !== before.epoch);
  assert.equal((await engine.store.read(PLACE, { epoch: before.epoch, offset: 5 }, 1)).nextOffset, 5);
});

test('terms that were issued before a restart are not issued again', { skip }, async (t) => {
  const { server, url } = await startRedis(t);
  const engine = await openEngine(t, url);
  await server.call('SAVE');
  const lost = await engine.leases.acquire('a', 'holder', 20);
  await engine.claim(lost?.term ?? 0);
  await server.restart();
  const other = await openEngine(t, url);
  await ensureTopic(other);
  const grant = await other.leases.acquire('b', 'other', 60_000);
  assert.ok(grant === undefined || grant.term > (lost?.term ?? 0) + 2 ** 25, `${grant?.term}`);
  // The claim was lost with the history; who made it makes it again when it learns of that.
  await until('it is claimed again', async () => {
    const claimed = await server.call('HGET', '{tandem:0}:shard', 'claimed');
    return claimed === String(lost?.term);
  });
  await assert.rejects(other.claim((lost?.term ?? 0) - 1), (error) => codeOf(error) === 'TANDEM_TERM_FENCED');
});

test('facts that somebody deleted are made anew, under another epoch; the records stay', { skip }, async (t) => {
  const { server, url } = await startRedis(t);
  const engine = await openEngine(t, url);
  await ensureTopic(engine);
  const before = await append(engine, texts('x', 5));
  await append(engine, texts('x', 5, 5));
  await server.call('DEL', `{tandem:0}:meta:${TOPIC}:0`);
  assert.ok(await lostAt(engine, before.epoch, 3));
  assert.deepEqual((await append(engine, ['x-10'])).runs, [{ count: 1, firstOffset: 10, isDuplicate: false }]);
  assert.deepEqual(await readTexts(engine), texts('x', 11));
  // Its name stands among the earlier histories then; the partition was another one.
  await server.call('SAVE');
  await server.restart();
  await untilServed(engine);
  assert.ok(await lostAt(engine, before.epoch, 3));
});

test('entries that somebody deleted are found', { skip }, async (t) => {
  const { server, url } = await startRedis(t);
  const engine = await openEngine(t, url);
  await ensureTopic(engine);
  for (let i = 0; i < 6; i++) await append(engine, [`x-${i}`]);
  const log = `{tandem:0}:log:${TOPIC}:0`;
  await server.call('XDEL', log, '2-1', '3-1');
  const corrupt = (fromOffset: number, nextOffset: number) => (error: unknown) => {
    assert.equal(codeOf(error), 'TANDEM_LOG_CORRUPT');
    assert.deepEqual((error as { data?: unknown }).data, { fromOffset, nextOffset });
    return true;
  };
  for (const offset of [0, 2])
    await assert.rejects(engine.store.read(PLACE, { epoch: '', offset }, 10_000), corrupt(2, 4));
  assert.equal((await engine.store.read(PLACE, { epoch: '', offset: 4 }, 10_000)).batches.length, 2);
  await server.call('DEL', log);
  await assert.rejects(engine.store.read(PLACE, { epoch: '', offset: 4 }, 10_000), corrupt(4, 6));
  assert.deepEqual((await append(engine, ['x-6'])).runs, [{ count: 1, firstOffset: 6, isDuplicate: false }]);
});
