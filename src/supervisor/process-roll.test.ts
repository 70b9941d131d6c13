import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ProcessRoll } from './process-roll.ts';

const skip = existsSync('/proc/self/stat') ? false : 'there is no /proc here';

function setUp(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-roll-'));
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  t.after(() => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });
  return { folder, child, pid: child.pid as number, roll: new ProcessRoll(folder) };
}

test('a stopped process of an earlier keeper is ended', { skip }, async (t) => {
  const { folder, child, pid, roll } = setUp(t);
  roll.add(pid);
  child.kill('SIGSTOP');
  const exited = once(child, 'exit');
  assert.deepEqual(await new ProcessRoll(folder).endAll(), [pid]);
  await exited;
  assert.equal(child.signalCode, 'SIGKILL');
  assert.deepEqual(readdirSync(folder), []);
});

test('another process that got the same pid is left alone', { skip }, async (t) => {
  const { folder, child, pid, roll } = setUp(t);
  writeFileSync(join(folder, String(pid)), '1');
  assert.deepEqual(await roll.endAll(), []);
  assert.equal(child.exitCode, null);
  assert.equal(child.signalCode, null);
});

test('who was taken off the roll is left alone', { skip }, async (t) => {
  const { pid, roll } = setUp(t);
  roll.add(pid);
  roll.remove(pid);
  assert.deepEqual(await roll.endAll(), []);
});

test('the processes of the node that the folder was copied from are left alone', { skip }, async (t) => {
  const { folder, child, pid, roll } = setUp(t);
  roll.add(pid);
  const copy = `${folder}-copy`;
  cpSync(folder, copy, { recursive: true });
  t.after(() => rmSync(copy, { recursive: true, force: true }));
  assert.deepEqual(await new ProcessRoll(copy).endAll(), []);
  assert.equal(child.signalCode, null);
});
