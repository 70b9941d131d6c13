/** Both packages as a user gets them: packed, installed into an empty folder, run. */
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

/** Packs what is in `source` and unpacks it where npm would put it. The paths of its files. */
function install(folder: string, name: string, source: string): string[] {
  const [packed] = JSON.parse(run('npm', ['pack', '--json', '--pack-destination', folder], source)) as Packed[];
  assert.ok(packed !== undefined);
  const installed = join(folder, 'node_modules', name);
  mkdirSync(installed, { recursive: true });
  run('tar', ['-xzf', packed.filename, '-C', installed, '--strip-components=1'], folder);
  return packed.files.map(({ path }) => path);
}

/** Publishes one record and reads it. */
const CLIENT_PROGRAM = `import { connect, type PublishReceipt, TandemClientError } from 'tandem-client';
const client = connect({ addresses: process.argv[2] as string });
const { offset }: PublishReceipt = await client.publish('of the client', 'x').catch((error: TandemClientError) => {
  console.log(error.code);
  return client.publish('clients', 'hello');
});
for await (const { data, term } of client.subscribe('clients', { from: 'start' })) {
  console.log(offset, data, term > 0);
  break;
}
await client.close();
`;

/** Both packages, and beside them what they depend on. */
function installBoth(folder: string): void {
  const paths = install(folder, 'tandem', PROJECT_ROOT);
  for (const path of [
    'bin/tandem.js',
    'dist/cli/main.js',
    'dist/index.d.ts',
    'dist/topology/worker-main.js',
    'dist/topology/undertaker-main.js',
    'dist/listeners/http/live-page/page.html',
    'config.schema.json',
    'LICENSE',
  ])
    assert.ok(paths.includes(path), `${path} is missing`);
  assert.deepEqual(
    paths.filter((path) => /\.test\.|(^|\/)testing\/|^src\//.test(path)),
    [],
  );
  // Built with the other one.
  const clientPaths = install(folder, 'tandem-client', join(PROJECT_ROOT, 'client', 'dist'));
  for (const path of ['index.js', 'index.d.ts', 'README.md', 'LICENSE'])
    assert.ok(clientPaths.includes(path), `${path} is missing in the client`);
  assert.deepEqual(
    clientPaths.filter((path) => /\.test\.|fixture|(?<!\.d)\.ts$/.test(path)),
    [],
  );
  linkDependencies(folder);
}

/** For a program that knows only what Node's types and the package's own say. */
function checkTypes(folder: string, file: string): void {
  const forms = ['--module', 'nodenext', '--target', 'esnext', '--lib', 'esnext', '--types', 'node'];
  run(join(PROJECT_ROOT, 'node_modules', '.bin', 'tsc'), [...forms, '--strict', '--noEmit', file], folder);
}

test('the packed packages run where only their dependencies are', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-package-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  installBoth(folder);
  const bin = join(folder, 'node_modules', 'tandem', 'bin', 'tandem.js');
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
  writeFileSync(join(folder, 'client.mts'), CLIENT_PROGRAM);
  checkTypes(folder, 'client.mts');
  assert.equal(run(process.execPath, ['client.mts', url], folder), 'TANDEM_TOPIC_INVALID\n0 hello true\n');
  node.kill('SIGTERM');
  assert.equal((await ended)[0], 0, log);
});

/** What `npm install` would put beside them, without a registry: the same packages as here, with Node's types, and nothing else. */
function linkDependencies(folder: string): void {
  for (const name of [...Object.keys(manifest.dependencies), '@types/node', 'undici-types']) {
    if (name === 'tandem-client') continue;
    const target = join(folder, 'node_modules', name);
    mkdirSync(dirname(target), { recursive: true });
    symlinkSync(join(PROJECT_ROOT, 'node_modules', name), target);
  }
}
