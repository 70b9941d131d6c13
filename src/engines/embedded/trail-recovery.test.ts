/** Recovery by trails, through the engine: what it relies on, what it does not, and how what it left is sealed later. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import type { LogFields, Logger } from '../../core/contracts/telemetry.ts';
import type { TandemError } from '../../core/errors.ts';
import { until } from '../../core/testing/until.ts';
import type { EmbeddedEngine, EmbeddedEngineOptions } from './embedded-engine.ts';
import { prepareEmbeddedEngine } from './embedded-engine.ts';
import type { LoggedEvent } from './testing/embedded-fixture.ts';
import { afterKill, appendTexts, ensure, openFor, PLACE, readTexts, testFolder } from './testing/embedded-fixture.ts';

const NEVER_MS = 1_000_000;
/** A frame for each flush. */
const TRAIL = { trailPace: { batches: 1, bytes: 1 }, sealDelayMs: NEVER_MS };
const journal = (folder: string): string => join(folder, 'journal-0');
const filesOf = (folder: string, extension: string): string[] =>
  readdirSync(journal(folder))
    .filter((name) => name.endsWith(extension))
    .sort();
const pathOf = (folder: string, extension: string): string =>
  join(journal(folder), filesOf(folder, extension)[0] as string);

function keepAll(events: LoggedEvent[]): Logger {
  const keep = (event: string, fields: LogFields = {}): void => void events.push({ event, fields });
  return { debug() {}, info: keep, warn: keep, error: keep };
}

interface Opened {
  readonly engine: EmbeddedEngine;
  readonly events: LoggedEvent[];
  readonly recovered: LogFields;
}

async function open(t: TestContext, folder: string, options: Partial<EmbeddedEngineOptions> = {}): Promise<Opened> {
  const events: LoggedEvent[] = [];
  const engine = await openFor(t, folder, { ...TRAIL, logger: keepAll(events), ...options });
  const { fields } = events.find(({ event }) => event === 'slot_recovered') as LoggedEvent;
  return { engine, events, recovered: fields };
}

/** Five flushes of a producer, as kill -9 leaves them. */
async function killed(t: TestContext): Promise<{ folder: string; epoch: string }> {
  const folder = testFolder(t);
  const { engine } = await open(t, folder);
  await ensure(engine, 2);
  let epoch = '';
  for (let i = 0; i < 5; i++)
    ({ epoch } = await appendTexts(engine, [`record ${i}a`, `record ${i}b`], { id: 'p', sequence: 1 + 2 * i }));
  await appendTexts(engine, ['other'], { id: 'q', sequence: 7 }, OTHER);
  return { folder: afterKill(t, folder), epoch };
}

const OTHER = { topic: 't', partition: 1 };
const TEXTS = [0, 1, 2, 3, 4].flatMap((i) => [`record ${i}a`, `record ${i}b`]);

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] as number) ^ 1;
  writeFileSync(path, bytes);
}

async function checkAll({ engine }: Opened, epoch: string): Promise<void> {
  assert.deepEqual(await readTexts(engine), TEXTS);
  assert.deepEqual(await readTexts(engine, OTHER), ['other']);
  assert.equal(await engine.store.lastSequence(OTHER, 'q'), 7);
  assert.deepEqual(await engine.store.state(PLACE), { epoch, firstOffset: 0, nextOffset: 10 });
  assert.equal(await engine.store.lastSequence(PLACE, 'p'), 10);
  const { runs } = await appendTexts(engine, ['record 4b', 'new'], { id: 'p', sequence: 10 });
  assert.deepEqual(runs, [
    { count: 1, firstOffset: 9, isDuplicate: true },
    { count: 1, firstOffset: 10, isDuplicate: false },
  ]);
}

test('with a trail nothing of it is scanned, and everything is known', async (t) => {
  const { folder, epoch } = await killed(t);
  const opened = await open(t, folder);
  const { segments, batches, scannedBytes } = opened.recovered;
  assert.deepEqual({ segments, batches, scannedBytes }, { segments: 1, batches: 6, scannedBytes: 0 });
  await checkAll(opened, epoch);
  assert.deepEqual(filesOf(folder, '.idx'), [], 'not sealed yet');
});

