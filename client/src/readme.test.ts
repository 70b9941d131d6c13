/** The program of the README runs as it stands there, and its tables name what there is. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { NodeUnderTest } from '../../chaos/node-under-test.ts';
import { CLIENT_ERRORS } from './index.ts';

const CLIENT = fileURLToPath(new URL('..', import.meta.url));
const README = readFileSync(join(CLIENT, 'README.md'), 'utf8');

test('the program of the README', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-readme-'));
  const node = await NodeUnderTest.create(folder, 1);
  t.after(async () => {
    await node.killAll();
    rmSync(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 20 });
  });
  await node.start();
  const program = /```js\n([\s\S]*?)```/.exec(README)?.[1] ?? assert.fail('no program');
  assert.ok(program.includes('ws://127.0.0.1:9500'));
  writeFileSync(join(folder, 'program.mjs'), program.replace('127.0.0.1:9500', `127.0.0.1:${node.ports.http}`));
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(CLIENT, join(folder, 'node_modules', 'tandem-client'));
  const output = execFileSync(process.execPath, ['program.mjs'], { cwd: folder, encoding: 'utf8', timeout: 20_000 });
  assert.equal(output, 'stored at 0:0\n0:0 {"cents":250}\n');
});

test('the README names every error code of the client, and no other', () => {
  const named = [...README.matchAll(/^\| `(TANDEM_CLIENT_[A-Z_]+)` \|/gm)].map(([, code]) => code);
  assert.deepEqual(named, Object.keys(CLIENT_ERRORS));
});
