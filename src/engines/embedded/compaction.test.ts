import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import type { Disk } from '../../core/ports/disk.ts';
import { systemDisk } from '../../core/ports/disk.ts';
import { until } from '../../core/testing/until.ts';
import type { EmbeddedEngine } from './embedded-engine.ts';
import type { LoggedEvent } from './testing/embedded-fixture.ts';
import {
  afterKill,
  appendTexts,
  ensure,
  keepingLogger,
  openFor,
  readTexts,
  testFolder,
} from './testing/embedded-fixture.ts';
import type { DiskFaults } from './testing/failing-disk.ts';
import { failingDisk } from './testing/failing-disk.ts';
import { verifyDataFolder } from './verify-data-folder.ts';

const SEGMENT_BYTES = 16_384;
const OPTIONS = { segmentBytes: SEGMENT_BYTES, retentionIntervalMs: 1e9 };
const LONG = { topic: 'long', partition: 0 };
const SHORT = { topic: 'short', partition: 0 };

const journalOf = (folder: string): string => join(folder, 'journal-0');
const filesOf = (folder: string, end: string): string[] =>
  readdirSync(journalOf(folder))
    .filter((name) => name.endsWith(end))
    .sort();

/** Without those being written or prepared, which are larger than what is in them. */
function sealedBytes(folder: string): number {
  const sidecars = filesOf(folder, '.idx');
  return sidecars
    .flatMap((name) => [name, name.replace('.idx', '.seg')])
    .reduce((sum, name) => sum + statSync(join(journalOf(folder), name)).size, 0);
}

const isSealed = (folder: string): boolean => filesOf(folder, '.seg').length - filesOf(folder, '.idx').length <= 2;