test('a trail that is missing, cut, damaged, or of another segment costs a scan and nothing else', async (t) => {
  const { folder, epoch } = await killed(t);
  const other = await killed(t);
  const harms: ((path: string) => void)[] = [
    (path) => truncateSync(path, 0),
    (path) => truncateSync(path, 150),
    (path) => flip(path, 70),
    (path) => flip(path, readFileSync(path).length - 20),
    (path) => writeFileSync(path, readFileSync(pathOf(other.folder, '.trail'))),
    (path) => writeFileSync(path, Buffer.alloc(1000)),
  ];
  for (const [i, harm] of harms.entries()) {
    const copy = afterKill(t, folder);
    harm(pathOf(copy, '.trail'));
    const opened = await open(t, copy);
    assert.ok((opened.recovered['scannedBytes'] as number) > 0, `harm ${i}`);
    await checkAll(opened, epoch);
    assert.deepEqual(
      opened.events.filter(({ event }) => event === 'log_damaged'),
      [],
    );
    await opened.engine.close();
  }
});

test('a torn last flush behind the trail is cut, for good', async (t) => {
  const { folder, epoch } = await killed(t);
  const segment = pathOf(folder, '.seg');
  const bytes = readFileSync(segment);
  const end = bytes.findLastIndex((byte) => byte !== 0) + 1;
  // As if a flush had been written in part: its second half.
  Buffer.from('the end of a batch').copy(bytes, ((end + 7) & ~7) + 96);
  writeFileSync(segment, bytes);
  const opened = await open(t, folder);
  assert.equal(opened.recovered['tornTails'], 1);
  await checkAll(opened, epoch);
  const again = await open(t, afterKill(t, folder));
  assert.deepEqual(await readTexts(again.engine), [...TEXTS, 'new']);
  assert.deepEqual(
    again.events.filter(({ event }) => event === 'log_damaged'),
    [],
  );
});

test('what a trail says was durable and is not there is damage: positions are refused', async (t) => {
  const { folder, epoch } = await killed(t);
  const segment = pathOf(folder, '.seg');
  const at = readFileSync(segment).indexOf('record 3a') - 92;
  // Without the trail this would be a flush that was never finished.
  truncateSync(segment, at);
  truncateSync(segment, 1 << 20);
  const { engine, events } = await open(t, folder);
  assert.deepEqual(
    new Set(events.map(({ event }) => event)),
    new Set(['log_damaged', 'epochs_renewed', 'slot_recovered']),
  );
  assert.deepEqual(await readTexts(engine), TEXTS.slice(0, 6));
  await assert.rejects(engine.store.read(PLACE, { epoch, offset: 2 }, 1000), { code: 'TANDEM_POSITION_LOST' });
});

test('damage in what the trail covers: named by reads, and when the segment is sealed; the epoch stays', async (t) => {
  const { folder, epoch } = await killed(t);
  const segment = pathOf(folder, '.seg');
  flip(segment, readFileSync(segment).indexOf('record 1a'));
  const { engine, events } = await open(t, folder, { sealDelayMs: 0 });
  const damageOf = () => events.find(({ event }) => event === 'log_damaged');
  const damage = (await until('the damage is found', damageOf)) as LoggedEvent;
  const { topic, partition, fromOffset, nextOffset } = damage.fields;
  assert.deepEqual([topic, partition, fromOffset, nextOffset], ['t', 0, 2, 4]);
  await until('it is sealed', () => filesOf(folder, '.idx').length === 1);
  const read = (offset: number) => engine.store.read(PLACE, { epoch, offset }, 1000);
  const error = (await read(2).catch((e: unknown) => e)) as TandemError;
  assert.equal(error.code, 'TANDEM_LOG_CORRUPT');
  assert.deepEqual([error.data?.['fromOffset'], error.data?.['nextOffset']], [2, 4]);
  assert.equal((await read(4)).batches[0]?.firstOffset, 4);
  assert.equal(engine.metrics().find(({ name }) => name === 'tandem_engine_damages_total')?.value, 2);
});

test('what recovery left is sealed later, while the slot is used, and the trail goes', async (t) => {
  const { folder, epoch } = await killed(t);
  const opened = await open(t, folder, { sealDelayMs: 0 });
  await checkAll(opened, epoch);
  const old = pathOf(folder, '.seg');
  await until(
    'it is sealed',
    () => existsSync(old.replace(/seg$/, 'idx')) && !existsSync(old.replace(/seg$/, 'trail')),
  );
  assert.deepEqual(await readTexts(opened.engine), [...TEXTS, 'new']);
  const again = await open(t, afterKill(t, folder));
  assert.equal(again.recovered['segments'], 1, 'only the one that was being written');
  assert.deepEqual(await readTexts(again.engine), [...TEXTS, 'new']);
  assert.equal(await again.engine.store.lastSequence(PLACE, 'p'), 11);
  assert.equal(await again.engine.store.lastSequence(OTHER, 'q'), 7, 'from the database');
});

