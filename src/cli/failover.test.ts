/** `publish` and `tail` go on over the death of the node: nothing is lost, nothing comes twice. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { freePorts, NodeUnderTest } from '../../chaos/node-under-test.ts';
import { until } from '../core/testing/until.ts';
import { EXIT } from './exit-codes.ts';

const MAIN = join(import.meta.dirname, 'main.ts');
const WITHIN_MS = 30_000;

interface Command {
  readonly child: ChildProcess;
  readonly out: () => string;
  readonly err: () => string;
  readonly ended: Promise<number | null>;
}

function run(t: TestContext, ...args: readonly string[]): Command {
  const env = { ...process.env, NO_COLOR: '1', TANDEM_TOKEN: '', TANDEM_URL: '' };
  const child = spawn(process.execPath, [MAIN, ...args], { env, stdio: ['pipe', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (err += chunk));
  return { child, out: () => out, err: () => err, ended: once(child, 'close').then(([code]) => code as number | null) };
}

const linesOf = (text: string): string[] => text.split('\n').slice(0, -1);

test('lines from standard input and a tail, while the node is killed and started again', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-cli-'));
  const node = await NodeUnderTest.create(folder, 1);
  t.after(async () => {
    await node.killAll();
    rmSync(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 20 });
  });
  await node.start();
  const [dead] = (await freePorts(1)) as [number];
  const urls = ['--url', `http://127.0.0.1:${dead}`, '--url', `http://127.0.0.1:${node.ports.http}`];
  const count = 9000;
  const lines = Array.from({ length: count }, (_, i) => `line ${i}`);
  const send = (from: number, to: number): void =>
    void publish.child.stdin?.write(
      lines
        .slice(from, to)
        .map((line) => `${line}\n`)
        .join(''),
    );

  const publish = run(t, 'publish', 'data_queue', '--json', ...urls);
  send(0, 3000);
  const tail = run(t, 'tail', 'data_queue', '--from', 'start', '--count', `${count}`, ...urls);
  await until(
    () => `the first are there; ${tail.err()}`,
    () => linesOf(tail.out()).length >= 1000,
    WITHIN_MS,
  );
  send(3000, 6000);
  await node.killAll();
  send(6000, 7000);
  await node.start();
  send(7000, count);
  publish.child.stdin?.end();
  assert.equal(await publish.ended, EXIT.ok, publish.err());
  assert.equal(await tail.ended, EXIT.ok, tail.err());
  assert.deepEqual(linesOf(tail.out()), lines);
  let next = 0;
  const terms = new Set<number>();
  for (const line of linesOf(publish.out())) {
    const { term, offset, count: records } = JSON.parse(line) as { term: number; offset: number; count: number };
    assert.equal(offset, next);
    next += records;
    terms.add(term);
  }
  assert.equal(next, count);
  assert.equal(terms.size, 2, 'both lives of the node have acknowledged some');
  const { state } = (await (await fetch(`http://127.0.0.1:${node.ports.http}/topics/data_queue`)).json()) as {
    state: { nextOffset: number }[];
  };
  assert.deepEqual(
    state.map(({ nextOffset }) => nextOffset),
    [count],
  );
});

test('a refused line ends the command before anything behind it is stored; no server at all ends it at once', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-cli-'));
  const node = await NodeUnderTest.create(folder, 1, 'limits: { recordBytesMax: 1000 }\n');
  t.after(async () => {
    await node.killAll();
    rmSync(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 20 });
  });
  await node.start();
  const url = `http://127.0.0.1:${node.ports.http}`;
  const publish = run(t, 'publish', 'data_queue', '--url', url);
  // Standard input stays open: the command does not wait for its end.
  publish.child.stdin?.write(`a\nb\n${'x'.repeat(2000)}\nc\n`);
  publish.child.stdin?.on('error', () => {});
  assert.equal(await publish.ended, EXIT.failed);
  assert.match(publish.err(), /^2 records were stored before this:\n.*\nTANDEM_RECORD_TOO_LARGE/);
  const records = await (await fetch(`${url}/topics/data_queue/records`)).text();
  assert.deepEqual(
    linesOf(records).map((line) => (JSON.parse(line) as { data: string }).data),
    ['a', 'b'],
  );

  const [dead] = (await freePorts(1)) as [number];
  for (const command of ['publish', 'tail']) {
    const nobody = run(
      t,
      command,
      'data_queue',
      ...(command === 'publish' ? ['x'] : []),
      '--url',
      `http://127.0.0.1:${dead}`,
    );
    assert.equal(await nobody.ended, EXIT.unreachable);
    assert.match(
      nobody.err(),
      /no server answers at this address: ws:\/\/127\.0\.0\.1:\d+\/ws not reachable\nTANDEM_SERVER_UNREACHABLE/,
    );
  }
});
