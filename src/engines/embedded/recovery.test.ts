import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TandemError } from '../../core/errors.ts';
import { until } from '../../core/testing/until.ts';
import type { LoggedEvent } from './testing/embedded-fixture.ts';
import {
  afterKill,
  appendTexts,
  ensure,
  keepingLogger,
  openFor,
  PLACE,
  readTexts,
  testFolder,
} from './testing/embedded-fixture.ts';

const journal = (folder: string): string => join(folder, 'journal-0');
const filesOf = (folder: string, extension: string): string[] =>
  readdirSync(journal(folder))
    .filter((name) => name.endsWith(extension))
    .sort();
const segmentPath = (folder: string, index = 0): string =>
  join(journal(folder), filesOf(folder, '.seg')[index] as string);

/** Where `text` stands in the first segment. */
function placeOf(folder: string, text: string): number {
  const at = readFileSync(segmentPath(folder)).indexOf(text);
  assert.ok(at > 0, text);
  return at;
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] as number) ^ 1;
  writeFileSync(path, bytes);
}

test('after kill -9 all that was acked is there, under the same epoch, and offsets go on', async (t) => {
  const folder = testFolder(t);
  const engine = await openFor(t, folder);
  await ensure(engine);
  const { epoch } = await appendTexts(engine, ['a', 'b']);
  await appendTexts(engine, ['c']);
  const copy = afterKill(t, folder);
  const next = await openFor(t, copy);
  assert.deepEqual(await readTexts(next), ['a', 'b', 'c']);
  assert.deepEqual(await next.store.state(PLACE), { epoch, firstOffset: 0, nextOffset: 3 });
  const { runs } = await appendTexts(next, ['d']);
  assert.equal(runs[0]?.firstOffset, 3);
  assert.deepEqual(await readTexts(next), ['a', 'b', 'c', 'd']);
});

test('a last flush that is cut is gone, the ones before stay', async (t) => {
  const folder = testFolder(t);
  const engine = await openFor(t, folder);
  await ensure(engine);
  await appendTexts(engine, ['first']);
  await appendTexts(engine, ['the last one']);
  const at = placeOf(folder, 'the last one');
  for (const cut of [at - 80, at - 5, at, at + 6, at + 11]) {
    const copy = afterKill(t, folder);
    const path = segmentPath(copy);
    const bytes = readFileSync(path);
    bytes.fill(0, cut);
    writeFileSync(path, bytes);
    const next = await openFor(t, copy);
    assert.deepEqual(await readTexts(next), ['first'], `cut at ${cut}`);
    assert.equal((await appendTexts(next, ['again'])).runs[0]?.firstOffset, 1);
    await next.close();
    const last = await openFor(t, copy);
    assert.deepEqual(await readTexts(last), ['first', 'again']);
    await last.close();
  }
});

test('damage in the middle is named at the start and by reads; what is behind it can be read', async (t) => {
  const folder = testFolder(t);
  const engine = await openFor(t, folder);
  await ensure(engine);
  const { epoch } = await appendTexts(engine, ['one']);
  await appendTexts(engine, ['damaged', 'too']);
  await appendTexts(engine, ['three']);
  const copy = afterKill(t, folder);
  flip(segmentPath(copy), placeOf(copy, 'damaged'));
  const events: LoggedEvent[] = [];
  const next = await openFor(t, copy, { logger: keepingLogger(events) });
  const [{ event, fields }] = events as [LoggedEvent];
  assert.equal(event, 'log_damaged');
  assert.deepEqual([fields['topic'], fields['fromOffset'], fields['nextOffset']], ['t', 1, 3]);
  const { batches } = await next.store.read(PLACE, { epoch, offset: 0 }, 1 << 20);
  assert.equal(batches.length, 1, 'what is before it');
  const error = (await next.store.read(PLACE, { epoch, offset: 1 }, 1 << 20).catch((e: unknown) => e)) as TandemError;
  assert.equal(error.code, 'TANDEM_LOG_CORRUPT');
  const { data = {} } = error;
  assert.deepEqual([data['fromOffset'], data['nextOffset']], [1, 3]);
  assert.equal(data['file'], segmentPath(copy));
  assert.ok(Math.abs((data['bytePosition'] as number) - placeOf(folder, 'damaged')) < 128);
  const behind = await next.store.read(PLACE, { epoch, offset: 3 }, 1 << 20);
  assert.equal(behind.batches[0]?.firstOffset, 3);
  const damages = next.metrics().find(({ name }) => name === 'tandem_engine_damages_total');
  assert.equal(damages?.value, 2);
});

