/** `tandem doctor` with Redis as the engine: its servers' settings beside everything else, as text and as JSON. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { missingRedis } from '../core/testing/redis-servers/installed.ts';
import { startRedis } from '../core/testing/redis-servers/start-redis.ts';
import { EXIT } from './exit-codes.ts';

const TANDEM = join(import.meta.dirname, '..', '..', 'bin', 'tandem.js');

interface Finished {
  readonly code: number;
  readonly out: string;
}

function doctor(t: TestContext, engine: string, ...args: string[]): Promise<Finished> {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-doctor-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const listen = 'listen: ["http://127.0.0.1:0"]\nadmin: "http://127.0.0.1:0"\n';
  writeFileSync(join(folder, 'tandem.yaml'), `engine: ${engine}\n${listen}`);
  return new Promise((resolve) => {
    execFile(process.execPath, [TANDEM, 'doctor', ...args], { cwd: folder }, (error, out) =>
      resolve({ code: error === null ? 0 : Number(error.code), out }),
    );
  });
}

test('doctor asks the servers of the engine, and its exit code tells of failed checks', {
  skip: missingRedis(),
}, async (t) => {
  const config = ['appendonly yes', 'maxmemory 200mb'];
  const { server, url } = await startRedis(t, { config, password: 'secret' });
  const good = await doctor(t, url, '--json');
  const { checks } = JSON.parse(good.out) as { checks: { name: string; server?: string; result: string }[] };
  assert.equal(good.code, EXIT.ok, good.out);
  assert.ok(checks.some(({ name }) => name === 'fdatasync'));
  const durability = checks.find(({ name }) => name === 'redis durability');
  assert.deepEqual([durability?.server, durability?.result], [server.address, 'ok']);

  await server.call('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
  const bad = await doctor(t, url);
  assert.equal(bad.code, EXIT.failed, bad.out);
  assert.match(
    bad.out,
    /^FAIL {2}redis eviction {5}127\.0\.0\.1:\d+: allkeys-lru: .*\n {25}CONFIG SET maxmemory-policy/m,
  );

  await server.kill();
  const away = await doctor(t, url);
  assert.equal(away.code, EXIT.failed, away.out);
  assert.match(away.out, /^ok {4}fdatasync/m);
  assert.match(away.out, /^FAIL {2}redis {14}127\.0\.0\.1:\d+: cannot be asked: ECONNREFUSED/m);
  assert.ok(![good, bad, away].some(({ out }) => out.includes('secret')), 'no password in a report');
});
