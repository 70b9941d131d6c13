import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { systemClock } from '../../core/ports/clock.ts';
import { recordSetOf } from '../../core/record-set.ts';
import { until } from '../../core/testing/until.ts';
import type { EmbeddedEngine } from './embedded-engine.ts';
import { acquireExclusiveLock } from './exclusive-lock.ts';
import { Leases } from './leases.ts';
import { ownerSlot } from './ownership.ts';
import { PeerClient } from './peers/peer-client.ts';
import { openStateDatabase } from './state-database.ts';
import { afterKill, appendTexts, ensure, openFor, readTexts, testFolder } from './testing/embedded-fixture.ts';

const PARTITIONS = 8;
const placeOf = (partition: number) => ({ topic: 't', partition });

function openSlots(t: TestContext, folder: string, slots: number): Promise<EmbeddedEngine[]> {
  const open = (_: unknown, slot: number) => openFor(t, folder, { slot: { slot, slots, slotTerm: 1 } });
  return Promise.all(Array.from({ length: slots }, open));
}

const closeAll = (engines: readonly EmbeddedEngine[]) => Promise.all(engines.map((engine) => engine.close()));

test('partitions move to other slots between runs, with all their records and producers', async (t) => {
  let folder = testFolder(t);
  const expected = Array.from({ length: PARTITIONS }, (): string[] => []);
  let run = 0;
  for (const slots of [4, 2, 8, 1, 3]) {
    run++;
    const engines = await openSlots(t, folder, slots);
    const [engine] = engines as [EmbeddedEngine];
    await ensure(engine, PARTITIONS);
    const appends: Promise<unknown>[] = [];
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const text = `run ${run} partition ${partition}`;
      expected[partition]?.push(text);
      // From any process, and twice.
      const any = engines[(partition + run) % slots] as EmbeddedEngine;
      appends.push(appendTexts(any, [text], { id: 'p', sequence: run }, placeOf(partition)));
      appends.push(appendTexts(any, [text], { id: 'p', sequence: run }, placeOf(partition)));
    }
    await Promise.all(appends);
    for (let partition = 0; partition < PARTITIONS; partition++)
      for (const any of engines) assert.deepEqual(await readTexts(any, placeOf(partition)), expected[partition]);
    const killed = afterKill(t, folder);
    await closeAll(engines);
    // Every other run ends with kill -9.
    if (run % 2 === 0) folder = killed;
  }
});

test('every slot has work of a topic with as many partitions, partition 0 is with slot 0, small topics spread', async (t) => {
  const [a, b] = (await openSlots(t, testFolder(t), 2)) as [EmbeddedEngine, EmbeddedEngine];
  await ensure(a, 2);
  assert.deepEqual([a.store.localPartitions('t'), b.store.localPartitions('t')], [[0], [1]]);
  const owners = Array.from({ length: 100 }, (_, i) => ownerSlot(`topic-${i}`, 1, 0, 4));
  for (let slot = 0; slot < 4; slot++) assert.ok(owners.filter((owner) => owner === slot).length > 10);
  await ensure(a, 1, 'small');
  await ensure(a, 3, 'small');
  const all = [...a.store.localPartitions('small'), ...b.store.localPartitions('small')];
  assert.deepEqual(all.sort(), [0, 1, 2]);
});

test('many appends to another slot keep their order, and a refused producer leaves no hole', async (t) => {
  const engines = await openSlots(t, testFolder(t), 2);
  const [, b] = engines as [EmbeddedEngine, EmbeddedEngine];
  await ensure(b, 2);
  const texts = Array.from({ length: 2000 }, (_, i) => `${i}`);
  await Promise.all(texts.map((text) => appendTexts(b, [text], undefined, placeOf(0))));
  assert.deepEqual(await readTexts(b, placeOf(0)), texts);
  await b.store.claim(placeOf(0), 7);
  const set = { ...placeOf(0), set: { count: 0, lengths: new Uint32Array(0), data: Buffer.alloc(0) } };
  await assert.rejects(b.store.append({ ...set, term: 6, producer: { id: 'p', sequence: 1 } }), {
    code: 'TANDEM_TERM_FENCED',
  });
  await assert.rejects(appendTexts(b, ['behind'], { id: 'p', sequence: 2 }, placeOf(0)), {
    code: 'TANDEM_TERM_FENCED',
  });
  await appendTexts(b, ['first', 'behind'], { id: 'p', sequence: 1 }, placeOf(0));
  assert.deepEqual((await readTexts(b, placeOf(0))).slice(2000), ['first', 'behind']);
});

