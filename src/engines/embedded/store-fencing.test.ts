/**
 * Whoever wakes up after the store was claimed under a higher term acknowledges nothing, although nothing but the claim keeps it from writing: the
 * lock of the journal is removed. What it had acknowledged before, the claimer has.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { TandemError } from '../../core/errors.ts';
import type { Disk, DiskFile } from '../../core/ports/disk.ts';
import { systemDisk } from '../../core/ports/disk.ts';
import { until, untilStill } from '../../core/testing/until.ts';
import { openStateDatabase } from './state-database.ts';
import { appendTexts, ensure, openFor, PLACE, readTexts, testFolder } from './testing/embedded-fixture.ts';

const WRITER = fileURLToPath(new URL('./testing/writing-process.ts', import.meta.url));
const CLAIMER = fileURLToPath(new URL('./testing/claiming-process.ts', import.meta.url));
const fenced = { code: 'TANDEM_TERM_FENCED' };
const SLOT = { slot: 0, slots: 1, slotTerm: 1 };

/** The records' first words, as read by another process that claims the store and takes the journal over, by force; it appends `text` then. */
function takeOver(folder: string, text: string): string[] {
  const { stdout, stderr, status } = spawnSync(process.execPath, [CLAIMER, folder, text], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as string[];
}

interface Writer {
  readonly child: ChildProcess;
  readonly lines: readonly string[];
  readonly acked: () => string[];
}

function startWriter(t: TestContext, folder: string, term: number, bytes: number): Writer {
  const args = [WRITER, folder, String(term), String(bytes)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  const acked = () => lines.filter((line) => line.startsWith('acked ')).map((line) => line.slice('acked '.length));
  return { child, lines, acked };
}

const isStopped = ({ child }: Writer): boolean => / T /.test(readFileSync(`/proc/${child.pid}/stat`, 'utf8'));

test('a writer that is stopped at load and wakes up after a claim ends, and nothing it acknowledged is missing', async (t) => {
  const folder = testFolder(t);
  const state = openStateDatabase(folder);
  t.after(() => state.close());
  const everAcked: string[] = [];
  // Small flushes are forced in this thread, large ones in another.
  for (const [round, bytes] of [100, 4000, 100, 4000].entries()) {
    const writer = startWriter(t, folder, state.nextTerm(), bytes);
    const enough = 200 + 37 * round;
    await until('it writes', () => writer.lines.length > enough);
    writer.child.kill('SIGSTOP');
    await until('it is stopped', () => isStopped(writer));
    await untilStill('all it has said is read', () => writer.lines.length);
    const seen = new Set(takeOver(folder, `new ${round}`));
    writer.child.kill('SIGCONT');
    const [code] = await once(writer.child, 'close');
    assert.equal(code, 3);
    assert.ok(writer.lines.includes('failed TANDEM_TERM_FENCED'), 'its journal is fenced');
    everAcked.push(...writer.acked());
    assert.deepEqual(
      everAcked.filter((text) => !seen.has(text)),
      [],
      'the claimer has all that was ever acknowledged',
    );
  }
  const engine = await openFor(t, folder, { slot: { ...SLOT, slotTerm: state.nextTerm() } });
  const texts = (await readTexts(engine)).map((text) => text.split(' ')[0] as string);
  const kept = new Set(texts);
  assert.deepEqual(
    everAcked.filter((text) => !kept.has(text)),
    [],
  );
  assert.equal(texts.filter((text) => text === 'new').length, 4);
});

type Moment = 'before the write' | 'after the write' | 'when it is durable';

/** Does something once, at a moment of the next flush. */
class InterruptingDisk {
  next: { readonly moment: Moment; readonly action: () => void } | undefined;

  get disk(): Disk {
    return {
      ...systemDisk,
      openSync: (path, mode) => this.#wrap(systemDisk.openSync(path, mode)),
      createSync: (path, bytes, head) => this.#wrap(systemDisk.createSync(path, bytes, head)),
      create: async (path, bytes, head) => this.#wrap(await systemDisk.create(path, bytes, head)),
    };
  }

  #at(moment: Moment): void {
    if (this.next?.moment !== moment) return;
    const { action } = this.next;
    this.next = undefined;
    action();
  }

  #wrap(file: DiskFile): DiskFile {
    return {
      path: file.path,
      writeSync: (pieces, position) => {
        this.#at('before the write');
        file.writeSync(pieces, position);
        this.#at('after the write');
      },
      readSync: (target, position) => file.readSync(target, position),
      read: (target, position) => file.read(target, position),
      dataSyncSync: () => {
        file.dataSyncSync();
        this.#at('when it is durable');
      },
      dataSync: (done) =>
        file.dataSync((error) => {
          this.#at('when it is durable');
          done(error);
        }),
      truncateSync: (bytes) => file.truncateSync(bytes),
      sizeSync: () => file.sizeSync(),
      allocatedBytesSync: () => file.allocatedBytesSync(),
      close: () => file.close(),
    };
  }
}

