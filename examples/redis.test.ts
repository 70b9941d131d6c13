/** The examples with Redis: their files are valid, fit each other, and servers started with them are what the doctor wants. */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { RedisEngineConfig } from '../src/config/tandem-config.ts';
import { missingRedis } from '../src/core/testing/redis-servers/installed.ts';
import { configOf, environmentOf, readCompose } from './example-stage.fixture.ts';

const FOLDER = import.meta.dirname;
const TANDEM = join(FOLDER, '..', 'bin', 'tandem.js');
const EXAMPLES = ['redis-sentinel', 'redis-cluster'] as const;

for (const example of [...EXAMPLES, 'systemd'])
  test(`${example}: the nodes' config is valid, and its URL names servers of the example`, () => {
    const { engine, topics } = configOf(example);
    assert.equal(topics[0]?.name, 'data_queue');
    const hosts = (engine as RedisEngineConfig).url.match(/10\.7\d\.0\.\d+/g) ?? [];
    const addresses =
      example === 'systemd'
        ? ['10.77.0.1', '10.77.0.2', '10.77.0.3']
        : Object.entries(readCompose(`${example}/docker-compose.yml`).services).flatMap(([name, { networks }]) =>
            /^(redis|sentinel)-\d$/.test(name) ? [networks['tandem']?.ipv4_address ?? ''] : [],
          );
    assert.ok(hosts.length >= 3);
    assert.deepEqual(
      hosts.filter((host) => !addresses.includes(host)),
      [],
    );
  });

for (const example of EXAMPLES)
  test(`${example}: what the compose file mounts and depends on is there`, () => {
    const { services, volumes, networks } = readCompose(`${example}/docker-compose.yml`);
    const subnet = networks['tandem']?.ipam.config[0]?.subnet.replace('0/24', '') ?? '';
    const addresses = Object.values(services).flatMap((service) => service.networks['tandem']?.ipv4_address ?? []);
    assert.equal(new Set(addresses).size, addresses.length);
    assert.deepEqual(
      addresses.filter((address) => !address.startsWith(subnet)),
      [],
    );
    for (const service of Object.values(services)) {
      for (const name of service.depends_on ?? []) assert.ok(name in services, name);
      for (const volume of service.volumes ?? []) {
        const [source = ''] = volume.split(':');
        assert.ok(source.startsWith('./') ? existsSync(join(FOLDER, example, source)) : source in volumes, volume);
      }
    }
  });

for (const [example, nodes, ...more] of [
  ['redis-sentinel', 'a=http://10.77.0.31:9510,b=http://10.77.0.32:9510,c=http://10.77.0.33:9510'],
  ['systemd', 'a=http://10.77.0.1:9510,b=http://10.77.0.2:9510,c=http://10.77.0.3:9510', '--offset', '100'],
] as const)
  test(`${example}: haproxy.cfg is what "tandem lb" prints, and HAProxy takes it`, () => {
    const path = join(FOLDER, example, 'haproxy.cfg');
    const config = ['--config', join(FOLDER, example, 'tandem.yaml'), '--nodes', nodes, ...more];
    const printed = execFileSync(process.execPath, [TANDEM, 'lb', 'haproxy', ...config], {
      env: { ...process.env, ...environmentOf(example) },
      encoding: 'utf8',
    });
    assert.equal(readFileSync(path, 'utf8'), printed);
    if (missingRedis('haproxy') === false) execFileSync('env', ['haproxy', '-c', '-f', path]);
  });

test('systemd: the units are valid', {
  skip: missingRedis('systemd-analyze') && 'no systemd-analyze in PATH',
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-units-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const units = globSync('*.service', { cwd: join(FOLDER, 'systemd') });
  assert.equal(units.length, 3);
  for (const unit of units) {
    const text = readFileSync(join(FOLDER, 'systemd', unit), 'utf8');
    // It is looked at whether the programs are there, too.
    writeFileSync(join(folder, unit), text.replace(/\/usr\/(local\/)?bin\/(tandem|redis-server)/g, '/bin/sh'));
  }
  const paths = units.map((unit) => join(folder, unit));
  const { code, said } = await new Promise<{ code: number; said: string }>((resolve) => {
    execFile('env', ['systemd-analyze', 'verify', ...paths], (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), said: out + err }),
    );
  });
  const ours = said.split('\n').filter((line) => /tandem/.test(line) && !/Failed to create .*cgroup/.test(line));
  assert.deepEqual(ours, []);
  assert.ok(code === 0 || ours.length === 0, said);
});
