import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { until } from '../until.ts';
import { missingRedis } from './installed.ts';
import { startRedis } from './start-redis.ts';

const skip = missingRedis();

test('a server can be paused, killed, and started again with or without what it stored', { skip }, async (t) => {
  const { server, url } = await startRedis(t, { config: ['appendonly yes', 'appendfsync always'] });
  assert.equal(url, `redis://127.0.0.1:${server.port}`);
  assert.equal(await server.role(), 'master');
  assert.equal(await server.call('SET', 'name', 'grün\r\n'), 'OK');
  server.pause();
  await assert.rejects(server.call('GET', 'name'), { code: 'TANDEM_STORE_UNREACHABLE' });
  server.resume();
  assert.equal(await server.call('GET', 'name'), 'grün\r\n');
  await server.kill();
  assert.equal(server.isRunning, false);
  await assert.rejects(server.call('PING'), { code: 'TANDEM_STORE_UNREACHABLE' });
  await server.restart();
  assert.equal(await server.call('GET', 'name'), 'grün\r\n');
  await server.restart({ empty: true });
  assert.equal(await server.call('GET', 'name'), null);
  await assert.rejects(server.call('NONSENSE'), { code: 'TANDEM_STORE_FAILED', message: /ERR unknown command/ });
});

test('replicas are online, and a password is asked for', { skip }, async (t) => {
  const { servers, url } = await startRedis(t, { replicas: 1, password: 'p@ss' });
  assert.match(url, /^redis:\/\/:p%40ss@127/);
  assert.deepEqual(await Promise.all(servers.map((server) => server.role())), ['master', 'replica']);
});

test('servers end, and their folders go, when the process that started them is killed', { skip }, async () => {
  const program = `
    import { startRedis } from ${JSON.stringify(new URL('./start-redis.ts', import.meta.url).href)};
    const { server } = await startRedis();
    console.log(JSON.stringify({ pid: server.pid, folder: server.folder }));
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(child.stdout, 'data');
  const { pid, folder } = JSON.parse(String(line)) as { pid: number; folder: string };
  assert.ok(existsSync(`/proc/${pid}`) && existsSync(folder));
  child.kill('SIGKILL');
  await until('the server is gone', () => !existsSync(`/proc/${pid}`));
  await until('its folder is gone', () => !existsSync(folder));
});
