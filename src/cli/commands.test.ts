/** The commands against a real node: embedded engine, two workers, everything on free ports. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { EXIT } from './exit-codes.ts';

const MAIN = join(import.meta.dirname, 'main.ts');
const TOKEN = 'secret-of-the-test';

interface Result {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

const folder = mkdtempSync(join(tmpdir(), 'tandem-cli-'));
let node: ChildProcess;
let url = '';
let adminUrl = '';
let target = '';

function start(args: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const environment = { ...process.env, NO_COLOR: '1', TANDEM_TOKEN: '', ...env };
  return spawn(process.execPath, [MAIN, ...args], { cwd: folder, env: environment, stdio: ['pipe', 'pipe', 'pipe'] });
}

async function finish(child: ChildProcess, input?: string): Promise<Result> {
  let out = '';
  let err = '';
  child.stdout?.on('data', (chunk) => (out += chunk));
  child.stderr?.on('data', (chunk) => (err += chunk));
  child.stdin?.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out, err };
}

/** Runs a command as the operator does, with a token that may do everything. */
const tandem = (...args: readonly string[]): Promise<Result> => finish(start(args, { TANDEM_TOKEN: TOKEN }));

async function firstLine(child: ChildProcess): Promise<string> {
  let text = '';
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    text += chunk.toString();
    if (text.includes('\n')) break;
  }
  return text.slice(0, text.indexOf('\n'));
}

before(async () => {
  writeFileSync(
    join(folder, 'tandem.yaml'),
    `listen: ["http://127.0.0.1:0", "tcp://127.0.0.1:0?topic=lines"]
admin: http://127.0.0.1:0
workers: 2
consumers: { save: { topic: lines, to: ./handlers.js } }
auth: { tokens: [{ name: all, token: ${TOKEN}, publish: ["*"], subscribe: ["*"], consume: ["*"], admin: true }] }
`,
  );
  writeFileSync(join(folder, 'handlers.js'), 'export const save = () => {};\n');
  node = start(['up', '--json', '--name', 'tested']);
  let log = '';
  node.stderr?.on('data', (chunk) => (log += chunk));
  const line = await Promise.race([firstLine(node), once(node, 'close').then(() => '')]);
  assert.notEqual(line, '', log);
  const ready = JSON.parse(line) as { listeners: { port: number }[]; adminPort: number };
  url = `http://127.0.0.1:${ready.listeners[0]?.port}`;
  target = `tcp://127.0.0.1:${ready.listeners[1]?.port}`;
  adminUrl = `http://127.0.0.1:${ready.adminPort}`;
});

after(async () => {
  if (node.exitCode === null && node.signalCode === null) {
    node.kill('SIGTERM');
    await once(node, 'close');
  }
  rmSync(folder, { recursive: true, force: true });
});

test('publish stores arguments and lines; tail prints them; topics counts them', async () => {
  const one = await tandem('publish', 'orders', 'héllo', '--key', 'k', '--url', url);
  assert.match(one.out, /^OK \d:0\n$/, one.err);
  const child = start(['publish', 'orders', '--producer', 'import', '--url', url], { TANDEM_TOKEN: TOKEN });
  const lines = Array.from({ length: 2500 }, (_, i) => `line ${i}`);
  const many = await finish(child, lines.join('\n'));
  assert.equal(many.out, '2,500 records stored\n', many.err);

  const tail = await tandem('tail', 'orders', '--from', 'start', '--count', '2501', '--url', url);
  assert.deepEqual(tail.out.trimEnd().split('\n').sort(), ['héllo', ...lines].sort());
  const json = await tandem('tail', 'orders', '--from', 'start', '--count', '1', '--json', '--url', url);
  assert.equal((JSON.parse(json.out) as { offset: number }).offset, 0);

  const topics = await tandem('topics', 'orders', '--json', '--url', url);
  const { state } = JSON.parse(topics.out) as { state: { nextOffset: number }[] };
  assert.equal(
    state.reduce((sum, { nextOffset }) => sum + nextOffset, 0),
    2501,
  );
  assert.match((await tandem('topics', '--url', url)).out, /orders +2 +2,501/);
});

test('the same lines of a producer once more: stored once', async () => {
  const send = (): Promise<Result> =>
    finish(start(['publish', 'again', '--producer', 'p', '--url', url, '--json'], { TANDEM_TOKEN: TOKEN }), 'a\nb\n');
  const first = JSON.parse((await send()).out) as { offset: number; isDuplicate?: boolean };
  const second = JSON.parse((await send()).out) as { offset: number; isDuplicate?: boolean };
  assert.deepEqual([first.offset, first.isDuplicate], [0, undefined]);
  assert.deepEqual([second.offset, second.isDuplicate], [0, true]);
});

