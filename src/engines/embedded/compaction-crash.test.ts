/** Compaction is stopped at each of its steps, in all ways, and after each the folder holds what it held before. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import type { PartitionState } from '../../core/contracts/engine.ts';
import { until } from '../../core/testing/until.ts';
import type { EmbeddedEngine } from './embedded-engine.ts';
import { SEGMENT_BYTES } from './testing/compacting-process.ts';
import type { Losses } from './testing/crashing-disk.ts';
import { CrashingDisk } from './testing/crashing-disk.ts';
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
import { verifyDataFolder } from './verify-data-folder.ts';

const OPTIONS = { segmentBytes: 10_000, retentionIntervalMs: 1e9 };
const PLACES = [0, 1, 2].map((partition) => ({ topic: 't', partition }));
const KEPT = { topic: 't', partition: 1 };
const LOSSES: readonly Losses[] = [
  { writes: false, names: false, removals: false },
  { writes: true, names: false, removals: false },
  { writes: true, names: true, removals: false },
  { writes: true, names: true, removals: true },
  { writes: true, names: false, removals: true },
];

interface Contents {
  readonly states: readonly PartitionState[];
  readonly texts: readonly (readonly string[])[];
}

async function contentsOf(engine: EmbeddedEngine): Promise<Contents> {
  return {
    states: await Promise.all(PLACES.map((place) => engine.store.state(place))),
    texts: await Promise.all(PLACES.map((place) => readTexts(engine, place))),
  };
}

/** Segments full of trimmed records with a few living ones, and one producer. */
async function sparseFolder(t: TestContext): Promise<string> {
  const folder = testFolder(t);
  const engine = await openFor(t, folder, OPTIONS);
  await ensure(engine, 3);
  for (let i = 0; i < 30; i++) {
    await appendTexts(engine, [`${i} ${'x'.repeat(900)}`], undefined, PLACES[0]);
    if (i % 4 === 0) await appendTexts(engine, [`kept ${i}`], { id: 'p', sequence: i / 4 + 1 }, KEPT);
    await appendTexts(engine, [`short ${i}`], undefined, PLACES[2]);
  }
  await engine.store.trim({ topic: 't', partition: 0 }, 30);
  await engine.store.trim({ topic: 't', partition: 2 }, 17);
  await engine.close();
  return folder;
}

const segmentsIn = (folder: string): string[] =>
  readdirSync(join(folder, 'journal-0')).filter((name) => name.endsWith('.seg'));

test('stopped at any step, by kill -9 or loss of power, nothing is lost and nothing is there twice', async (t) => {
  const template = await sparseFolder(t);
  const first = await openFor(t, afterKill(t, template), OPTIONS);
  const expected = await contentsOf(first);
  let steps: readonly string[] = [];
  for (let stopAt = 0; ; stopAt++) {
    const folder = afterKill(t, template);
    const crashing = new CrashingDisk();
    const engine = await openFor(t, folder, { ...OPTIONS, disk: crashing.disk });
    assert.deepEqual(await contentsOf(engine), expected);
    const stopped = crashing.stopAfter(stopAt);
    await Promise.race([engine.compact(), stopped]);
    if (!crashing.isStopped) {
      steps = crashing.steps;
      assert.deepEqual(await contentsOf(engine), expected);
      break;
    }
    const what = `stopped after ${crashing.steps.at(-1) ?? 'nothing'}`;
    assert.deepEqual(await contentsOf(engine), expected, `${what}, still running`);
    for (const losses of LOSSES) {
      const copy = afterKill(t, folder);
      crashing.lose(folder, copy, losses);
      await checkReopened(t, copy, expected, `${what}, losses ${JSON.stringify(losses)}`);
    }
    crashing.revive();
    await engine.close();
  }
  for (const kind of ['create', 'write', 'force', 'rename', 'replace', 'remove'])
    assert.ok(
      steps.some((step) => step.startsWith(kind)),
      `${kind} is among ${steps.length} steps`,
    );
});

async function checkReopened(t: TestContext, folder: string, expected: Contents, what: string): Promise<void> {
  const events: LoggedEvent[] = [];
  const engine = await openFor(t, folder, { ...OPTIONS, logger: keepingLogger(events) });
  assert.deepEqual(await contentsOf(engine), expected, what);
  assert.equal(await engine.store.lastSequence(KEPT, 'p'), 8, what);
  await engine.compact();
  assert.deepEqual(await contentsOf(engine), expected, `${what}, compacted`);
  assert.deepEqual(events, [], what);
  const { problems, records } = await verifyDataFolder(folder);
  assert.deepEqual(problems, [], what);
  assert.equal(records, 8 + 13, `${what}: none twice`);
  assert.equal(segmentsIn(folder).length, 2, `${what}: one, and the one being written`);
  await engine.close();
}

test('a real process, killed at random moments while it appends, trims and compacts', async (t) => {
  const folder = testFolder(t);
  let acked = 0;
  let epoch = '';
  let compacted = 0;
  for (let round = 0; round < 10 || (compacted <= 10 && round < 40); round++) {
    const entry = new URL('./testing/compacting-process.ts', import.meta.url).pathname;
    const child = spawn(process.execPath, [entry, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = once(child, 'exit');
    t.after(() => child.kill('SIGKILL'));
    const lines = createInterface({ input: child.stdout });
    let seen = 0;
    lines.on('line', (line) => {
      seen++;
      const [kind, number] = line.split(' ');
      if (kind === 'acked') acked = Number(number);
      if (kind === 'compacted') compacted += Number(number);
    });
    const moment = 1 + Math.floor(Math.random() * 400);
    await until('it has worked for a while', () => seen >= moment);
    child.kill('SIGKILL');
    const [code] = await exited;
    assert.equal(code, null, 'it was alive');
    const engine = await openFor(t, afterKill(t, folder), { segmentBytes: SEGMENT_BYTES });
    const place = { topic: 'long', partition: 0 };
    const state = await engine.store.state(place);
    epoch ||= state.epoch;
    assert.equal(state.epoch, epoch);
    const texts = await readTexts(engine, place);
    assert.ok(texts.length > acked, `${texts.length} records, ${acked} acked`);
    for (const [i, text] of texts.entries()) assert.equal(text, `${i}`);
    await engine.close();
    assert.deepEqual((await verifyDataFolder(folder)).problems, []);
  }
  t.diagnostic(`${acked} acked, ${compacted} segments compacted`);
  assert.ok(compacted > 10, 'it did compact');
});