test('a damaged header: offsets that may be lost are not given again under the same epoch', async (t) => {
  const folder = testFolder(t);
  const engine = await openFor(t, folder);
  await ensure(engine, 2);
  const { epoch } = await appendTexts(engine, ['keeps its epoch']);
  await appendTexts(engine, ['lost'], undefined, { topic: 't', partition: 1 });
  await appendTexts(engine, ['behind']);
  const before = await engine.store.state({ topic: 't', partition: 1 });
  const copy = afterKill(t, folder);
  flip(segmentPath(copy), placeOf(copy, 'lost') - 60);
  const next = await openFor(t, copy);
  assert.equal((await next.store.state(PLACE)).epoch, epoch);
  assert.deepEqual(await readTexts(next), ['keeps its epoch', 'behind']);
  const after = await next.store.state({ topic: 't', partition: 1 });
  assert.equal(after.nextOffset, 0);
  assert.notEqual(after.epoch, before.epoch);
  const resume = next.store.read({ topic: 't', partition: 1 }, { epoch: before.epoch, offset: 0 }, 1000);
  await assert.rejects(resume, { code: 'TANDEM_POSITION_LOST' });
});

test('damage in a sealed segment is found by the read', async (t) => {
  const folder = testFolder(t);
  const engine = await openFor(t, folder);
  await ensure(engine);
  for (const text of ['one', 'two two', 'three']) await appendTexts(engine, [text]);
  await engine.close();
  flip(segmentPath(folder), placeOf(folder, 'two two'));
  const next = await openFor(t, folder);
  await assert.rejects(readTexts(next), {
    code: 'TANDEM_LOG_CORRUPT',
    data: { ...(await damageOf(folder)), fromOffset: 1, nextOffset: 2 },
  });
});

async function damageOf(folder: string): Promise<{ file: string; bytePosition: number }> {
  const text = placeOf(folder, 'two two'.replace('t', 'u'));
  // Header 80, names 1, aligned to 4, one length of 4.
  return { file: segmentPath(folder), bytePosition: text - 88 };
}

test('a missing or damaged sidecar is made again', async (t) => {
  const folder = testFolder(t);
  const engine = await openFor(t, folder);
  await ensure(engine);
  await appendTexts(engine, ['a', 'b'], { id: 'p', sequence: 1 });
  await engine.close();
  for (const harm of [
    (path: string) => rmSync(path),
    (path: string) => flip(path, 100),
    (path: string) => flip(path, statSync(path).size - 3),
  ]) {
    const copy = afterKill(t, folder);
    harm(join(journal(copy), filesOf(copy, '.idx')[0] as string));
    const next = await openFor(t, copy);
    assert.deepEqual(await readTexts(next), ['a', 'b']);
    assert.equal(await next.store.lastSequence(PLACE, 'p'), 2);
    await next.close();
  }
});

test('a lost state database: topics and producers come back from the log, epochs do not', async (t) => {
  const folder = testFolder(t);
  const engine = await openFor(t, folder);
  await ensure(engine, 3);
  const place = { topic: 't', partition: 2 };
  const { epoch } = await appendTexts(engine, ['a', 'b'], { id: 'p', sequence: 5 }, place);
  await engine.close();
  for (const name of readdirSync(folder)) if (name.startsWith('state.db')) rmSync(join(folder, name));
  const next = await openFor(t, folder);
  assert.equal((await next.topics.find('t'))?.partitions, 3);
  assert.deepEqual(await readTexts(next, place), ['a', 'b']);
  assert.notEqual((await next.store.state(place)).epoch, epoch);
  const again = await appendTexts(next, ['b', 'c'], { id: 'p', sequence: 6 }, place);
  assert.deepEqual(again.runs, [
    { count: 1, firstOffset: 1, isDuplicate: true },
    { count: 1, firstOffset: 2, isDuplicate: false },
  ]);
  await next.close();
  const events: LoggedEvent[] = [];
  const last = await openFor(t, folder, { logger: keepingLogger(events) });
  assert.deepEqual(await readTexts(last, place), ['a', 'b', 'c']);
});

test('segments without a batch do not pile up', async (t) => {
  const folder = testFolder(t);
  for (let i = 0; i < 5; i++) {
    const engine = await openFor(t, folder);
    if (i === 0) await ensure(engine);
    if (i === 2) await appendTexts(engine, ['a']);
    await engine.close();
  }
  assert.equal(filesOf(folder, '.seg').length, 1);
  const copy = afterKill(t, folder);
  const engine = await openFor(t, copy);
  await until('what is of no use is gone', () => filesOf(copy, '.seg').length === 2);
  await engine.close();
  assert.equal(filesOf(copy, '.seg').length, 1);
});

test('files of a newer version are refused and left alone', async (t) => {
  const folder = testFolder(t);
  const engine = await openFor(t, folder);
  await ensure(engine);
  await appendTexts(engine, ['a']);
  await engine.close();
  const path = segmentPath(folder);
  const bytes = readFileSync(path);
  bytes.writeUInt32LE(99, 8);
  const { crc32 } = await import('node:zlib');
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 60)), 60);
  writeFileSync(path, bytes);
  await assert.rejects(openFor(t, folder), { code: 'TANDEM_DATA_VERSION' });
  assert.ok(existsSync(path));
});
