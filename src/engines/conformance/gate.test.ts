/** The gate itself can fail: for each way in which an engine could escape the suite, a manifest that shows it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gateProblems, SUPPORTED_ENGINES } from './gate.ts';
import type { Law } from './law.ts';
import { LAWS } from './laws/index.ts';
import { type Manifest, ManifestRecorder, type SkippedCase } from './manifest.ts';

const run = async (): Promise<void> => {};
const laws: readonly Law[] = [
  {
    name: 'order',
    cases: [
      { name: 'plain', run },
      { name: 'durable', needs: { isDurable: 'r' }, run },
      { name: 'by time', unless: { provesDeath: 'r' }, run },
    ],
  },
];
const good: Manifest = {
  engine: 'e',
  identity: 'e 1',
  capabilities: {
    ...{ isDurable: false, isShared: true, provesDeath: true, reopens: true },
    takesOrigins: false,
    ack: 'memory',
  },
  commit: 'c1',
  executed: 1,
  laws: { order: ['plain'] },
  skipped: [
    { law: 'order', case: 'durable', capability: 'isDurable', reason: 'r' },
    { law: 'order', case: 'by time', capability: 'provesDeath', reason: 'r' },
  ],
  failed: [],
};
const [skip, byTime] = good.skipped as [SkippedCase, SkippedCase];

function folderWith(t: TestContext, manifests: { readonly [engine: string]: unknown }): string {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-gate-'));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(folder, { recursive: true });
  for (const [engine, manifest] of Object.entries(manifests))
    writeFileSync(join(folder, `${engine}.json`), JSON.stringify(manifest));
  return folder;
}

const check = (folder: string): string[] => gateProblems({ folder, engines: ['e'], laws, commit: 'c1' });

test('the gate is open when all ran', (t) => {
  assert.deepEqual(check(folderWith(t, { e: good })), []);
});

const ESCAPES: { readonly [problem: string]: Partial<Manifest> } = {
  'the manifest is of other': { engine: 'other' },
  'the live engine said it is "mock 1"': { identity: 'mock 1' },
  'the manifest is of commit c0, not c1; run the tests again': { commit: 'c0' },
  'the live engine said it is "ember 1"': { identity: 'ember 1' },
  'nothing was executed': { executed: 0 },
  'failed: order: plain': { failed: [{ law: 'order', case: 'plain' }] },
  'did not run: order: plain': { laws: {} },
  'did not run: order: durable': { skipped: [byTime] },
  'claims isDurable but skipped order: durable': { capabilities: { ...good.capabilities, isDurable: true } },
  'does not claim provesDeath but skipped order: by time': {
    capabilities: { ...good.capabilities, provesDeath: false },
  },
  'skipped what the suite does not have: order: gone': { skipped: [skip, byTime, { ...skip, case: 'gone' }] },
  'skipped for a capability it does not need: order: plain': { skipped: [skip, byTime, { ...skip, case: 'plain' }] },
  'skipped without a reason: order: durable': { skipped: [{ ...skip, reason: '' }, byTime] },
};

for (const [problem, change] of Object.entries(ESCAPES))
  test(`the gate is shut: ${problem}`, (t) => {
    assert.deepEqual(check(folderWith(t, { e: { ...good, ...change } })), [`e: ${problem}`]);
  });

test('a form of an engine is another engine', (t) => {
  const manifest = { ...good, engine: 'redis-cluster', identity: 'redis 7.0.15 sentinel' };
  const folder = folderWith(t, { 'redis-cluster': manifest });
  assert.deepEqual(gateProblems({ folder, engines: ['redis-cluster'], laws, commit: 'c1' }), [
    'redis-cluster: the live engine said it is "redis 7.0.15 sentinel"',
  ]);
  const valkey = folderWith(t, { 'redis-cluster': { ...manifest, identity: 'valkey 8.0.1 cluster (3 masters)' } });
  assert.deepEqual(gateProblems({ folder: valkey, engines: ['redis-cluster'], laws, commit: 'c1' }), []);
});

test('the gate is shut without a manifest', (t) => {
  assert.deepEqual(check(folderWith(t, {})), ['e: no manifest; its conformance tests did not run']);
});

const GATE = fileURLToPath(new URL('./gate.ts', import.meta.url));

test('as a script it says so by its exit code', (t) => {
  const empty = spawnSync(process.execPath, [GATE, folderWith(t, {})], { encoding: 'utf8' });
  assert.equal(empty.status, 1);
  for (const engine of ['memory', 'embedded']) assert.match(empty.stderr, new RegExp(`${engine}: no manifest`));
  const full = folderWith(t, {});
  for (const engine of SUPPORTED_ENGINES) recordAll(engine).write(full);
  const open = spawnSync(process.execPath, [GATE, full], { encoding: 'utf8' });
  assert.deepEqual([open.status, open.stderr], [0, '']);
});

/** As after a run in which every case of the suite passed. */
function recordAll(engine: string): ManifestRecorder {
  const recorder = new ManifestRecorder(engine);
  // As live engines call themselves: `memory 1`, `redis 7.0.15 sentinel`.
  const [product, ...form] = engine.split('-');
  recorder.identify([product, '1', ...form].join(' '), { ...good.capabilities, isDurable: true });
  for (const law of LAWS) for (const lawCase of law.cases) recorder.executed(law, lawCase);
  return recorder;
}
