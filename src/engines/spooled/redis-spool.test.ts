/** An embedded log before a real Redis, which is killed, paused, put back, and restarted with nothing; and a spooling process that is killed with -9. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { missingRedis } from '../../core/testing/redis-servers/installed.ts';
import type { ServerProcess } from '../../core/testing/redis-servers/server-process.ts';
import { startRedis } from '../../core/testing/redis-servers/start-redis.ts';
import { startSentinel } from '../../core/testing/redis-servers/start-sentinel.ts';
import { until } from '../../core/testing/until.ts';
import { openRemoteEngine, type RemoteEngine } from '../conformance/remote-engine.ts';
import { openEmbeddedEngine } from '../embedded/embedded-engine.ts';
import { openRedisEngine, type RedisEngine } from '../redis/redis-engine.ts';
import { openSpooledEngine, type SpooledEngine } from './spooled-engine.ts';
import { append, metric, texts } from './testing/spool-fixture.ts';

const skip = missingRedis();
const PARTITIONS = 3;
const TOPIC = { name: 't', partitions: PARTITIONS, retentionMs: null, retentionBytes: null };
const CHILD = new URL('./testing/spooling-process.ts', import.meta.url);

function makeFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-spool-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function openSpool(t: TestContext, url: string): Promise<SpooledEngine> {
  const local = await openEmbeddedEngine({ dataDir: makeFolder(t), slot: { slot: 0, slots: 1, slotTerm: 1 } });
  const remote = await openRedisEngine({ url });
  const spool = await openSpooledEngine({
    local,
    remote,
    originId: `spool/${local.storeId}`,
    roundMs: 100,
    drainMs: 0,
  });
  t.after(() => spool.close());
  await spool.topics.ensure(TOPIC);
  return spool;
}

async function readTexts(reader: RedisEngine, partition: number): Promise<string[]> {
  const place = { topic: 't', partition };
  const found: string[] = [];
  for (;;) {
    const { batches } = await reader.store.read(place, { epoch: '', offset: found.length }, 1 << 20);
    if (batches.length === 0) return found;
    for (const { set } of batches) found.push(...set.data.toString().trimEnd().split('\n'));
  }
}

/** Appends one by one to all partitions until stopped; what was acknowledged, by partition. */
class Writer {
  readonly acked: string[][] = Array.from({ length: PARTITIONS }, () => []);
  refused = 0;
  #isStopped = false;
  readonly #lanes: Promise<void>[];

  constructor(spool: SpooledEngine) {
    this.#lanes = this.acked.map(async (acked, partition) => {
      for (let i = 0; !this.#isStopped; i++) {
        const text = `${partition}-${i}`;
        await append(spool, [text], undefined, { topic: 't', partition }).then(
          () => acked.push(text),
          () => this.refused++,
        );
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
  }

  get count(): number {
    return this.acked.reduce((sum, { length }) => sum + length, 0);
  }

  async goOn(count: number): Promise<void> {
    const before = this.count;
    await until(`${count} more are acknowledged`, () => this.count >= before + count);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#lanes);
  }
}

async function allStored(t: TestContext, url: string, writer: Writer): Promise<void> {
  await writer.stop();
  assert.equal(writer.refused, 0);
  const reader = await openRedisEngine({ url });
  t.after(() => reader.close());
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const acked = writer.acked[partition] as string[];
    await until(
      'all is there',
      async () => (await readTexts(reader, partition).catch(() => [])).length >= acked.length,
    );
    assert.deepEqual(await readTexts(reader, partition), acked);
  }
}

test('Redis is killed and comes back with all, with an earlier state, with nothing', { skip }, async (t) => {
  const { url, server } = await startRedis(t, { config: ['save ""'] });
  const spool = await openSpool(t, url);
  const writer = new Writer(spool);
  await writer.goOn(300);
  await server.call('SAVE');
  await writer.goOn(300);
  await server.kill();
  await until('it is noticed', () => metric(spool, 'is_remote_away') === 1);
  await writer.goOn(300);
  await server.restart();
  await until('it is back', () => metric(spool, 'is_remote_away') === 0);
  await writer.goOn(300);
  await server.restart({ empty: true });
  await writer.goOn(300);
  await allStored(t, url, writer);
  assert.ok((metric(spool, 'sent_again_total') as number) > 300);
  assert.equal(metric(spool, 'lost_total'), 0);
});