for (const moment of ['before the write', 'after the write', 'when it is durable'] as const)
  for (const size of ['small', 'large'] as const)
    test(`a takeover in the middle of a ${size} flush, ${moment}: what the claimer does not see is not acknowledged`, async (t) => {
      const folder = testFolder(t);
      const interrupting = new InterruptingDisk();
      const failures: TandemError[] = [];
      const onFailed = (error: TandemError): void => void failures.push(error);
      const disk = interrupting.disk;
      const engine = await openFor(t, folder, { slot: SLOT, disk, onFailed, retentionIntervalMs: 1e9 });
      await ensure(engine);
      await appendTexts(engine, ['before'], { id: 'p', sequence: 1 });
      let seen: string[] = [];
      interrupting.next = { moment, action: () => (seen = takeOver(folder, 'new')) };
      const text = size === 'small' ? 'late' : 'late'.padEnd(200_000, '.');
      const late = appendTexts(engine, [text], { id: 'p', sequence: 2 });
      const later = appendTexts(engine, ['later'], { id: 'p', sequence: 3 });
      await assert.rejects(late, fenced);
      await assert.rejects(later, fenced);
      await assert.rejects(appendTexts(engine, ['before'], { id: 'p', sequence: 1 }), fenced, 'nor a repeat');
      assert.deepEqual(
        failures.map(({ code }) => code),
        ['TANDEM_TERM_FENCED'],
      );
      assert.equal(seen[0], 'before');
      await engine.close();
      const again = await openFor(t, folder, { slot: { ...SLOT, slotTerm: 100 } });
      assert.deepEqual(await readTexts(again), [...seen, 'new']);
    });

test('a claim of its own ends what a process has in hand under its older term, and nothing else', async (t) => {
  const interrupting = new InterruptingDisk();
  const failures: TandemError[] = [];
  const onFailed = (error: TandemError): void => void failures.push(error);
  const engine = await openFor(t, testFolder(t), { slot: SLOT, disk: interrupting.disk, onFailed });
  await ensure(engine);
  interrupting.next = { moment: 'after the write', action: () => void engine.claim(50) };
  await assert.rejects(appendTexts(engine, ['older'], { id: 'p', sequence: 1 }), fenced);
  const { runs } = await appendTexts(engine, ['older', 'newer'], { id: 'p', sequence: 1 });
  assert.deepEqual(
    runs.map(({ count, isDuplicate }) => [count, isDuplicate]),
    [
      [1, true],
      [1, false],
    ],
  );
  assert.deepEqual(await readTexts(engine), ['older', 'newer']);
  assert.deepEqual(failures, []);
});

test('a process that has nothing to write learns of a claim too, and ends', async (t) => {
  const folder = testFolder(t);
  const failures: TandemError[] = [];
  const engine = await openFor(t, folder, {
    slot: SLOT,
    topicsIntervalMs: 5,
    onFailed: (error) => failures.push(error),
  });
  await ensure(engine);
  const state = openStateDatabase(folder);
  t.after(() => state.close());
  state.claim(2);
  await until('it has failed', () => failures.length > 0);
  assert.equal(failures[0]?.code, 'TANDEM_TERM_FENCED');
  await assert.rejects(appendTexts(engine, ['late']), fenced);
});

test('a process whose term is overtaken does not open, and leaves the journal alone', async (t) => {
  const folder = testFolder(t);
  const state = openStateDatabase(folder);
  t.after(() => state.close());
  state.claim(5);
  await assert.rejects(openFor(t, folder, { slot: { ...SLOT, slotTerm: 4 } }), fenced);
  const engine = await openFor(t, folder, { slot: { ...SLOT, slotTerm: 5 } });
  await ensure(engine);
  await appendTexts(engine, ['x']);
});

test('what only the active may change in the state database, an overtaken process cannot', async (t) => {
  const folder = testFolder(t);
  const engine = await openFor(t, folder, { slot: SLOT });
  await ensure(engine);
  await appendTexts(engine, ['a', 'b']);
  const { assignments } = await engine.groups.join('g', 't', () => {});
  const keeper = openStateDatabase(folder);
  const overtaken = openStateDatabase(folder);
  t.after(() => {
    keeper.close();
    overtaken.close();
  });
  overtaken.setConsumerPaused('c', true);
  keeper.claim(100);
  keeper.setConsumerPaused('c', false);
  assert.throws(() => overtaken.setConsumerPaused('c', true), fenced);
  const offset = { partition: 0, offset: 1, epoch: 'e' };
  await assert.rejects(engine.groups.commit('g', 't', offset, assignments[0]?.term ?? 0), fenced);
  await assert.rejects(engine.groups.commit('g', 't', offset, 1000), fenced, 'whatever term it names');
  await assert.rejects(
    engine.groups.join('other', 't', () => {}),
    fenced,
  );
  await assert.rejects(engine.store.trim(PLACE, 1), fenced);
  await assert.rejects(engine.store.claim(PLACE, 1000), fenced);
  assert.deepEqual(keeper.pausedConsumers(), []);
  assert.deepEqual(await engine.groups.committed('g', 't'), []);
});

test('a claim that was cut off between file and database counts, and so does one of which the file was lost', async (t) => {
  const folder = testFolder(t);
  const file = join(folder, 'claimed-term');
  let state = openStateDatabase(folder);
  state.claim(2 ** 40 + 7);
  assert.equal(state.term.claimed(), 2 ** 40 + 7);
  state.close();
  writeFileSync(file, Buffer.alloc(8));
  state = openStateDatabase(folder);
  assert.equal(state.term.claimed(), 2 ** 40 + 7, 'made again from the database');
  state.durable.exec(`UPDATE facts SET value = 3 WHERE name = 'claimed_term'`);
  assert.throws(() => state.claim(4), fenced, 'the file is ahead');
  state.claim(2 ** 40 + 8);
  assert.ok(state.nextTerm() > 2 ** 40 + 8);
  truncateSync(file, 4);
  assert.throws(() => state.term.claimed(), { code: 'TANDEM_STORE_FAILED' });
  state.close();
  state = openStateDatabase(folder);
  assert.equal(state.term.claimed(), 2 ** 40 + 8);
  state.close();
});
