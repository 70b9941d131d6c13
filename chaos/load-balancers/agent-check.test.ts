/** The agent-check as the real HAProxy understands it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, connect, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../../src/core/testing/until.ts';
import { type AgentFacts, agentLine, createAgentServer } from '../../src/health/agent-check.ts';
import { freePorts } from '../node-under-test.ts';
import { BalancerUnderTest, missing } from './balancer-under-test.ts';

const WELL: AgentFacts = {
  health: { isReady: true, role: 'active', term: 1, reason: 'ok' },
  isLeaving: false,
  pressures: [0, 0],
};
const STANDBY: AgentFacts = {
  ...WELL,
  health: { ...WELL.health, isReady: false, role: 'standby', reason: 'a is active' },
};
const UNHEALTHY: AgentFacts = { ...WELL, health: { ...WELL.health, isReady: false, reason: 'no worker serves' } };

/** What is said, then how HAProxy sees the server: state and weight. In an order in which each can be mistaken for the one before. */
const CASES: readonly (readonly [AgentFacts, RegExp])[] = [
  [WELL, /^UP 100$/],
  [STANDBY, /^DRAIN/],
  [WELL, /^UP 100$/],
  [{ ...WELL, pressures: [0.9, 0.75] }, /^UP 40$/],
  [UNHEALTHY, /^DOWN \(agent\)/],
  [STANDBY, /^DRAIN/],
  [{ ...WELL, pressures: [null, 0] }, /^UP 50$/],
  [{ ...WELL, isLeaving: true }, /^DRAIN/],
  [WELL, /^UP 100$/],
];

test('HAProxy drains, weighs, takes out and takes back as the agent-check says', {
  skip: missing('haproxy'),
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-agent-'));
  t.after(() => rmSync(folder, { recursive: true }));
  let facts = WELL;
  const listen = async (server: Server | HttpServer): Promise<number> => {
    await once(server.listen(0, '127.0.0.1'), 'listening');
    t.after(() => server.close());
    return (server.address() as AddressInfo).port;
  };
  const agent = await listen(createAgentServer(() => agentLine(facts)));
  const health = await listen(createHttpServer((_, response) => response.end()));
  const [port = 0] = await freePorts(1);
  const control = join(folder, 'control');
  const config = `global
    stats socket ${control}
defaults
    timeout connect 1s
    timeout client 1s
    timeout server 1s
listen t
    bind 127.0.0.1:${port}
    option httpchk GET /readyz
    server a 127.0.0.1:${health} weight 100 check inter 50ms agent-check agent-port ${agent} agent-inter 50ms
`;
  const balancer = await BalancerUnderTest.start('haproxy', folder, config, port);
  t.after(() => balancer.stop());
  for (const [next, seen] of CASES) {
    facts = next;
    let state = '';
    await until(
      () => `"${agentLine(next)}" is seen as ${seen}, not ${state}`,
      async () => {
        state = await stateOf(control);
        return seen.test(state);
      },
    );
  }
  assert.doesNotMatch(balancer.said, /agent (reports|warns)/);
});

/** Of the only server, as `show stat` has it. */
async function stateOf(control: string): Promise<string> {
  const socket = connect(control);
  socket.end('show stat\n');
  const text = Buffer.concat((await socket.toArray()) as Buffer[]).toString();
  const [head = '', ...rows] = text
    .replace(/^# /, '')
    .split('\n')
    .map((line) => line.split(','));
  const row = rows.find((cells) => cells[1] === 'a') ?? [];
  const cell = (name: string): string => row[head.indexOf(name)] ?? '';
  return `${cell('status')} ${cell('weight')}`;
}