test('Redis hangs: appends go on, and nothing comes twice', { skip }, async (t) => {
  const { url, server } = await startRedis(t);
  const spool = await openSpool(t, url);
  const writer = new Writer(spool);
  for (let round = 0; round < 2; round++) {
    await writer.goOn(200);
    server.pause();
    await writer.goOn(200);
    if (round === 1) await until('it is noticed', () => metric(spool, 'is_remote_away') === 1);
    await writer.goOn(200);
    server.resume();
  }
  await allStored(t, url, writer);
});

test('Sentinel fails over to a replica that has not got the last records', { skip }, async (t) => {
  const { url, servers } = await startSentinel(t);
  const spool = await openSpool(t, url);
  const writer = new Writer(spool);
  await writer.goOn(300);
  const [master, replica] = servers as [ServerProcess, ServerProcess];
  replica.pause();
  await master.call('CLIENT', 'KILL', 'TYPE', 'replica');
  const before = metric(spool, 'forwarded_total') as number;
  await until('some are only there', () => (metric(spool, 'forwarded_total') as number) > before + 100);
  await master.kill();
  replica.resume();
  await until('it is noticed', () => metric(spool, 'is_remote_away') === 1);
  await until('the replica is found', () => metric(spool, 'is_remote_away') === 0);
  await writer.goOn(100);
  await allStored(t, url, writer);
  assert.ok((metric(spool, 'sent_again_total') as number) > 100);
  assert.equal(metric(spool, 'lost_total'), 0);
});

test('a spooling process that is killed over and over loses nothing and stores nothing twice', { skip }, async (t) => {
  const { url, server } = await startRedis(t);
  const folder = makeFolder(t);
  let child: RemoteEngine | undefined;
  t.after(() => child?.kill());
  const acked = Array.from({ length: PARTITIONS }, (): string[] => []);
  const sent = Array.from({ length: PARTITIONS }, () => 0);
  let stored = 0;
  for (let round = 1; round <= 4; round++) {
    const live = await openRemoteEngine(CHILD, [folder, String(round), JSON.stringify({ url, roundMs: 200 })]);
    child = live;
    await live.topics.ensure(TOPIC);
    // Of the last one: sent again, as clients do.
    const again = stored;
    stored = Math.max(stored, await live.store.lastSequence({ topic: 't', partition: 0 }, 'p'));
    assert.ok(stored >= again, 'what was acknowledged is known');
    let answers = 0;
    let killing: Promise<void> | undefined;
    const count = (): void => {
      if (++answers === 150 * round) killing = live.kill();
    };
    const lanes = acked.map(async (list, partition) => {
      while (killing === undefined) {
        const text = `x-${partition}-${(sent[partition] as number)++}`;
        await append(live, [text], undefined, { topic: 't', partition });
        list.push(text);
        count();
      }
    });
    const producing = async (): Promise<void> => {
      while (killing === undefined) {
        await append(live, texts('p', 2, stored + 1), { id: 'p', sequence: stored + 1 });
        stored += 2;
        count();
      }
    };
    if (round === 2) await server.kill();
    await Promise.allSettled([...lanes, producing()]);
    await killing;
    if (round === 2) await server.restart({ empty: true });
  }
  child = await openRemoteEngine(CHILD, [folder, '9', JSON.stringify({ url, roundMs: 200 })]);
  const reader = await openRedisEngine({ url });
  t.after(() => reader.close());
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const mine = acked[partition] as string[];
    const isAll = (found: readonly string[]): boolean => {
      const there = new Set(found);
      return mine.every((text) => there.has(text)) && (partition > 0 || there.has(`p-${stored}`));
    };
    await until('all is there', async () => isAll(await readTexts(reader, partition).catch(() => [])));
    const found = await readTexts(reader, partition);
    assert.equal(new Set(found).size, found.length, 'once');
    const numbers = found.filter((text) => text.startsWith('x')).map((text) => Number(text.split('-')[2]));
    assert.deepEqual(
      numbers,
      numbers.toSorted((a, b) => a - b),
      'in order',
    );
  }
  const ofProducer = (await readTexts(reader, 0)).filter((text) => text.startsWith('p'));
  assert.deepEqual(ofProducer, texts('p', ofProducer.length, 1));
  assert.ok(ofProducer.length >= stored);
});
