/** Nodes that are there and say nothing, and clients that have to end all the same. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { until } from '../../src/core/testing/until.ts';
import type { ClientState } from './api.ts';
import { connect } from './index.ts';
import { ScriptedNode } from './scripted-node.fixture.ts';

const TIMEOUT_MS = 300;

async function pair(t: TestContext) {
  const [first, second] = [await ScriptedNode.start(t, 1), await ScriptedNode.start(t, 1)];
  const states: ClientState[] = [];
  const addresses = [first.address, second.address];
  const client = connect({ addresses, timeoutMs: TIMEOUT_MS, onState: (state) => states.push(state) });
  t.after(() => client.close({ flush: false }));
  await until('it is connected', () => states.some(({ state }) => state === 'connected'));
  return { first, second, client, states };
}

test('a node that does not answer a publish is given up, and the record goes to the next', async (t) => {
  const { first, second, client } = await pair(t);
  for (const socket of first.sockets) socket.pause();
  await client.publish('t', 'a');
  assert.deepEqual([first.stored, second.stored], [[], ['a']]);
});

test('an idle connection is asked whether somebody is there; an answer keeps it, silence ends it', async (t) => {
  const { first, second, client, states } = await pair(t);
  await until('it was asked twice', () => first.asked('ping').length === 3);
  assert.equal(states.filter(({ state }) => state === 'connected').length, 1);
  for (const socket of first.sockets) socket.pause();
  await until('it has moved on', () => second.asked('ping').length > 0);
  assert.ok(states.some((state) => state.state === 'waiting' && state.error.code === 'TANDEM_CLIENT_TIMEOUT'));
  assert.equal(client.pending, 0);
});

test('a node that accepts and never greets holds up nobody', async (t) => {
  const mute = await ScriptedNode.start(t, 1);
  mute.script = () => true;
  const second = await ScriptedNode.start(t, 1);
  const client = connect({ addresses: [mute.address, second.address], timeoutMs: TIMEOUT_MS });
  t.after(() => client.close({ flush: false }));
  await client.publish('t', 'a');
  assert.deepEqual([mute.connections, second.stored], [1, ['a']]);
});

test('no node at all: it goes on trying, or gives up after unreachableMs', async (t) => {
  const dead = await ScriptedNode.start(t, 1);
  dead.stop();
  const patient = connect({ addresses: dead.address });
  t.after(() => patient.close({ flush: false }));
  const waiting = patient.publish('t', 'a');
  const hasty = connect({ addresses: dead.address, unreachableMs: 100 });
  const subscription = hasty.subscribe('t');
  await assert.rejects(hasty.publish('t', 'a'), { code: 'TANDEM_SERVER_UNREACHABLE' });
  await assert.rejects(subscription.closed, { code: 'TANDEM_SERVER_UNREACHABLE' });
  const node = await ScriptedNode.start(t, 1, Number(new URL(dead.address).port));
  await waiting;
  assert.deepEqual(node.stored, ['a']);
});

/** Runs in a process of its own: publishes, and ends when it is told to. */
const program = (address: string, ending: string): string => `
  import { connect } from ${JSON.stringify(new URL('index.ts', import.meta.url).href)};
  const client = connect({ addresses: '${address}' });
  client.subscribe('t');
  await client.publish('t', 'a');
  console.log('published');
  process.stdin.once('data', async () => { process.stdin.destroy(); ${ending} });
`;

test('a program whose client is closed ends by itself, even if the node hangs', async (t) => {
  for (const ending of [
    'await client.close();',
    "client.publish('t', 'b').catch(() => {}); await client.close({ timeoutMs: 50 });",
  ]) {
    const node = await ScriptedNode.start(t, 1);
    const child = spawn(process.execPath, ['--input-type=module', '-e', program(node.address, ending)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    t.after(() => child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    for (const socket of node.sockets) socket.pause();
    child.stdin.write('end\n');
    const [code] = (await once(child, 'exit', { signal: AbortSignal.timeout(15_000) })) as [number];
    assert.equal(code, 0);
  }
});
