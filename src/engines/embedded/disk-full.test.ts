import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TandemError } from '../../core/errors.ts';
import { smallFileSystem } from '../../core/testing/small-file-system.ts';
import { afterKill, appendTexts, ensure, openFor, PLACE, readTexts, testFolder } from './testing/embedded-fixture.ts';
import type { DiskFaults } from './testing/failing-disk.ts';
import { failingDisk } from './testing/failing-disk.ts';

const outcomes = async (appends: readonly Promise<unknown>[]): Promise<string[]> =>
  (await Promise.allSettled(appends)).map((result) =>
    result.status === 'fulfilled' ? 'stored' : (result.reason as TandemError).code,
  );

for (const partialBytes of [0, 8, 90, 150, 400])
  test(`no space after ${partialBytes} bytes: nothing of the flush is stored, and it resumes by itself`, async (t) => {
    const folder = testFolder(t);
    const faults: DiskFaults = { partialBytes };
    const engine = await openFor(t, folder, { disk: failingDisk(faults) });
    await ensure(engine);
    await appendTexts(engine, ['a']);
    faults.writeCode = 'ENOSPC';
    const refused = [appendTexts(engine, ['lost 1']), appendTexts(engine, ['lost 2'], { id: 'p', sequence: 1 })];
    assert.deepEqual(await outcomes(refused), ['TANDEM_DISK_FULL', 'TANDEM_DISK_FULL']);
    assert.deepEqual(await readTexts(engine), ['a'], 'reads go on');
    assert.equal(await engine.store.lastSequence(PLACE, 'p'), 0);
    const killed = await openFor(t, afterKill(t, folder));
    assert.deepEqual(await readTexts(killed), ['a']);
    faults.writeCode = undefined;
    const { runs } = await appendTexts(engine, ['b'], { id: 'p', sequence: 1 });
    assert.deepEqual(runs, [{ count: 1, firstOffset: 1, isDuplicate: false }]);
    const again = await openFor(t, afterKill(t, folder));
    assert.deepEqual(await readTexts(again), ['a', 'b']);
    assert.equal(await again.store.lastSequence(PLACE, 'p'), 1);
  });

test('what a producer sent before it knew of the refusal is refused too', async (t) => {
  const faults: DiskFaults = { partialBytes: 0 };
  const engine = await openFor(t, testFolder(t), { disk: failingDisk(faults) });
  await ensure(engine);
  faults.writeCode = 'ENOSPC';
  const first = appendTexts(engine, ['x'], { id: 'p', sequence: 1 });
  const known = first.catch((error: TandemError) => error.code);
  const rest: Promise<unknown>[] = [];
  // Called after the flush has failed, before its rejection is seen; the disk has room again.
  queueMicrotask(() => {
    faults.writeCode = undefined;
    rest.push(
      appendTexts(engine, ['y'], { id: 'p', sequence: 2 }),
      appendTexts(engine, ['other'], { id: 'q', sequence: 2 }),
    );
  });
  assert.equal(await known, 'TANDEM_DISK_FULL');
  assert.deepEqual(await outcomes(rest), ['TANDEM_DISK_FULL', 'stored']);
  await appendTexts(engine, ['x', 'y'], { id: 'p', sequence: 1 });
  assert.deepEqual(await readTexts(engine), ['other', 'x', 'y']);
});

test('no room for a new segment: refused, and it resumes by itself', async (t) => {
  const folder = testFolder(t);
  const faults: DiskFaults = { partialBytes: 0 };
  const engine = await openFor(t, folder, { disk: failingDisk(faults), segmentBytes: 4096 });
  await ensure(engine);
  const text = 'x'.repeat(500);
  faults.writeCode = 'ENOSPC';
  for (let i = 0; i < 20; i++) await assert.rejects(appendTexts(engine, [text]), { code: 'TANDEM_DISK_FULL' });
  faults.writeCode = undefined;
  for (let i = 0; i < 20; i++) await appendTexts(engine, [text]);
  assert.equal((await readTexts(engine)).length, 20);
  await engine.close();
  assert.equal((await readTexts(await openFor(t, folder))).length, 20);
});

