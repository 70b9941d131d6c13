/** redis-lists.yaml: PHP code pushes onto a list; a browser and a PHP worker get it. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { freePorts } from '../src/core/testing/redis-servers/free-ports.ts';
import { missingRedis } from '../src/core/testing/redis-servers/installed.ts';
import { startRedis } from '../src/core/testing/redis-servers/start-redis.ts';
import { until } from '../src/core/testing/until.ts';

const run = promisify(execFile);
const FOLDER = import.meta.dirname;
const TANDEM = join(FOLDER, '..', 'bin', 'tandem.js');

async function missingPhp(): Promise<string | false> {
  const loaded = await run('php', ['-m']).catch(() => undefined);
  return loaded?.stdout.includes('redis') === true
    ? false
    : 'no php with the redis extension: install php-cli and php-redis';
}
const missing = missingRedis() || (await missingPhp());

test('PHP pushes, a browser sees it, a PHP worker works on it', { skip: missing }, async (t) => {
  const { server } = await startRedis(t);
  const [port = 0, adminPort = 0] = await freePorts(2);
  const data = mkdtempSync(join(tmpdir(), 'tandem-example-'));
  const config = readFileSync(join(FOLDER, 'redis-lists.yaml'), 'utf8')
    .replaceAll('127.0.0.1:6379', server.address)
    .replaceAll('127.0.0.1:9500', `127.0.0.1:${port}`);
  writeFileSync(join(data, 'tandem.yaml'), config);
  const args = ['up', '--config', join(data, 'tandem.yaml'), '--data', join(data, 'data'), '--workers', '1'];
  const admin = ['--admin', `http://127.0.0.1:${adminPort}`];
  const node = spawn(process.execPath, [TANDEM, ...args, ...admin], { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = once(node, 'close');
  t.after(async () => {
    node.kill('SIGTERM');
    await ended;
    rmSync(data, { recursive: true, force: true });
  });
  let output = '';
  for (const stream of [node.stdout, node.stderr]) stream.on('data', (chunk) => (output += chunk));
  await until('the node is ready', () => output.includes('taken from, to messages') || node.exitCode !== null, 60_000);
  assert.equal(node.exitCode, null, output);

  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
  t.after(() => socket.close());
  await until('the socket is open', () => socket.readyState === WebSocket.OPEN);
  const heard: string[] = [];
  socket.addEventListener('message', (event) => heard.push(String(event.data)));
  socket.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'subscribe', params: { channel: 'messages' } }));
  await until('it is subscribed', () => heard.length === 1);

  const env = { ...process.env, REDIS_PORT: String(server.port) };
  const php = (script: string, ...options: string[]) =>
    run('php', [join(FOLDER, 'redis-lists', script), ...options], { env });
  const working = php('work.php', '3');
  await php('push.php', '{"order":1}', '{"order":2}', '{"order":3}');
  assert.equal((await working).stdout, 'worked on {"order":1}\nworked on {"order":2}\nworked on {"order":3}\n');
  await until('the browser has all', () => heard.length === 4);
  const seen = heard.slice(1).map((text) => (JSON.parse(text) as { params: { data: string } }).params.data);
  assert.deepEqual(seen, ['{"order":1}', '{"order":2}', '{"order":3}']);
});