test('while an owner is replaced, requests of others wait for it and watches go on', async (t) => {
  const folder = testFolder(t);
  const [a, b] = (await openSlots(t, folder, 2)) as [EmbeddedEngine, EmbeddedEngine];
  await ensure(a, 2);
  const place = placeOf(0);
  let seen = 0;
  const stop = b.store.watch(place, () => {
    b.store.state(place).then(
      ({ nextOffset }) => {
        seen = nextOffset;
      },
      () => {},
    );
  });
  await appendTexts(b, ['a'], undefined, place);
  await until('the first record is seen', () => seen === 1);
  // In hand while the owner drains: with and without a producer, none may be refused.
  const drained = [appendTexts(b, ['b'], undefined, place), appendTexts(b, ['c'], { id: 'p', sequence: 1 }, place)];
  const closed = a.close();
  const waiting = [appendTexts(b, ['d'], undefined, place), appendTexts(b, ['e'], { id: 'p', sequence: 2 }, place)];
  await closed;
  waiting.push(appendTexts(b, ['f'], undefined, place));
  const again = await openFor(t, folder, { slot: { slot: 0, slots: 2, slotTerm: 2 } });
  await Promise.all([...drained, ...waiting]);
  await until('all records are seen', () => seen === 6);
  stop();
  assert.deepEqual((await readTexts(again, place)).sort(), ['a', 'b', 'c', 'd', 'e', 'f']);
});

test('a slot has one process', async (t) => {
  const folder = testFolder(t);
  const engine = await openFor(t, folder);
  await assert.rejects(openFor(t, folder, { lockWaitMs: 20 }), { code: 'TANDEM_DATA_LOCKED' });
  const waiting = openFor(t, folder);
  await engine.close();
  await waiting;
});

test('an exclusive lock is given up by release and can be waited for', async (t) => {
  const path = join(testFolder(t), 'lock');
  const lock = await acquireExclusiveLock(path, { waitMs: 0 });
  await assert.rejects(acquireExclusiveLock(path, { waitMs: 0 }), { code: 'TANDEM_DATA_LOCKED' });
  const next = acquireExclusiveLock(path, { waitMs: 5000 });
  lock.release();
  lock.release();
  (await next).release();
});

test('terms rise over all ways to get one', async (t) => {
  const folder = testFolder(t);
  const state = openStateDatabase(folder);
  const first = state.nextTerm();
  const leases = new Leases({ state, dataDir: folder });
  const grant = await leases.acquire('l', 'me', 1000);
  assert.ok(grant !== undefined && grant.term > first);
  leases.close();
  state.raiseTerm(100);
  assert.equal(state.nextTerm(), 101);
  state.close();
  const engine = await openFor(t, folder, { slot: { slot: 0, slots: 1, slotTerm: 200 } });
  await ensure(engine);
  const { assignments } = await engine.groups.join('g', 't', () => {});
  assert.deepEqual(assignments, [{ partition: 0, term: 201 }]);
});

test('with one slot there is no socket; a path too long for one is avoided', async (t) => {
  const folder = testFolder(t);
  await openFor(t, folder);
  assert.ok(!readdirSync(folder).includes('run'));
  const deep = join(folder, 'd'.repeat(90), 'e'.repeat(90));
  const [a, b] = (await openSlots(t, deep, 2)) as [EmbeddedEngine, EmbeddedEngine];
  await ensure(a, 2);
  await appendTexts(a, ['x'], undefined, placeOf(1));
  assert.deepEqual(await readTexts(b, placeOf(1)), ['x']);
});

test('a slot that is asked for what another one owns refuses: it may have been asked by who thinks of other slots', async (t) => {
  const folder = testFolder(t);
  const [a] = (await openSlots(t, folder, 2)) as [EmbeddedEngine, EmbeddedEngine];
  await ensure(a, 2);
  const wrong = new PeerClient(0, join(folder, 'run', 'slot-0.sock'), systemClock, { own: 0 });
  t.after(() => wrong.close());
  assert.equal((await wrong.state(placeOf(0))).nextOffset, 0);
  await assert.rejects(wrong.state(placeOf(1)), { code: 'TANDEM_OWNER_UNAVAILABLE' });
  const set = recordSetOf([{ data: Buffer.from('x') }]);
  await assert.rejects(wrong.append({ ...placeOf(1), set }), { code: 'TANDEM_OWNER_UNAVAILABLE' });
});