for (const code of ['EIO', 'ENOSPC'] as const)
  test(`fdatasync fails with ${code}`, async (t) => {
    const folder = testFolder(t);
    const faults: DiskFaults = { partialBytes: 0 };
    let failure: TandemError | undefined;
    const onFailed = (error: TandemError): void => {
      failure = error;
    };
    const engine = await openFor(t, folder, { disk: failingDisk(faults), onFailed });
    await ensure(engine);
    await appendTexts(engine, ['a']);
    faults.syncCode = code;
    const isFatal = code === 'EIO';
    const expected = isFatal ? 'TANDEM_STORE_FAILED' : 'TANDEM_DISK_FULL';
    await assert.rejects(appendTexts(engine, ['lost']), { code: expected });
    faults.syncCode = undefined;
    assert.equal(failure?.code, isFatal ? 'TANDEM_STORE_FAILED' : undefined);
    if (isFatal) await assert.rejects(appendTexts(engine, ['b']), { code: 'TANDEM_STORE_FAILED' });
    else await appendTexts(engine, ['b']);
    assert.deepEqual(await readTexts(engine), isFatal ? ['a'] : ['a', 'b']);
  });

test('a real full file system: refused with a code, nothing acked is lost, it resumes by itself', async (t) => {
  const folder = smallFileSystem(t, 3);
  if (folder === undefined) return;
  const dataDir = join(folder, 'data');
  const engine = await openFor(t, dataDir);
  await ensure(engine);
  const ballast = join(folder, 'ballast');
  writeFileSync(ballast, Buffer.alloc(1024 * 1024));
  const acked: string[] = [];
  let code = '';
  for (let i = 0; i < 2000 && code === ''; i++) {
    const text = `${i} ${'x'.repeat(4000)}`;
    await appendTexts(engine, [text]).then(
      () => acked.push(text),
      (error: TandemError) => {
        code = error.code;
      },
    );
  }
  assert.equal(code, 'TANDEM_DISK_FULL');
  assert.deepEqual(await readTexts(engine), acked);
  rmSync(ballast);
  for (let i = 0; i < 50; i++) {
    await appendTexts(engine, [`later ${i}`]);
    acked.push(`later ${i}`);
  }
  assert.deepEqual(await readTexts(engine), acked);
  await engine.close();
  const sizes = readdirSync(join(dataDir, 'journal-0')).map((name) => statSync(join(dataDir, 'journal-0', name)).size);
  assert.ok(sizes.length > 4);
  const again = await openFor(t, dataDir);
  assert.deepEqual(await readTexts(again), acked);
  await again.close();
});

test('a start on a real full file system is refused with a code that says to try again, and then succeeds', async (t) => {
  const folder = smallFileSystem(t, 16);
  if (folder === undefined) return;
  const dataDir = join(folder, 'data');
  const before = await openFor(t, dataDir);
  await ensure(before);
  await appendTexts(before, ['a', 'b'], { id: 'p', sequence: 1 });
  // As kill -9 leaves it: the last segment is not sealed.
  const killed = join(folder, 'killed');
  execFileSync('cp', ['-r', '--sparse=always', dataDir, killed]);
  await before.close();
  rmSync(dataDir, { recursive: true });
  const ballast = join(folder, 'ballast');
  assert.throws(() => writeFileSync(ballast, Buffer.alloc(32 * 1024 * 1024)), { code: 'ENOSPC' });
  for (let attempt = 0; attempt < 3; attempt++) {
    const error = (await openFor(t, killed).catch((e: unknown) => e)) as TandemError;
    assert.deepEqual([error.code, error.retryable], ['TANDEM_DISK_FULL', true]);
  }
  rmSync(ballast);
  const engine = await openFor(t, killed);
  assert.deepEqual(await readTexts(engine), ['a', 'b']);
  assert.equal(await engine.store.lastSequence(PLACE, 'p'), 2);
  await appendTexts(engine, ['c']);
  await engine.close();
});