test('status and consume show the node as it is', async () => {
  const status = await tandem('status', '--admin-url', adminUrl);
  assert.equal(status.code, EXIT.ok, status.err);
  assert.match(status.out, /^tested {2}active, ready: ok\n/);
  assert.match(status.out, /serving/);
  const json = JSON.parse((await tandem('status', '--json', '--admin-url', adminUrl)).out) as { slots: unknown[] };
  assert.equal(json.slots.length, 2);

  assert.match((await tandem('consume', '--admin-url', adminUrl)).out, /save +lines +\S+handlers\.js +running/);
  assert.equal((await tandem('consume', 'pause', 'save', '--admin-url', adminUrl)).code, EXIT.ok);
  assert.match((await tandem('consume', 'list', 'save', '--admin-url', adminUrl)).out, /save +lines +\S+ +paused/);
  assert.match((await tandem('status', '--admin-url', adminUrl)).out, /^paused consumers: save$/m);
  assert.equal((await tandem('consume', 'resume', 'save', '--admin-url', adminUrl)).code, EXIT.ok);
  assert.equal((await tandem('consume', 'replay', 'save', '--count', '5', '--admin-url', adminUrl)).code, EXIT.ok);
  const beyond = await tandem('consume', 'skip', 'save', '--partition', '0', '--to', '999999', '--admin-url', adminUrl);
  assert.match(beyond.err, /TANDEM_POSITION_AHEAD/);
  const absent = await tandem('consume', 'skip', 'save', '--partition', '99', '--to', '1', '--admin-url', adminUrl);
  assert.match(absent.err, /no worker works on partition 99/);
  assert.equal((await tandem('consume', 'skip', 'save', '--admin-url', adminUrl)).code, EXIT.usage);
  const unknown = await tandem('consume', 'pause', 'nobody', '--admin-url', adminUrl);
  assert.equal(unknown.code, EXIT.failed);
  assert.match(unknown.err, /TANDEM_CONSUMER_UNKNOWN/);
});

test('bench measures, with a token', async () => {
  const args = ['--target', target, '--connections', '2', '--in-flight', '4', '--seconds', '1', '--json'];
  const bench = await tandem('bench', ...args);
  const result = JSON.parse(bench.out || bench.err) as { ackedRecords: number; refusedRecords: number };
  assert.ok(result.ackedRecords > 0, bench.out);
  assert.equal(result.refusedRecords, 0);
  const refused = await finish(start(['bench', ...args], { TANDEM_TOKEN: 'wrong' }));
  assert.equal(refused.code, EXIT.forbidden, refused.err);
});

test('doctor finds a running node healthy', async () => {
  const healthy = await tandem('doctor', '--json');
  const { checks } = JSON.parse(healthy.out) as { checks: { name: string; result: string; finding: string }[] };
  assert.deepEqual(
    checks.filter(({ result }) => result === 'failed'),
    [],
  );
  assert.match(checks.find(({ name }) => name === 'records')?.finding ?? '', /every checksum is right/);
});

test('errors: code, hint and exit code', async () => {
  const wrong = await finish(start(['topics', '--url', url], { TANDEM_TOKEN: 'wrong' }));
  assert.equal(wrong.code, EXIT.forbidden);
  assert.match(wrong.err, /TANDEM_AUTH_INVALID - /);
  const none = await finish(start(['topics', '--url', url, '--json']));
  const { error } = JSON.parse(none.err) as { error: { code: string; hint: string } };
  assert.equal(error.code, 'TANDEM_AUTH_REQUIRED');
  assert.equal((await tandem('tail', 'absent', '--from', 'AAAA', '--url', url)).code, EXIT.failed);
  assert.equal((await tandem('status', '--admin-url', 'http://127.0.0.1:1')).code, EXIT.unreachable);
  assert.equal((await tandem('publish')).code, EXIT.usage);
  assert.equal((await tandem('bench', '--seconds', '0')).code, EXIT.usage);
  const config = await tandem('up', '--workers', '0', '--listen', 'http://0.0.0.0:1', '--listen', 'nonsense');
  assert.equal(config.code, EXIT.usage);
  assert.match(config.err, /--workers: workers\.count is not valid: 0/);
  assert.match(config.err, /--listen: listen\[1\] is not a listener URL/);
});

test('a second node on the same data is refused, naming the first', async () => {
  const second = await tandem('up');
  assert.equal(second.code, EXIT.failed);
  assert.match(second.err, /TANDEM_DATA_LOCKED/);
  assert.match(second.err, new RegExp(`process ${node.pid}`));
});

test('--version and --help end with 0', async () => {
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '..', '..', 'package.json'), 'utf8')) as {
    version: string;
  };
  assert.deepEqual(await tandem('--version'), { code: 0, out: `${version}\n`, err: '' });
  const help = await tandem('publish', '--help');
  assert.equal(help.code, 0);
  assert.doesNotMatch(help.out, new RegExp(TOKEN));
});

test('SIGTERM drains and ends with 0', async () => {
  node.kill('SIGTERM');
  const [code] = (await once(node, 'close')) as [number];
  assert.equal(code, 0);
});

test('doctor finds a flipped bit, and says which records are lost', async () => {
  const data = join(folder, 'tandem-data');
  const segment = globSync('journal-*/*.seg', { cwd: data })
    .map((name) => join(data, name))
    .find((path) => readFileSync(path).indexOf('line 17') > 0);
  assert.ok(segment !== undefined);
  const bytes = readFileSync(segment);
  const at = bytes.indexOf('line 17');
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(segment, bytes);
  const doctor = await tandem('doctor');
  assert.equal(doctor.code, EXIT.failed, doctor.out);
  assert.match(doctor.out, /FAIL {2}records/);
  assert.match(doctor.out, /bytes \d+ to \d+ are damaged; lost: orders partition \d offsets \d+ to \d+/);
});