test('sealed before the slot is used for the first time: it is there once', async (t) => {
  const { folder, epoch } = await killed(t);
  const opened = await open(t, folder, { sealDelayMs: 0 });
  await until('it is sealed', () => filesOf(folder, '.idx').length === 1 && filesOf(folder, '.trail').length === 0);
  await checkAll(opened, epoch);
  assert.equal(opened.engine.metrics().find(({ name }) => name === 'tandem_engine_segments')?.value, 1);
});

test('killed again and again before anything is sealed', async (t) => {
  let { folder } = await killed(t);
  const expected = [...TEXTS];
  for (let round = 0; round < 4; round++) {
    const { engine, recovered } = await open(t, folder);
    assert.equal(recovered['segments'], round + 1);
    assert.equal(await engine.store.lastSequence(PLACE, 'p'), expected.length);
    expected.push(`round ${round}`);
    await appendTexts(engine, expected.slice(-3), { id: 'p', sequence: expected.length - 2 });
    assert.deepEqual(await readTexts(engine), expected);
    folder = afterKill(t, folder);
  }
  const { engine } = await open(t, folder);
  await engine.close();
  assert.deepEqual(filesOf(folder, '.trail'), [], 'a clean end seals everything');
  assert.equal(filesOf(folder, '.idx').length, filesOf(folder, '.seg').length);
  assert.deepEqual(await readTexts((await open(t, folder)).engine), expected);
});

test('with another number of slots what is found is sealed at once: other slots look for its records', async (t) => {
  const { folder } = await killed(t);
  const slots = [0, 1].map((slot) => open(t, folder, { slot: { slot, slots: 2, slotTerm: 2 } }));
  const [a, b] = (await Promise.all(slots)) as [Opened, Opened];
  assert.equal(filesOf(folder, '.idx').length, 1);
  assert.deepEqual(await readTexts(a.engine), TEXTS);
  assert.deepEqual(await readTexts(b.engine, OTHER), ['other']);
});

test('a prepared process sees what has changed since', async (t) => {
  const folder = testFolder(t);
  const settings = { dataDir: folder, ...TRAIL, segmentBytes: 8192 };
  const slot = { slot: 0, slots: 1, slotTerm: 1 };
  const early = await prepareEmbeddedEngine(settings);
  const first = await (await prepareEmbeddedEngine(settings)).take({ slot });
  await ensure(first);
  const texts = Array.from({ length: 40 }, (_, i) => `${i} ${'x'.repeat(1000)}`);
  for (const text of texts) await appendTexts(first, [text]);
  const late = await prepareEmbeddedEngine(settings);
  // Sealed segments that both have seen, or neither, go and come.
  await first.store.trim(PLACE, 20);
  await first.applyRetention();
  await appendTexts(first, ['more']);
  await first.close();
  const second = await late.take({ slot });
  assert.deepEqual(await readTexts(second), [...texts.slice(20), 'more']);
  await second.close();
  const third = await early.take({ slot });
  t.after(() => third.close());
  assert.deepEqual(await readTexts(third), [...texts.slice(20), 'more']);
  await assert.rejects(early.take({ slot }), { code: 'TANDEM_INTERNAL' });
});

test('a prepared process is not misled by a file that has the name of an earlier one', async (t) => {
  const folder = testFolder(t);
  const settings = { dataDir: folder, ...TRAIL, segmentBytes: 8192 };
  const slot = { slot: 0, slots: 1, slotTerm: 1 };
  const write = async (prefix: string): Promise<string[]> => {
    const engine = await (await prepareEmbeddedEngine(settings)).take({ slot });
    await ensure(engine);
    const texts = Array.from({ length: 20 }, (_, i) => `${prefix} ${i} ${'x'.repeat(1000)}`);
    for (const text of texts) await appendTexts(engine, [text]);
    await engine.close();
    return texts;
  };
  await write('first');
  const early = await prepareEmbeddedEngine(settings);
  const before = filesOf(folder, '.idx');
  for (const name of readdirSync(journal(folder))) rmSync(join(journal(folder), name));
  const second = await write('second');
  assert.deepEqual(filesOf(folder, '.idx'), before, 'the same names');
  const engine = await early.take({ slot });
  t.after(() => engine.close());
  assert.deepEqual(await readTexts(engine), second);
});
