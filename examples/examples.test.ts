/** Every example config is valid, and the handlers get what is sent. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { loadConfig } from '../src/config/load.ts';
import { until } from '../src/core/testing/until.ts';

const FOLDER = import.meta.dirname;
const TANDEM = join(FOLDER, '..', 'bin', 'tandem.js');

for (const name of globSync('*.yaml', { cwd: FOLDER }))
  test(`${name} is a valid config`, () => {
    assert.ok(loadConfig({ configPath: join(FOLDER, name), environment: {} }).topics.length > 0);
  });

test('handlers.yaml: a line over TCP is acknowledged and printed by its handler', async (t) => {
  const { port, output } = await start(t, 'handlers.yaml');
  const socket = connect(port, '127.0.0.1');
  socket.end('{"id":"o1","cents":250}\n');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  const [, place] = /^OK (\d:0)\n$/.exec(answer.toString()) ?? assert.fail(answer.toString());
  await until('the handler has printed the record', () =>
    output().includes(`data_queue ${place} - {"id":"o1","cents":250}\n`),
  );
});

/** A node with this config on free ports; it ends with the test. */
async function start(t: TestContext, config: string): Promise<{ port: number; output: () => string }> {
  const data = mkdtempSync(join(tmpdir(), 'tandem-example-'));
  const args = ['up', '--json', '--config', join(FOLDER, config), '--data', data, '--workers', '1'];
  const addresses = ['--listen', 'tcp://127.0.0.1:0?topic=data_queue', '--admin', 'http://127.0.0.1:0'];
  const node = spawn(process.execPath, [TANDEM, ...args, ...addresses], { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = once(node, 'close');
  t.after(async () => {
    node.kill('SIGTERM');
    await ended;
    rmSync(data, { recursive: true, force: true });
  });
  let output = '';
  let log = '';
  node.stdout.on('data', (chunk) => (output += chunk));
  node.stderr.on('data', (chunk) => (log += chunk));
  await until('the node is ready', () => output.includes('\n') || (node.exitCode !== null && assert.fail(log)), 60_000);
  const { listeners } = JSON.parse(output.slice(0, output.indexOf('\n'))) as { listeners: { port: number }[] };
  return { port: listeners[0]?.port ?? assert.fail(output), output: () => output };
}
