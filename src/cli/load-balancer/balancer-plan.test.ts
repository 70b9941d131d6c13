import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from '../../config/load.ts';
import type { ConfigInput } from '../../config/schema.ts';
import type { TandemConfig } from '../../config/tandem-config.ts';
import { type BalancerOptions, planBalancer } from './balancer-plan.ts';
import { haproxyConfig } from './haproxy.ts';
import { nginxConfig } from './nginx.ts';

const LISTEN = ['http://127.0.0.1:9500', 'tcp://127.0.0.1:9501?topic=t', 'udp://127.0.0.1:9502?topic=t&ack=offset'];
const configOf = (input: ConfigInput): TandemConfig => loadConfig({ environment: {}, folder: '/nowhere', input });
const ONE = configOf({ listen: LISTEN, admin: { url: 'http://127.0.0.1:9510', agentCheck: '127.0.0.1:9511' } });

const planOf = (configs: readonly TandemConfig[], options: Partial<BalancerOptions> = {}) =>
  planBalancer(configs, { nodes: [], bindHost: '*', portOffset: undefined, ...options });

const refuses = (configs: readonly TandemConfig[], options: Partial<BalancerOptions>, problem: RegExp): void =>
  assert.throws(() => planOf(configs, options), { code: 'TANDEM_CONFIG_INVALID', message: problem });

test('several machines, one config: each node serves at its own address, its agent-check beside its admin', () => {
  const listen = LISTEN.map((url) => ({ url: url.replace('127.0.0.1', '0.0.0.0'), insecure: true }));
  const config = configOf({
    listen,
    admin: { url: 'http://0.0.0.0:9510', agentCheck: '0.0.0.0:9511', insecure: true },
  });
  const plan = planOf([config], {
    nodes: ['a=http://10.0.0.1:9510', 'http://10.0.0.2:9510', 'https://[fd00::3]:9520'],
  });
  assert.deepEqual(
    plan.nodes.map(({ name, admin, agent }) => [name, admin.host, admin.port, admin.isTls, agent?.port]),
    [
      ['a', '10.0.0.1', 9510, false, 9511],
      ['node-2', '10.0.0.2', 9510, false, 9511],
      ['node-3', 'fd00::3', 9520, true, 9521],
    ],
  );
  assert.deepEqual(
    plan.listeners.map(({ name, port, targets }) => [name, port, targets.map(({ host }) => host)]),
    [
      ['http_9500', 9500, ['10.0.0.1', '10.0.0.2', 'fd00::3']],
      ['tcp_9501', 9501, ['10.0.0.1', '10.0.0.2', 'fd00::3']],
      ['udp_9502', 9502, ['10.0.0.1', '10.0.0.2', 'fd00::3']],
    ],
  );
});

test('one machine, one config: the nodes share their data ports, and the load balancer has others', () => {
  const plan = planOf([ONE], { nodes: ['a=http://127.0.0.1:9510', 'b=http://127.0.0.1:9520'] });
  const [http] = plan.listeners;
  assert.deepEqual(
    [http?.port, http?.targets],
    [
      19500,
      [
        { host: '127.0.0.1', port: 9500 },
        { host: '127.0.0.1', port: 9500 },
      ],
    ],
  );
  // HAProxy asks each node; for NGINX there is one address.
  assert.match(haproxyConfig(plan), /server a 127\.0\.0\.1:9500 check addr 127\.0\.0\.1 port 9510 .*agent-port 9511/);
  assert.match(haproxyConfig(plan), /server b 127\.0\.0\.1:9500 check addr 127\.0\.0\.1 port 9520 .*agent-port 9521/);
  assert.equal(nginxConfig(plan).match(/server 127\.0\.0\.1:9500 max_fails=0;/g)?.length, 1);
});

test('a config of its own for each node, and one for a node alone', () => {
  const nodeOf = (name: string, base: number): TandemConfig =>
    configOf({
      name,
      listen: [`http://127.0.0.1:${base}`, `tcp://127.0.0.1:${base + 1}`],
      admin: { url: `http://127.0.0.1:${base + 2}`, ...(name === 'b' ? {} : { agentCheck: `127.0.0.1:${base + 3}` }) },
    });
  const plan = planOf([nodeOf('a', 7000), nodeOf('b', 8000)], { portOffset: 100 });
  assert.deepEqual(
    plan.listeners.map(({ port, targets }) => [port, targets.map((target) => target.port)]),
    [
      [7100, [7000, 8000]],
      [7101, [7001, 8001]],
    ],
  );
  assert.deepEqual(
    plan.nodes.map(({ name, agent }) => [name, agent?.port ?? null]),
    [
      ['a', 7003],
      ['b', null],
    ],
  );
  assert.equal(planOf([ONE]).nodes.length, 1);
});

test('what cannot be balanced is refused', () => {
  const other = configOf({ name: 'other', listen: ['tcp://127.0.0.1:1'], admin: 'http://127.0.0.1:2' });
  refuses([ONE, other], {}, /other has other listeners than/);
  refuses([ONE, ONE], {}, /two nodes have the name/);
  refuses([ONE, other], { nodes: ['http://10.0.0.1:1'] }, /one --config/);
  refuses([ONE], { nodes: ['10.0.0.1:9510'] }, /is not \[NAME=\]http/);
  refuses([ONE], { nodes: ['a=http://10.0.0.1:1', 'a=http://10.0.0.2:1'] }, /two nodes have the name a/);
  refuses([ONE], { nodes: ['http://10.0.0.1:65535'] }, /agent-check on port 65536/);
  refuses([ONE], { portOffset: 60_000 }, /makes port 69500/);
  refuses([configOf({ listen: ['tcp://127.0.0.1:0'] })], {}, /port 0/);
});

test('proxy=on and TLS decide how the bytes go through', () => {
  const listen = ['http://127.0.0.1:1?proxy=on', 'tcp://127.0.0.1:2?proxy=on', 'udp://127.0.0.1:3?proxy=on&ack=offset'];
  const plan = planOf([configOf({ listen, admin: 'http://127.0.0.1:4' })], { portOffset: 50 });
  const haproxy = haproxyConfig(plan);
  assert.equal(haproxy.match(/ send-proxy-v2$/gm)?.length, 2);
  assert.match(haproxy, /mode http\n(?:.*\n)*? +http-reuse never/);
  assert.doesNotMatch(haproxy, /agent-check/);
  const nginx = nginxConfig(plan);
  // NGINX writes PROXY headers on streams only.
  assert.doesNotMatch(nginx, /^http \{/m);
  assert.equal(nginx.match(/proxy_protocol on;/g)?.length, 3);
  assert.equal(nginx.match(/proxy_requests 1;/g)?.length, 1);
});