/** A little for ever between much for a short time; returns what is kept. */
async function appendMixed(engine: EmbeddedEngine, from: number, rounds: number): Promise<string[]> {
  const kept: string[] = [];
  for (let i = from; i < from + rounds; i++) {
    kept.push(`kept ${i}`);
    await appendTexts(engine, [`kept ${i}`], undefined, LONG);
    for (let k = 0; k < 7; k++) await appendTexts(engine, ['x'.repeat(2000)], undefined, SHORT);
    // An append can be answered without a turn of the event loop, and sealing needs some.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return kept;
}

/** Closed, with 12 segments of which little lives. */
async function mixedFolder(t: TestContext): Promise<string> {
  const folder = testFolder(t);
  const engine = await openFor(t, folder, OPTIONS);
  await ensure(engine, 1, 'long');
  await ensure(engine, 1, 'short');
  await appendMixed(engine, 0, 12);
  await engine.store.trim(SHORT, 12 * 7 - 1);
  await engine.close();
  return folder;
}

const KEPT = Array.from({ length: 12 }, (_, i) => `kept ${i}`);

test('a long-kept trickle beside a short-kept flood: the disk holds about what lives', async (t) => {
  const folder = testFolder(t);
  const retentionBytes = 30_000;
  const engine = await openFor(t, folder, OPTIONS);
  await ensure(engine, 1, 'long');
  await ensure(engine, 1, 'short', { retentionBytes });
  const { epoch } = await engine.store.state(LONG);
  const kept: string[] = [];
  let most = 0;
  for (let round = 0; round < 20; round++) {
    kept.push(...(await appendMixed(engine, kept.length, 5)));
    await until('segments are sealed', () => isSealed(folder));
    await engine.applyRetention();
    await engine.compact();
    most = Math.max(most, sealedBytes(folder));
  }
  // What short keeps, twice; what long keeps, with headers and entries; a segment or two between being full and being compacted.
  const bound = 2 * retentionBytes + kept.length * 2 * 120 + 2 * SEGMENT_BYTES;
  assert.ok(most < bound, `${most} bytes at most, ${bound} allowed, of ${100 * SEGMENT_BYTES} written`);
  assert.ok(bound < (100 * SEGMENT_BYTES) / 8);
  assert.ok(filesOf(folder, '.seg').length < 15, `${filesOf(folder, '.seg').length} files`);
  assert.deepEqual(await readTexts(engine, LONG), kept);
  const killed = await openFor(t, afterKill(t, folder), OPTIONS);
  assert.deepEqual(await readTexts(killed, LONG), kept);
  assert.deepEqual(await killed.store.state(LONG), { epoch, firstOffset: 0, nextOffset: 100 });
  assert.deepEqual(await killed.store.state(SHORT), await engine.store.state(SHORT));
  assert.deepEqual(await readTexts(killed, SHORT), await readTexts(engine, SHORT));
  assert.deepEqual((await verifyDataFolder(folder)).problems, []);
});

test('reads and appends go on while it runs', async (t) => {
  const folder = testFolder(t);
  const engine = await openFor(t, folder, OPTIONS);
  await ensure(engine, 1, 'long');
  await ensure(engine, 1, 'short', { retentionBytes: 20_000 });
  const kept: string[] = [];
  let isDone = false;
  t.after(() => {
    isDone = true;
  });
  const reclaim = (async () => {
    while (!isDone) {
      await engine.applyRetention();
      await engine.compact();
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  const read = (async () => {
    while (!isDone) {
      for (const [i, text] of (await readTexts(engine, LONG)).entries()) assert.equal(text, `kept ${i}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  const compacted = () => engine.metrics().find(({ name }) => name.endsWith('segments_compacted_total'))?.value ?? 0;
  await until('many segments are compacted', async () => {
    kept.push(...(await appendMixed(engine, kept.length, 5)));
    return compacted() > 30;
  });
  isDone = true;
  await Promise.all([reclaim, read]);
  assert.deepEqual(await readTexts(engine, LONG), kept);
});

test('a read in the middle of a file that goes away is done again by position', async (t) => {
  const folder = await mixedFolder(t);
  let isHeld = false;
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const disk: Disk = {
    ...systemDisk,
    openSync(path, mode) {
      const file = systemDisk.openSync(path, mode);
      const read = file.read.bind(file);
      return Object.assign(file, {
        async read(target: Uint8Array, position: number) {
          const bytes = await read(target, position);
          if (isHeld) {
            isHeld = false;
            await held;
          }
          return bytes;
        },
      });
    },
  };
  const engine = await openFor(t, folder, { ...OPTIONS, disk });
  const { nextOffset } = await engine.store.state(LONG);
  assert.equal(nextOffset, 12);
  await engine.compact();
  await appendMixed(engine, 12, 3);
  await engine.close();
  // Now one file has many batches of the trickle, far apart.
  const again = await openFor(t, folder, { ...OPTIONS, disk });
  await ensure(again, 1, 'fill');
  for (let i = 0; i < 3; i++) {
    await appendTexts(again, [`far ${i}`], undefined, LONG);
    await appendTexts(again, ['y'.repeat(4500)], undefined, { topic: 'fill', partition: 0 });
  }
  await again.close();
  const last = await openFor(t, folder, { ...OPTIONS, disk });
  await last.store.trim({ topic: 'fill', partition: 0 }, 3);
  isHeld = true;
  const reading = last.store.read(LONG, { epoch: '', offset: 15 }, 100_000);
  await last.compact();
  assert.ok(filesOf(folder, '.seg').some((name) => name.includes('-')));
  release();
  const { batches } = await reading;
  assert.deepEqual(
    batches.map(({ firstOffset }) => firstOffset),
    [15, 16, 17],
  );
});

/** Returns the path of the segment with `text`. */
function flip(folder: string, text: string): string {
  for (const name of filesOf(folder, '.seg')) {
    const path = join(journalOf(folder), name);
    const bytes = readFileSync(path);
    const at = bytes.indexOf(text);
    if (at < 0) continue;
    bytes[at] = (bytes[at] as number) ^ 1;
    writeFileSync(path, bytes);
    return path;
  }
  assert.fail(text);
}

test('a damaged batch that lives is reported and stays in its place; a dead one does not matter', async (t) => {
  const folder = await mixedFolder(t);
  const path = flip(folder, 'kept 5');
  flip(folder, 'x'.repeat(100));
  const events: LoggedEvent[] = [];
  const engine = await openFor(t, folder, { ...OPTIONS, logger: keepingLogger(events) });
  await engine.store.state(LONG);
  for (let i = 0; i < 3; i++) await engine.compact();
  assert.equal(events.length, 1);
  const { event, fields } = events[0] as LoggedEvent;
  assert.deepEqual([event, fields['file'], fields['fromOffset'], fields['nextOffset']], ['log_damaged', path, 5, 6]);
  assert.deepEqual(filesOf(folder, '.seg').length, 4, 'before it, it, after it, and the one being written');
  const texts = async (from: number) => {
    const { batches } = await engine.store.read(LONG, { epoch: '', offset: from }, 100_000);
    return batches.map(({ firstOffset }) => firstOffset);
  };
  assert.deepEqual(await texts(0), [0, 1, 2, 3, 4]);
  await assert.rejects(texts(5), { code: 'TANDEM_LOG_CORRUPT' });
  assert.deepEqual(await texts(6), [6, 7, 8, 9, 10, 11]);
});

test('a damaged batch of a compacted segment is found: by reads, by the doctor, by opening, the last one too', async (t) => {
  const folder = await mixedFolder(t);
  const engine = await openFor(t, folder, OPTIONS);
  await engine.store.state(LONG);
  await engine.compact();
  await engine.close();
  assert.deepEqual(filesOf(folder, '.seg').length, 1);
  assert.deepEqual((await verifyDataFolder(folder)).problems, []);
  for (const text of ['kept 0', 'kept 7', 'kept 11', 'x'.repeat(100)]) {
    const copy = afterKill(t, folder);
    flip(copy, text);
    const { problems } = await verifyDataFolder(copy);
    assert.equal(problems.length, 1, text);
    assert.match(problems[0] as string, /lost: (long|short) partition 0 offsets/);
    for (const name of filesOf(copy, '.idx')) rmSync(join(journalOf(copy), name));
    const events: LoggedEvent[] = [];
    const next = await openFor(t, copy, { ...OPTIONS, logger: keepingLogger(events) });
    assert.deepEqual(
      events.map(({ event }) => event),
      ['log_damaged'],
    );
    const place = text.startsWith('kept') ? LONG : SHORT;
    await assert.rejects(readTexts(next, place), { code: 'TANDEM_LOG_CORRUPT' });
    await next.close();
  }
});

test('a large batch of which one record lives is not copied again and again', async (t) => {
  const folder = testFolder(t);
  const engine = await openFor(t, folder, OPTIONS);
  await ensure(engine, 1, 'long');
  await appendTexts(
    engine,
    Array.from({ length: 100 }, () => 'x'.repeat(150)),
    undefined,
    LONG,
  );
  await appendTexts(engine, ['y'.repeat(5000)], undefined, LONG);
  await until('it is sealed', () => filesOf(folder, '.idx').length === 1);
  await engine.store.trim(LONG, 99);
  const names = filesOf(folder, '.idx');
  for (let i = 0; i < 3; i++) await engine.compact();
  assert.deepEqual(filesOf(folder, '.idx'), names, 'the batch lives whole');
  await engine.store.trim(LONG, 100);
  // The sidecar is seen before its segment counts as sealed.
  await until('it is gone', async () => {
    await engine.applyRetention();
    return filesOf(folder, '.idx').length === 0;
  });
});

test('a segment that is not known stays between those that are compacted', async (t) => {
  const folder = await mixedFolder(t);
  const engine = await openFor(t, folder, OPTIONS);
  const name = filesOf(folder, '.idx')[5] as string;
  rmSync(join(journalOf(folder), name));
  await engine.store.state(LONG);
  await engine.compact();
  await engine.close();
  assert.ok(filesOf(folder, '.seg').includes(name.replace('.idx', '.seg')));
  const next = await openFor(t, folder, OPTIONS);
  assert.deepEqual(await readTexts(next, LONG), KEPT);
});

test('starts leave few files, however many', async (t) => {
  const folder = testFolder(t);
  const expected: string[] = [];
  let most = 0;
  for (let i = 0; i < 200; i++) {
    const engine = await openFor(t, folder, OPTIONS);
    if (i === 0) await ensure(engine, 1, 'long');
    expected.push(`${i}`);
    await appendTexts(engine, [`${i}`], undefined, LONG);
    await engine.compact();
    await engine.close();
    most = Math.max(most, filesOf(folder, '.seg').length);
  }
  assert.ok(most <= 24, `${most} files`);
  const engine = await openFor(t, folder, OPTIONS);
  assert.deepEqual(await readTexts(engine, LONG), expected);
});

test('segments with living records of another slot wait until those are trimmed', async (t) => {
  const folder = testFolder(t);
  const before = await openFor(t, folder, OPTIONS);
  await ensure(before, 2, 'both');
  await ensure(before, 2, 'flood');
  const own = { topic: 'both', partition: 0 };
  const other = { topic: 'both', partition: 1 };
  await appendTexts(before, ['own'], undefined, own);
  await appendTexts(before, ['other'], undefined, other);
  for (let i = 0; i < 6; i++)
    await appendTexts(before, ['x'.repeat(2000)], undefined, { topic: 'flood', partition: 0 });
  await before.store.trim({ topic: 'flood', partition: 0 }, 6);
  await before.close();
  const open = (slot: number) => openFor(t, folder, { ...OPTIONS, slot: { slot, slots: 2, slotTerm: 2 } });
  const engines = await Promise.all([open(0), open(1)]);
  const [a, b] = engines;
  assert.deepEqual([await readTexts(a, own), await readTexts(b, other)], [['own'], ['other']]);
  const [name] = filesOf(folder, '.seg');
  for (const engine of engines) await engine.compact();
  assert.equal(filesOf(folder, '.seg')[0], name, 'it stays');
  assert.deepEqual([await readTexts(a, own), await readTexts(b, other)], [['own'], ['other']]);
  await b.store.trim(other, 1);
  await b.compact();
  assert.equal(filesOf(folder, '.seg')[0], name, 'it is not the journal of slot 1');
  await a.compact();
  assert.notEqual(filesOf(folder, '.seg')[0], name);
  await appendTexts(b, ['later'], undefined, other);
  assert.deepEqual([await readTexts(b, own), await readTexts(a, other)], [['own'], ['later']]);
});

test('what another journal holds of a partition between two segments keeps those apart', async (t) => {
  const folder = testFolder(t);
  const place = { topic: 'moved', partition: 1 };
  const flood = { topic: 'flood', partition: 0 };
  for (const [run, slots] of [1, 2, 1].entries()) {
    const open = (_: unknown, slot: number) =>
      openFor(t, folder, { ...OPTIONS, slot: { slot, slots, slotTerm: run + 1 } });
    const engines = await Promise.all(Array.from({ length: slots }, open));
    const [engine] = engines as [EmbeddedEngine];
    await ensure(engine, 2, 'moved');
    await ensure(engine, 2, 'flood');
    await appendTexts(engine, [`run ${run}`], undefined, place);
    if (slots === 1) await appendTexts(engine, ['x'.repeat(9000)], undefined, flood);
    await Promise.all(engines.map((each) => each.close()));
  }
  const engine = await openFor(t, folder, OPTIONS);
  await engine.store.trim(flood, 2);
  await engine.compact();
  assert.deepEqual(await readTexts(engine, place), ['run 0', 'run 1', 'run 2']);
  const made = filesOf(folder, '.seg').filter((name) => name.includes('-'));
  assert.equal(made.length, 2, 'each for itself');
  await engine.close();
  const next = await openFor(t, folder, OPTIONS);
  assert.deepEqual(await readTexts(next, place), ['run 0', 'run 1', 'run 2']);
});

test('without space for the copy everything stays, and it is tried again', async (t) => {
  const folder = await mixedFolder(t);
  const faults: DiskFaults = { partialBytes: 100 };
  const events: LoggedEvent[] = [];
  const engine = await openFor(t, folder, { ...OPTIONS, disk: failingDisk(faults), logger: keepingLogger(events) });
  assert.deepEqual(await readTexts(engine, LONG), KEPT);
  const before = filesOf(folder, '');
  faults.writeCode = 'ENOSPC';
  await engine.compact();
  assert.deepEqual(
    events.map(({ event }) => event),
    ['compaction_failed'],
  );
  assert.deepEqual(filesOf(folder, ''), before);
  faults.writeCode = undefined;
  await engine.compact();
  assert.equal(filesOf(folder, '.seg').length, 2);
  assert.deepEqual(await readTexts(engine, LONG), KEPT);
});

test('closing does not wait for it', async (t) => {
  const folder = await mixedFolder(t);
  const engine = await openFor(t, folder, OPTIONS);
  await engine.store.state(LONG);
  const compacting = engine.compact();
  await engine.close();
  await compacting;
  const next = await openFor(t, folder, OPTIONS);
  assert.deepEqual(await readTexts(next, LONG), KEPT);
  assert.deepEqual(filesOf(folder, '.draft'), []);
});
