import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { freePort, LineClient, makeFolder, TestNode, until } from './testing/test-node.ts';

const LINES = 'tcp://127.0.0.1:0?topic=data_queue';

async function adminOf(
  extra: object = {},
): Promise<{ config: object; get: (path: string) => Promise<unknown>; port: number }> {
  const port = await freePort();
  const config = { name: 'n', workers: 2, listen: [LINES], admin: `http://127.0.0.1:${port}`, ...extra };
  const get = async (path: string): Promise<unknown> => (await fetch(`http://127.0.0.1:${port}${path}`)).json();
  return { config, get, port };
}

interface Status {
  readonly keeperPid: number;
  readonly isReady: boolean;
  readonly sparePids: readonly number[];
  readonly slots: readonly { readonly pid: number; readonly term: number; readonly state: string }[];
}
interface Topic {
  readonly name: string;
  readonly partitions: readonly { readonly nextOffset: number }[];
}

const storedIn = (topics: unknown, name = 'data_queue'): number =>
  (topics as Topic[]).find((topic) => topic.name === name)?.partitions.reduce((sum, p) => sum + p.nextOffset, 0) ?? 0;

const isAlive = (pid: number): boolean => {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

async function start(t: TestContext, extra: object = {}) {
  const folder = makeFolder(t);
  const admin = await adminOf(extra);
  const node = new TestNode(t, folder, admin.config);
  const ports = await node.ready();
  return { folder, node, ...admin, ports, lines: ports[0] as number };
}

test('a worker killed with -9: the next connection is acked, nothing that was acked is lost', async (t) => {
  const { lines, get } = await start(t);
  let acked = 0;
  for (let round = 0; round < 3; round++) {
    const { slots } = (await get('/admin/v1/status')) as Status;
    const before = new LineClient(t, lines);
    for (let i = 0; i < 20; i++) if ((await before.send(`record ${i}`))?.startsWith('OK ')) acked++;
    for (const { pid } of slots) process.kill(pid, 'SIGKILL');
    const answer = await until('a new connection is acked', async () => {
      const text = await new LineClient(t, lines).send('after');
      return text?.startsWith('OK ') === true ? text : undefined;
    });
    assert.match(answer, /^OK \d+:\d+$/);
    acked++;
    await until('both slots serve under new terms', async () => {
      const now = ((await get('/admin/v1/status')) as Status).slots;
      return now.every(({ state, term }, i) => state === 'serving' && term > (slots[i]?.term ?? 0));
    });
  }
  assert.ok(storedIn(await get('/admin/v1/topics')) >= acked);
});

test('kill -9 of the keeper: its workers go, the node starts again in the folder with what was acked', async (t) => {
  const { folder, node, config, lines, get } = await start(t);
  const client = new LineClient(t, lines);
  for (let i = 0; i < 10; i++) assert.match((await client.send(`record ${i}`)) ?? '', /^OK /);
  const { slots, sparePids } = (await get('/admin/v1/status')) as Status;
  node.child.kill('SIGKILL');
  const next = new TestNode(t, folder, config);
  await next.ready();
  for (const pid of [...slots.map((slot) => slot.pid), ...sparePids]) assert.ok(!isAlive(pid));
  assert.equal(storedIn(await get('/admin/v1/topics')), 10);
  const status = (await get('/admin/v1/status')) as Status;
  for (const [i, { term }] of status.slots.entries()) assert.ok(term > (slots[i]?.term ?? 0));
});

test('a second node in the folder is refused and told who holds it', async (t) => {
  const { folder, node, config } = await start(t);
  const second = new TestNode(t, folder, config);
  const { code, problem } = await second.event('start_failed');
  assert.equal(code, 'TANDEM_DATA_LOCKED');
  assert.match(String(problem), new RegExp(`node "n" runs already on .* \\(process ${node.child.pid}\\)$`));
  assert.equal(await second.exitCode(), 1);
});

test('addresses of listen and admin that are in use are named together', async (t) => {
  const taken = [createServer().listen(0, '127.0.0.1'), createServer().listen(0, '127.0.0.1')];
  await Promise.all(taken.map((server) => once(server, 'listening')));
  t.after(() => taken.forEach((server) => void server.close()));
  const [a, b] = taken.map((server) => (server.address() as { port: number }).port);
  const config = { workers: 1, listen: [`tcp://127.0.0.1:${a}?topic=t`], admin: `http://127.0.0.1:${b}` };
  const node = new TestNode(t, makeFolder(t), config);
  const { code, problem } = await node.event('start_failed');
  assert.equal(code, 'TANDEM_LISTEN_FAILED');
  assert.match(String(problem), new RegExp(`:${a}[^;]*: the port is in use.*:${b}[^;]*: the port is in use`));
});

test('a broken handler module ends the start with its name', async (t) => {
  const folder = makeFolder(t);
  writeFileSync(join(folder, 'handlers.ts'), 'export const save = 5;\n');
  const { config } = await adminOf({ consumers: { save: { topic: 'data_queue', to: './handlers.ts' } } });
  const node = new TestNode(t, folder, config);
  const { code, problem } = await node.event('start_failed');
  assert.equal(code, 'TANDEM_HANDLER_INVALID');
  assert.match(String(problem), /save/);
});

test('SIGHUP: a bad config is refused with every problem, a good one rolls out, and lines are acked all the while', async (t) => {
  const { node, config, lines, get } = await start(t);
  const before = (await get('/admin/v1/status')) as Status;
  node.configure({ ...config, workers: -1, unknown: true });
  node.child.kill('SIGHUP');
  const refused = await node.event('reload_refused');
  assert.equal(refused['code'], 'TANDEM_CONFIG_INVALID');
  assert.ok((refused['problems'] as unknown[]).length >= 2);
  assert.deepEqual(
    ((await get('/admin/v1/status')) as Status).slots.map(({ pid }) => pid),
    before.slots.map(({ pid }) => pid),
  );

  let isDone = false;
  const answers: (string | undefined)[] = [];
  const load = (async () => {
    while (!isDone) {
      const client = new LineClient(t, lines);
      answers.push(await client.send('a line'));
      client.socket.destroy();
    }
  })();
  node.configure({ ...config, topics: { data_queue: null, added: { partitions: 3 } } });
  node.child.kill('SIGHUP');
  await node.event('reloaded');
  isDone = true;
  await load;
  const unanswered = answers.filter((answer) => answer?.startsWith('OK ') !== true);
  assert.deepEqual(unanswered, [], `of ${answers.length}`);
  assert.ok(((await get('/admin/v1/topics')) as Topic[]).some(({ name }) => name === 'added'));
  assert.equal(storedIn(await get('/admin/v1/topics')), answers.length);
});

test('SIGTERM under load: exit code 0, what was acked is stored', async (t) => {
  const { folder, node, config, lines, get } = await start(t);
  const clients = Array.from({ length: 4 }, () => new LineClient(t, lines));
  for (const client of clients) client.socket.write('x\n'.repeat(5000));
  await until('some are acked', () => clients.every(({ answers }) => answers.length > 0));
  node.child.kill('SIGTERM');
  assert.equal(await node.exitCode(), 0);
  await until('the answers are read', () => clients.every(({ socket }) => socket.destroyed));
  const acked = clients.flatMap(({ answers }) => answers).filter((answer) => answer.startsWith('OK ')).length;
  const next = new TestNode(t, folder, config);
  await next.ready();
  assert.ok(storedIn(await get('/admin/v1/topics')) >= acked);
});

test('the admin API: metrics of every worker, a consumer paused and resumed', async (t) => {
  const folder = makeFolder(t);
  writeFileSync(join(folder, 'handlers.ts'), 'export function save() {}\n');
  const admin = await adminOf({ consumers: { save: { topic: 'data_queue', to: './handlers.ts' } } });
  const node = new TestNode(t, folder, admin.config);
  const [lines] = await node.ready();
  assert.match((await new LineClient(t, lines as number).send('hello')) ?? '', /^OK /);
  const state = async () =>
    ((await admin.get('/admin/v1/consumers')) as { state: string; totals: { handled: number } }[])[0];
  await until('it is handled', async () => (await state())?.totals.handled === 1);
  const post = (path: string) => fetch(`http://127.0.0.1:${admin.port}/admin/v1/consumers/${path}`, { method: 'POST' });
  assert.equal((await post('save/pause')).status, 200);
  assert.equal((await state())?.state, 'paused');
  assert.equal((await post('save/resume')).status, 200);
  await until('it runs', async () => (await state())?.state === 'running');
  assert.equal((await post('nobody/pause')).status, 404);
  const metrics = await (await fetch(`http://127.0.0.1:${admin.port}/metrics`)).text();
  for (const slot of ['keeper', '0', '1'])
    assert.match(metrics, new RegExp(`tandem_process_resident_bytes\\{slot="${slot}"\\} \\d+`));
  assert.equal(metrics.match(/^# TYPE tandem_ingest_records_total counter$/gm)?.length, 1);
});

test('a node of another name is refused too, unless both are of a cluster', async (t) => {
  const { folder, config } = await start(t);
  const second = new TestNode(t, folder, { ...config, name: 'other', listen: [LINES] });
  const { code, problem } = await second.event('start_failed');
  assert.equal(code, 'TANDEM_DATA_LOCKED');
  assert.match(String(problem), /node "n" \(process \d+\) has .*; several nodes share/);
});
