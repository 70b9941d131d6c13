/** The benches' own parts with tiny input, so that they do not rot: loads, peers, the table. No figure is judged here. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runClient } from './client.bench.ts';
import { runFanout, SUBSCRIBE } from './fanout.bench.ts';
import { runLoadProcess } from './load/run-load.ts';
import { atLeast, atMost, median, percentile, tableOf } from './measure.ts';
import { RedisServer } from './peers/redis-server.ts';
import { startWsPeer } from './peers/ws-peer.ts';
import { measureTakeovers } from './takeover.bench.ts';
import { discard, startTandem } from './tandem-server.ts';

const LOAD = { connections: 3, inFlight: 4, recordBytes: 200, seconds: 0.2, warmUpSeconds: 0.05 };
const FANOUT = { clients: 20, payloadBytes: 200, inFlight: 2, seconds: 0.2, warmUpSeconds: 0.05 };

test('the ingest load counts only records that are stored', async (t) => {
  const node = await startTandem(1);
  t.after(() => discard(node));
  const { answered } = await runLoadProcess({ ...LOAD, protocol: 'lines', port: node.ports.lines });
  assert.ok(answered > 0);
  const [topic] = (await (await fetch(`http://127.0.0.1:${node.ports.admin}/admin/v1/topics`)).json()) as {
    partitions: { nextOffset: number }[];
  }[];
  const stored = topic?.partitions.reduce((sum, partition) => sum + partition.nextOffset, 0) ?? 0;
  assert.ok(stored >= answered, `${answered} answered, ${stored} stored`);
});

test('the same load drives Redis', async (t) => {
  const redis = await RedisServer.start();
  if (redis === undefined) {
    t.skip('there is no redis-server here');
    return;
  }
  t.after(() => redis.stop());
  assert.ok((await runLoadProcess({ ...LOAD, protocol: 'rpush', port: redis.port })).answered > 0);
});

test('the fan-out load hears Tandem and the ws peer', async (t) => {
  const node = await startTandem(1);
  t.after(() => discard(node));
  const target = { port: node.ports.http, path: '/ws', publishPort: node.ports.lines, greeting: SUBSCRIBE, answers: 1 };
  assert.ok((await runFanout({ ...FANOUT, ...target })).deliveriesPerSecond > 0);
  const peer = await startWsPeer();
  t.after(() => peer.stop());
  const wsTarget = { port: peer.port, path: '/', publishPort: peer.control, answers: 0 };
  assert.ok((await runFanout({ ...FANOUT, ...wsTarget })).deliveriesPerSecond > 0);
});

test('the load of the client library', async (t) => {
  const node = await startTandem(1);
  t.after(() => discard(node));
  assert.ok((await runClient({ httpPort: node.ports.http, inFlight: 4, seconds: 1, warmUpSeconds: 0.5 })) > 0);
});

test('a cluster under load: a kill, a hang and a switchover are measured', async () => {
  const measures = await measureTakeovers(() => {}, { kills: 1, hangs: 1, switchovers: 1 });
  for (const { name, value } of measures) assert.ok(value > 0, name);
});

test('figures: medians, percentiles, bounds and the table', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.equal(percentile([1, 2, 3, 4], 0.99), 4);
  assert.equal(atLeast(1, 2, 'x').isMet, false);
  assert.equal(atMost(1, 2, 'x').isMet, true);
  const table = tableOf([
    {
      name: 'rate',
      unit: '/s',
      value: 1234567,
      peer: { name: 'redis', value: 12.34 },
      ratio: 2,
      bound: atLeast(1, 2, '/s'),
    },
  ]);
  assert.match(table, /rate {5}1,234,567 \/s {2}redis 12\.3 {2}2\.00x {2}MISSED >= 2 \/s/);
});
