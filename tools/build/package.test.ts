/** The package as a user gets it: packed, installed into an empty folder, run. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { PROJECT_ROOT } from '../tidy/project-files.ts';

const START_TIMEOUT_MS = 30_000;

interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

const manifest = JSON.parse(readFileSync(join(PROJECT_ROOT, 'package.json'), 'utf8')) as {
  version: string;
  dependencies: { readonly [name: string]: string };
};

const run = (command: string, args: readonly string[], cwd: string): string =>
  execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

test('the packed package runs where only its dependencies are', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-package-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));

  const [packed] = JSON.parse(run('npm', ['pack', '--json', '--pack-destination', folder], PROJECT_ROOT)) as Packed[];
  assert.ok(packed !== undefined);
  const paths = packed.files.map(({ path }) => path);
  for (const path of [
    'bin/tandem.js',
    'dist/cli/main.js',
    'dist/index.d.ts',
    'dist/topology/worker-main.js',
    'dist/listeners/http/live-page/page.html',
    'config.schema.json',
    'LICENSE',
  ])
    assert.ok(paths.includes(path), `${path} is missing`);
  assert.deepEqual(
    paths.filter((path) => /\.test\.|(^|\/)testing\/|^src\//.test(path)),
    [],
  );

  const installed = join(folder, 'node_modules', 'tandem');
  mkdirSync(installed, { recursive: true });
  run('tar', ['-xzf', packed.filename, '-C', installed, '--strip-components=1'], folder);
  linkDependencies(folder);
  const bin = join(installed, 'bin', 'tandem.js');
  assert.equal(run(process.execPath, [bin, '--version'], folder), `${manifest.version}\n`);

  writeFileSync(
    join(folder, 'use.mjs'),
    "import { TandemError } from 'tandem'; console.log(new TandemError('TANDEM_DISK_FULL').httpStatus);",
  );
  assert.equal(run(process.execPath, ['use.mjs'], folder), '507\n');

  const args = ['up', '--json', '--workers', '1', '--listen', 'http://127.0.0.1:0', '--admin', 'http://127.0.0.1:0'];
  const node = spawn(process.execPath, [bin, ...args], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => node.kill('SIGKILL'));
  let log = '';
  node.stderr.on('data', (chunk) => (log += chunk));
  const ended = once(node, 'close');
  const ready = await Promise.race([
    once(node.stdout, 'data', { signal: AbortSignal.timeout(START_TIMEOUT_MS) }).catch(() => assert.fail(log)),
    ended.then(() => assert.fail(log)),
  ]);
  const { listeners } = JSON.parse(String(ready[0])) as { listeners: { port: number }[] };
  const url = `http://127.0.0.1:${listeners[0]?.port}`;
  assert.equal(run(process.execPath, [bin, 'publish', 'orders', 'hello', '--url', url], folder), 'OK 0:0\n');
  assert.match(await (await fetch(url)).text(), /<title>Tandem live/);
  node.kill('SIGTERM');
  assert.equal((await ended)[0], 0, log);
});

/** What `npm install` would put beside it, without a registry: the same packages as here, and nothing else. */
function linkDependencies(folder: string): void {
  for (const name of Object.keys(manifest.dependencies)) {
    const target = join(folder, 'node_modules', name);
    mkdirSync(dirname(target), { recursive: true });
    symlinkSync(join(PROJECT_ROOT, 'node_modules', name), target);
  }
}
