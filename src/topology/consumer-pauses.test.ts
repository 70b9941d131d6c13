import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { freePort, LineClient, makeFolder, TestNode, until } from './testing/test-node.ts';

interface Slot {
  readonly pid: number;
  readonly term: number;
  readonly state: string;
}

/** Each delivery is a line of `<consumer>.log` in the node's folder, whichever process it happened in. */
const HANDLERS = `
import { appendFileSync } from 'node:fs';
const note = (name) => (record) => appendFileSync(new URL(name + '.log', import.meta.url), record.text + '\\n');
export const save = note('save');
export const witness = note('witness');
`;

async function startNode(t: TestContext) {
  const folder = makeFolder(t);
  writeFileSync(join(folder, 'handlers.ts'), HANDLERS);
  for (const name of ['save', 'witness']) writeFileSync(join(folder, `${name}.log`), '');
  const consumer = { topic: 'data_queue', to: './handlers.ts' };
  const port = await freePort();
  const admin = `http://127.0.0.1:${port}`;
  const listen = ['tcp://127.0.0.1:0?topic=data_queue'];
  const config = { name: 'n', workers: 2, listen, admin, consumers: { save: consumer, witness: consumer } };
  const start = async () => {
    const node = new TestNode(t, folder, config);
    const [lines] = await node.ready();
    return { node, lines: lines as number };
  };
  const get = async (path: string): Promise<unknown> => (await fetch(`${admin}/admin/v1/${path}`)).json();
  const post = async (path: string) => (await fetch(`${admin}/admin/v1/consumers/${path}`, { method: 'POST' })).status;
  const slots = async () => ((await get('status')) as { slots: Slot[] }).slots;
  const delivered = (name: string): string[] =>
    readFileSync(join(folder, `${name}.log`), 'utf8')
      .split('\n')
      .slice(0, -1);
  return {
    start,
    get,
    post,
    slots,
    delivered,
    /** Sent one by one over two connections, so that both workers and partitions get some. */
    async publish(lines: number, texts: readonly string[]): Promise<void> {
      const clients = [new LineClient(t, lines), new LineClient(t, lines)];
      for (const [i, text] of texts.entries()) assert.match((await clients[i % 2]?.send(text)) ?? '', /^OK /);
      for (const { socket } of clients) socket.destroy();
      await until('the other consumer has them', () => texts.every((text) => delivered('witness').includes(text)));
    },
    serving: (before: readonly Slot[]) =>
      until('both slots serve under new terms', async () =>
        (await slots()).every(({ state, term }, i) => state === 'serving' && term > (before[i]?.term ?? 0)),
      ),
    async saveStatus() {
      const all = (await get('consumers')) as { name: string; state: string; lagRecords: number }[];
      return all.find(({ name }) => name === 'save');
    },
  };
}

const named = (name: string, count = 6): string[] => Array.from({ length: count }, (_, i) => `${name} ${i}`);

test('a pause holds over kill -9 of workers, SIGHUP and kill -9 of the node, until resume', async (t) => {
  const { start, get, post, slots, delivered, publish, serving, saveStatus } = await startNode(t);
  const first = await start();
  await publish(first.lines, named('before'));
  await until('all before are delivered', () => delivered('save').length === 6);
  assert.equal(await post('nobody/pause'), 404);
  assert.equal(await post('save/pause'), 200);
  const published: string[] = [];
  const stillNothing = async (lines: number, name: string) => {
    await publish(lines, named(name));
    published.push(...named(name));
    const status = await saveStatus();
    assert.deepEqual([status?.state, status?.lagRecords], ['paused', published.length], name);
    assert.deepEqual(delivered('save').sort(), named('before'), name);
  };

  const killed = await slots();
  for (const { pid } of killed) process.kill(pid, 'SIGKILL');
  await serving(killed);
  await stillNothing(first.lines, 'after the workers');

  const rolled = await slots();
  first.node.child.kill('SIGHUP');
  await first.node.event('reloaded');
  await serving(rolled);
  await stillNothing(first.lines, 'after the reload');

  first.node.child.kill('SIGKILL');
  const second = await start();
  await stillNothing(second.lines, 'after the node');
  assert.deepEqual(((await get('status')) as { pausedConsumers: unknown }).pausedConsumers, ['save']);

  assert.equal(await post('save/resume'), 200);
  await until('all are delivered', () => published.every((text) => delivered('save').includes(text)));
  second.node.child.kill('SIGKILL');
  const third = await start();
  await publish(third.lines, named('resumed'));
  await until('it runs', () => named('resumed').every((text) => delivered('save').includes(text)));
});

/** One of these is seen, however fast the phases pass. */
const PHASES_PAUSED_AT = [
  ['serving', 'vacant', 'loaded', 'opening', 'recovered'],
  ['opening', 'recovered', 'serving'],
  ['recovered', 'serving'],
];

test('a pause while workers are being replaced: nothing that is published after its answer is delivered', async (t) => {
  const { start, post, slots, delivered, publish, serving } = await startNode(t);
  const { lines } = await start();
  for (let round = 0; round < PHASES_PAUSED_AT.length; round++) {
    const before = await slots();
    for (const { pid } of before) process.kill(pid, 'SIGKILL');
    const phases = PHASES_PAUSED_AT[round] as readonly string[];
    await until('the replacement has come so far', async () => phases.includes((await slots())[1]?.state ?? ''));
    assert.equal(await post('save/pause'), 200);
    await publish(lines, named(`round ${round}`));
    await serving(before);
    await publish(lines, [`later ${round}`]);
    assert.ok(!delivered('save').some((text) => text.startsWith(`round ${round}`)));
    assert.equal(await post('save/resume'), 200);
    await until('all are delivered', () => named(`round ${round}`).every((text) => delivered('save').includes(text)));
  }
});
