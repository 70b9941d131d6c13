/**
 * `npm run bench [-- name ...]`: runs the benches (all by default), prints a table and writes bench/results/latest.json.
 * `--rounds 200/100`: of `redis-failover`, so many failovers of Sentinel and of Cluster; `--ack stored`: its node without a spool.
 * Nodes are those of the published package, which is built first. Nothing is judged by wall-clock in the tests; here bounds are only reported, and
 * `--strict` makes a missed one an error.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { clientBench } from './client.bench.ts';
import { consumeBench } from './consume.bench.ts';
import { failoverBench } from './failover.bench.ts';
import { fanoutBench } from './fanout.bench.ts';
import { idleBench } from './idle.bench.ts';
import { ingestBench } from './ingest.bench.ts';
import { publishedLauncher } from './load/published.ts';
import { type Bench, type Measure, tableOf } from './measure.ts';
import { redisBench } from './redis.bench.ts';
import { redisFailoverBench } from './redis-failover.bench.ts';
import { redisTakeoverBench } from './redis-takeover.bench.ts';
import { rolesBench } from './roles.bench.ts';
import { startBench } from './start.bench.ts';
import { takeoverBench } from './takeover.bench.ts';
import { topicsBench } from './topics.bench.ts';

const BENCHES: Readonly<Record<string, Bench>> = {
  ingest: ingestBench,
  redis: redisBench,
  topics: topicsBench,
  consume: consumeBench,
  fanout: fanoutBench,
  client: clientBench,
  idle: idleBench,
  failover: failoverBench,
  'redis-failover': redisFailoverBench,
  takeover: takeoverBench,
  'redis-takeover': redisTakeoverBench,
  roles: rolesBench,
  start: startBench,
};
const RESULTS = new URL('./results/', import.meta.url);

const { values: options, positionals: names } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    strict: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    ack: { type: 'string' },
  },
});
const unknown = names.filter((name) => BENCHES[name] === undefined);
if (unknown.length > 0) {
  console.error(`no such bench: ${unknown.join(', ')}; there are ${Object.keys(BENCHES).join(', ')}`);
  process.exit(2);
}

const loadBefore = loadavg();
process.env['TANDEM_LAUNCHER'] ??= publishedLauncher();
const measures: Measure[] = [];
for (const name of names.length > 0 ? names : Object.keys(BENCHES)) {
  measures.push(...(await (BENCHES[name] as Bench)((text) => console.error(`[${name}] ${text}`), options)));
}
const machine = {
  cpu: cpus()[0]?.model,
  cores: availableParallelism(),
  memoryBytes: totalmem(),
  node: process.version,
  /** Over 1, 5 and 15 minutes: what others were doing before this began. */
  loadBefore,
};
const result = { at: new Date().toISOString(), machine, measures };
mkdirSync(RESULTS, { recursive: true });
writeFileSync(new URL('latest.json', RESULTS), `${JSON.stringify(result, undefined, 2)}\n`);
console.log(options.json ? JSON.stringify(result) : tableOf(measures));
if (options.strict && measures.some((measure) => measure.bound?.isMet === false)) process.exit(1);
