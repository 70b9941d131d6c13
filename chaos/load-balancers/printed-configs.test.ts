/** What `tandem lb` prints is taken by the real HAProxy and NGINX, without a warning. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePorts } from '../node-under-test.ts';
import { judged, missing, printedConfig } from './balancer-under-test.ts';

const MACHINES = [
  '--nodes',
  'a=http://127.0.0.2:9510,b=http://127.0.0.3:9510,https://[::1]:9520',
  '--bind',
  '127.0.0.1',
];
const ONE_MACHINE = ['--nodes', 'a=http://127.0.0.1:9510,b=http://127.0.0.1:9520'];

for (const kind of ['haproxy', 'nginx'] as const)
  test(`${kind} takes what is printed for it`, { skip: missing(kind) }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'tandem-lb-'));
    t.after(() => rmSync(folder, { recursive: true }));
    for (const file of ['cert.pem', 'key.pem']) writeFileSync(join(folder, file), '');
    // NGINX binds while it checks.
    const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = await freePorts(8);
    const config = join(folder, 'tandem.yaml');
    writeFileSync(
      config,
      `listen:
  - http://127.0.0.1:${a}
  - http://127.0.0.1:${b}?proxy=on
  - http://127.0.0.1:${c}?tls=cert.pem,key.pem
  - tcp://127.0.0.1:${d}?topic=t
  - tcp://127.0.0.1:${e}?topic=t&proxy=on&tls=cert.pem,key.pem
  - udp://127.0.0.1:${f}?topic=t&ack=offset
  - udp://127.0.0.1:${g}?topic=t&proxy=on
admin: { url: 'http://127.0.0.1:${h}', agentCheck: '127.0.0.1:${h + 1}' }
limits: { idleTimeoutMs: 0 }
`,
    );
    for (const args of [MACHINES, ONE_MACHINE, []]) {
      const printed = await printedConfig(kind, ['--config', config, '--offset', '0', ...args]);
      assert.equal(await judged(kind, folder, printed), '', printed);
    }
    assert.notEqual(await judged(kind, folder, 'nonsense\n'), '', 'it can say no');
  });
