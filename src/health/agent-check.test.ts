import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { test } from 'node:test';
import type { Health } from '../core/contracts/health.ts';
import { type AgentFacts, agentLine, createAgentServer } from './agent-check.ts';

const ACTIVE: Health = { isReady: true, role: 'active', term: 3, reason: 'ok' };
const lineOf = (changes: Partial<Health>, facts: Partial<AgentFacts> = {}): string =>
  agentLine({ health: { ...ACTIVE, ...changes }, isLeaving: false, pressures: [0, 0], ...facts });

test('active, standby, stopping and unhealthy, in the words of HAProxy', () => {
  assert.equal(lineOf({}), 'up ready 100%');
  assert.equal(lineOf({ isReady: false, role: 'standby', reason: 'a is active' }), 'up drain');
  assert.equal(lineOf({ isReady: false, reason: 'the node is stopping' }, { isLeaving: true }), 'up drain');
  assert.equal(lineOf({}, { isLeaving: true }), 'up drain');
  assert.equal(lineOf({ isReady: false, reason: 'no worker serves' }), 'down #no worker serves');
  const dirty = lineOf({ isReady: false, reason: `full\r\nup ready 100%\0 ü${'x'.repeat(200)}` });
  assert.match(dirty, /^down #full up ready 100% +x+$/);
  assert.ok(dirty.length < 130);
});

test('the weight falls with the pressure, in steps, and never to nothing', () => {
  const weightOf = (...pressures: (number | null)[]): string => lineOf({}, { pressures });
  const cases: readonly (readonly [number, string])[] = [
    [0, '100%'],
    [0.5, '100%'],
    [0.55, '90%'],
    [0.75, '60%'],
    [0.9, '30%'],
    [1, '10%'],
    [7, '10%'],
  ];
  for (const [pressure, weight] of cases) assert.equal(weightOf(pressure), `up ready ${weight}`, String(pressure));
  assert.equal(weightOf(0, null), 'up ready 50%');
  assert.equal(weightOf(1, null, null, null), 'up ready 10%');
  assert.equal(weightOf(0, 1), 'up ready 60%');
});

test('each connection gets the line of the moment, whatever it says or does not say', async (t) => {
  let line = 'up drain';
  const server = createAgentServer(() => line);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const ask = async (sent: string): Promise<string> => {
    const socket = connect(port, '127.0.0.1');
    if (sent !== '') socket.write(sent);
    const chunks = await socket.toArray();
    return Buffer.concat(chunks as Buffer[]).toString();
  };
  assert.equal(await ask(''), 'up drain\n');
  line = 'up ready 100%';
  assert.equal(await ask('backend/a\n'), 'up ready 100%\n');
  const reset = connect(port, '127.0.0.1');
  await once(reset, 'connect');
  reset.resetAndDestroy();
  assert.equal(await ask(''), 'up ready 100%\n');
});
