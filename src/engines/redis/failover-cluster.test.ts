/** A cluster: each shard has a history of its own; slots that move take theirs with them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missingRedis } from '../../core/testing/redis-servers/installed.ts';
import type { ServerProcess } from '../../core/testing/redis-servers/server-process.ts';
import { type StartedCluster, startCluster } from '../../core/testing/redis-servers/start-cluster.ts';
import { until } from '../../core/testing/until.ts';
import { hashSlot } from './connections/hash-slot.ts';
import { shardOf, shardTag } from './keys.ts';
import {
  append,
  ensureTopic,
  lostAt,
  openEngine,
  readTexts,
  TOPIC,
  texts,
  untilServed,
} from './redis-engine.fixture.ts';

const skip = missingRedis();
const SHARDS = 6;
const PARTITIONS = 8;
const places = Array.from({ length: PARTITIONS }, (_, partition) => ({ topic: TOPIC, partition }));
const tagOf = (place: (typeof places)[0]): string => shardTag('tandem', shardOf(place, SHARDS));

async function replicaOf({ servers }: StartedCluster, master: ServerProcess): Promise<ServerProcess> {
  for (const server of servers)
    if ((await server.info('replication', 'master_port')) === String(master.port)) return server;
  return assert.fail('a replica');
}

test('a master that dies with writes its replica missed: its shards’ epochs change, others stay', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const cluster = await startCluster(t);
  const engine = await openEngine(t, cluster.url, { shards: SHARDS });
  await ensureTopic(engine, PARTITIONS);
  for (const place of places) await append(engine, texts('kept', 3), place);
  const before = await Promise.all(places.map((place) => engine.store.state(place)));
  const [place = assert.fail()] = places;
  const master = await cluster.ownerOf(hashSlot(tagOf(place)));
  const replica = await replicaOf(cluster, master);
  await until('the replica has it', async () => {
    const synced = await replica.info('replication', 'slave_repl_offset');
    return synced === (await master.info('replication', 'master_repl_offset'));
  });
  replica.pause();
  await master.call('CLIENT', 'KILL', 'TYPE', 'replica');
  await append(engine, texts('lost', 2), place);
  await master.kill();
  replica.resume();
  await untilServed(engine, place);

  const isHit = (other: (typeof places)[0]) =>
    cluster.ownerOf(hashSlot(tagOf(other))).then((owner) => owner === replica);
  for (const [i, other] of places.entries()) {
    await untilServed(engine, other);
    const { epoch, nextOffset } = await engine.store.state(other);
    assert.equal(nextOffset, 3);
    assert.equal(epoch !== before[i]?.epoch, await isHit(other), `partition ${i}`);
    const old = { epoch: before[i]?.epoch ?? '', offset: 3 };
    assert.equal((await engine.store.read(other, old, 1)).epoch, epoch);
  }
  assert.ok(await lostAt(engine, before[0]?.epoch ?? '', 5, place));
  for (const other of places) {
    await append(engine, ['new'], other);
    assert.deepEqual(await readTexts(engine, other), [...texts('kept', 3), 'new']);
  }
});

test('a slot that moves while records are appended: all of them, once, in order', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const cluster = await startCluster(t, { replicasPerMaster: 0 });
  const engine = await openEngine(t, cluster.url, { shards: SHARDS });
  await ensureTopic(engine, PARTITIONS);
  const [place = assert.fail()] = places;
  const before = await append(engine, ['x-0'], place);
  const slot = hashSlot(tagOf(place));
  let isMoved = false;
  let sent = 1;
  const stored: Promise<unknown>[] = [];
  for (const to of cluster.servers) {
    isMoved = false;
    const moved = cluster.migrate(slot, to).then(() => {
      isMoved = true;
    });
    await until('it has moved', () => {
      for (let i = 0; i < 5; i++) stored.push(append(engine, [`x-${sent++}`], place));
      return isMoved;
    });
    await moved;
  }
  await Promise.all(stored);
  assert.deepEqual(await readTexts(engine, place), texts('x', sent));
  const state = await engine.store.state(place);
  assert.notEqual(state.epoch, before.epoch, 'another server, another history');
  assert.equal((await engine.store.read(place, { epoch: before.epoch, offset: 1 }, 1)).batches.length, 1);
});
