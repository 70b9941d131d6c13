/**
 * The real HAProxy and NGINX, with the configuration that `tandem lb` prints, before three nodes: nothing acknowledged is lost or doubled when the
 * active node is killed, hangs, or hands over under load, and clients are served again through the same address.
 */
import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { until } from '../src/core/testing/until.ts';
import { BalancedCluster, type ClusterOptions } from './load-balancers/balanced-cluster.ts';
import { BalancedDrill, endDrill } from './load-balancers/balanced-drill.ts';
import { type BalancerKind, BalancerUnderTest, missing, printedConfig } from './load-balancers/balancer-under-test.ts';

const CLIENT = '127.0.0.77';
const FAULTS = ['kill', 'hang', 'switch'] as const;
/** As many times; more by hand, for figures. */
const ROUNDS = Number(process.env['TANDEM_BALANCER_ROUNDS'] ?? 1);

for (const kind of ['haproxy', 'nginx'] as const)
  test(`${kind}: nothing acknowledged is lost when the active node is killed, hangs, or hands over`, {
    skip: missing(kind),
    timeout: 120_000 * ROUNDS,
  }, async (t) => {
    const { drill, cluster } = await startDrill(t, kind, { count: 3, isProxied: false });
    const told = await cluster.told();
    const standby = '503 standby, up drain\n';
    assert.deepEqual(told.sort(), ['200 active, up ready 100%\n', standby, standby]);
    for (let round = 0; round < ROUNDS; round++)
      for (const fault of FAULTS) {
        const { pausesMs, ownPauseMs } = await drill.inflict(fault);
        const own = ownPauseMs === null ? '' : `, the nodes say ${ownPauseMs}`;
        t.diagnostic(`${kind} ${fault}: longest pauses in ms ${JSON.stringify(pausesMs)}${own}`);
      }
    const { acked, stored, breaches } = await drill.finish();
    t.diagnostic(`${kind}: acked ${acked}, stored ${stored}`);
    assert.deepEqual(breaches.slice(0, 10), [], `${breaches.length} breaches`);
    assert.ok(acked > 0, 'there was load');
  });

for (const kind of ['haproxy', 'nginx'] as const)
  test(`${kind} with the PROXY protocol: every client is served, and the node knows who they are`, {
    skip: missing(kind),
    timeout: 120_000,
  }, async (t) => {
    const { drill, cluster } = await startDrill(t, kind, { count: 1, isProxied: true });
    await drill.serve();
    const active = await cluster.settle();
    // Of 127.0.0.0/8 every address is this machine's.
    const client = connect({ port: cluster.front.lines, host: '127.0.0.1', localAddress: CLIENT });
    client.write('HELLO {"seq":0}\n');
    assert.match(String(await client.toArray()), /^ERR TANDEM_/);
    await until('the node logs it', () => active.output().includes(`"remote":"${CLIENT}"`));
    // Who does not come through the load balancer is refused.
    const direct = connect(active.ports.lines, '127.0.0.1');
    direct.write('hello\n');
    assert.match(String(await direct.toArray()), /^ERR TANDEM_PROXY_HEADER /);
    const { breaches, acked } = await drill.finish();
    assert.deepEqual(breaches.slice(0, 10), [], `${breaches.length} breaches`);
    assert.ok(acked > 0, 'there was load');
  });

async function startDrill(t: TestContext, kind: BalancerKind, options: ClusterOptions) {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-balancer-'));
  const cluster = await BalancedCluster.create(folder, options);
  let drill: BalancedDrill | undefined;
  t.after(() => endDrill(drill, cluster, folder));
  await cluster.settle();
  const { front } = cluster;
  const balancer = await BalancerUnderTest.start(kind, folder, await movedConfig(kind, cluster), front.lines);
  t.after(() => balancer.stop());
  const { http, lines } = front;
  drill = new BalancedDrill(cluster, kind === 'nginx' ? front : { http, lines });
  return { drill, cluster };
}

/** The printed configuration, with free ports for the load balancer itself. */
async function movedConfig(kind: BalancerKind, { nodes, configPaths, front }: BalancedCluster): Promise<string> {
  let config = await printedConfig(kind, ['--bind', '127.0.0.1', '--offset', '0', '--config', ...configPaths]);
  const own = nodes[0]?.ports ?? assert.fail('no nodes');
  for (const name of kind === 'nginx' ? (['http', 'lines', 'udp'] as const) : (['http', 'lines'] as const)) {
    const line = new RegExp(`((?:bind|listen) 127\\.0\\.0\\.1:)${own[name]}\\b`);
    assert.match(config, line);
    config = config.replace(line, `$1${front[name]}`);
  }
  return config;
}
