import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TandemError } from '../core/errors.ts';
import { loadConfig } from './load.ts';
import type { ConfigProblem } from './problems.ts';
import type { ConfigInput } from './schema.ts';

const load = (input: ConfigInput) => loadConfig({ environment: {}, folder: '/nowhere', input });

function problemOf(input: ConfigInput): ConfigProblem {
  try {
    load(input);
  } catch (error) {
    const problems = (error as TandemError).data?.['problems'] as ConfigProblem[];
    assert.equal(problems.length, 1, JSON.stringify(problems));
    return problems[0] as ConfigProblem;
  }
  return assert.fail(`accepted: ${JSON.stringify(input)}`);
}

test('proxy=on: trusted are the loopback addresses, or those that are named; without it nobody', () => {
  const { listen } = load({
    listen: [
      'tcp://127.0.0.1:1?proxy=on',
      { url: 'http://127.0.0.1:2?proxy=on', trustedProxies: ['10.0.0.0/8', '192.0.2.7', 'fd00::/8'] },
      'udp://127.0.0.1:3?proxy=on&ack=offset',
      'http://127.0.0.1:4?proxy=off',
    ],
  });
  assert.deepEqual(
    listen.map(({ trustedProxies }) => trustedProxies),
    [['127.0.0.0/8', '::1'], ['10.0.0.0/8', '192.0.2.7', 'fd00::/8'], ['127.0.0.0/8', '::1'], null],
  );
});

test('trustedProxies that are no ranges, are none, or are for nothing', () => {
  const trusting = (...trustedProxies: string[]) =>
    problemOf({ listen: [{ url: 'tcp://127.0.0.1:1?proxy=on', trustedProxies }] });
  for (const wrong of ['balancer', '10.0.0.0/33', '10.0.0/8', 'fd00::/129', '10.0.0.0/', '::1/x', '1.2.3.4/8/8'])
    assert.match(trusting('::1', wrong).problem, /trustedProxies with/, wrong);
  assert.match(trusting().problem, /nobody could connect/);
  const unused = problemOf({ listen: [{ url: 'tcp://127.0.0.1:1', trustedProxies: ['::1'] }] });
  assert.match(unused.problem, /without proxy=on/);
  assert.match(problemOf({ listen: ['tcp://127.0.0.1:1?proxy=yes'] }).accepted ?? '', /proxy=off or proxy=on/);
});

test('admin: agentCheck has an address of its own, and proxy=on is for listeners', () => {
  const agentOf = (agentCheck: string) => load({ admin: { url: 'http://127.0.0.1:1', agentCheck } }).admin.agentCheck;
  assert.deepEqual(agentOf('127.0.0.1:2'), { host: '127.0.0.1', port: 2 });
  assert.deepEqual(agentOf('[::1]:2'), { host: '::1', port: 2 });
  // It says no more than /readyz, which needs no token either.
  assert.deepEqual(agentOf('0.0.0.0:2'), { host: '0.0.0.0', port: 2 });
  assert.equal(load({ admin: 'http://127.0.0.1:1' }).admin.agentCheck, null);
  const problemWith = (agentCheck: string) =>
    problemOf({ listen: ['tcp://127.0.0.1:9'], admin: { url: 'http://127.0.0.1:1', agentCheck } }).problem;
  for (const wrong of ['9511', 'tcp://127.0.0.1:2', '127.0.0.1', '127.0.0.1:70000', ':2'])
    assert.match(problemWith(wrong), /no address/, wrong);
  assert.match(problemWith('127.0.0.1:1'), /own address/);
  assert.match(problemWith('localhost:9'), /an agentCheck at the address of listen\[0\]/);
  assert.match(problemOf({ admin: 'http://127.0.0.1:1?proxy=on' }).problem, /only listeners/);
  load({ listen: ['tcp://127.0.0.1:0'], admin: { url: 'http://127.0.0.1:0', agentCheck: '127.0.0.1:0' } });
});
