/** `tandem demo` with real nodes: short, but every kind of fault; and that nothing of it is left, whatever ends it. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { until } from '../core/testing/until.ts';
import type { DemoResult } from './demo/demo-run.ts';
import { EXIT } from './exit-codes.ts';

const MAIN = join(import.meta.dirname, 'main.ts');
const BOUND_MS = 90_000;

interface Started {
  readonly child: ChildProcess;
  readonly folder: string;
  readonly out: () => string;
  readonly err: () => string;
  /** Pids of its processes: itself and all that it has started. */
  readonly processes: () => string[];
}

function start(t: TestContext, args: readonly string[]): Started {
  const home = mkdtempSync(join(tmpdir(), 'tandem-demo-test-'));
  const folder = join(home, 'demo');
  // Children inherit it, so that they are found.
  const mark = `TEMPORARY_FOLDER_OF_THE_TEST=${home}`;
  const env = { ...process.env, TEMPORARY_FOLDER_OF_THE_TEST: home, NO_COLOR: '1' };
  const child = spawn(process.execPath, [MAIN, 'demo', '--data', folder, ...args], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stdout?.on('data', (chunk) => (out += chunk));
  child.stderr?.on('data', (chunk) => (err += chunk));
  const processes = (): string[] => readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && hasMark(pid, mark));
  t.after(() => {
    for (const pid of processes()) process.kill(Number(pid), 'SIGKILL');
    rmSync(home, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  });
  return { child, folder, processes, out: () => out, err: () => err };
}

function hasMark(pid: string, mark: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(mark);
  } catch {
    return false;
  }
}

const noneLeft = (processes: () => string[]): Promise<unknown> =>
  until(
    () => `no process is left: ${processes().join(' ')}`,
    () => processes().length === 0,
  );

test('all three faults, and the proof as JSON', async (t) => {
  const { child, out, err, processes, folder } = start(t, [
    ...['--minutes', '0.05', '--every', '0.5', '--rate', '500', '--seed', '1', '--json'],
  ]);
  const [code] = (await once(child, 'close', { signal: AbortSignal.timeout(BOUND_MS) })) as [number | null];
  assert.equal(code, EXIT.ok, out() + err());
  const result = JSON.parse(out()) as DemoResult;
  const { isProven, lost, duplicated, outOfOrder, foreign, phantom, doubleActive, unanswered, breaches } = result;
  assert.deepEqual(
    { isProven, lost, duplicated, outOfOrder, foreign, phantom, doubleActive, unanswered, breaches },
    {
      ...{
        isProven: true,
        lost: 0,
        duplicated: 0,
        outOfOrder: 0,
        foreign: 0,
        phantom: 0,
        doubleActive: 0,
        unanswered: 0,
        breaches: [],
      },
    },
  );
  assert.ok(result.acked > 500);
  assert.equal(result.stored, result.acked);
  for (const { records, missed, gaps } of result.delivered)
    assert.deepEqual([records, missed, gaps], [result.stored, 0, 0]);
  assert.equal(result.delivered.length, 3);
  for (const kind of ['kill', 'hang', 'switchover'] as const) {
    const { count, takeoverMs } = result.takeovers[kind] ?? assert.fail(`no ${kind}: ${err()}`);
    assert.ok(count >= 1 && takeoverMs.median > 0 && takeoverMs.worst >= takeoverMs.median);
  }
  const { faults, terms } = result;
  assert.ok(terms.count > faults.filter(({ problem }) => problem === null).length);
  for (const { fromTerm, toTerm, problem } of faults) assert.ok(problem !== null || (toTerm ?? 0) > fromTerm);
  assert.match(err(), /^00:\d\d hang of [abc], active under term \d+$/m);
  // The user named the folder: it stays.
  assert.equal(result.folder, folder);
  assert.ok(existsSync(join(folder, 'data')));
  await noneLeft(processes);
});

test('killed with -9 while a node hangs: nothing of it is left', async (t) => {
  const { child, out, err, processes } = start(t, [
    '--nodes',
    '2',
    '--faults',
    'hang',
    '--every',
    '0.1',
    '--rate',
    '100',
  ]);
  await until(
    () => `a node hangs: ${out()}${err()}`,
    () => / hang of /.test(out()),
    BOUND_MS,
  );
  assert.ok(processes().length > 4);
  child.kill('SIGKILL');
  await noneLeft(processes);
});

test('ended by a signal before it began, and wrong arguments', async (t) => {
  const { child, processes } = start(t, ['--nodes', '2']);
  await until('a node runs', () => processes().length > 2);
  child.kill('SIGTERM');
  assert.equal((await once(child, 'exit'))[0], 143);
  await noneLeft(processes);
  for (const args of [
    ['--faults', 'flood'],
    ['--minutes', '0'],
    ['--nodes', '1'],
    ['--data', import.meta.dirname],
  ]) {
    const wrong = spawn(process.execPath, [MAIN, 'demo', ...args], { stdio: 'ignore' });
    assert.equal((await once(wrong, 'exit'))[0], EXIT.usage, args.join(' '));
  }
});
