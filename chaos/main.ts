/**
 * `npm run chaos -- --seed N --minutes M [--nodes 3] [--workers W]`: a cluster under load and random faults for M minutes; ends with 1 at the
 * first breach, and leaves the drill's folder then.
 *
 * `--rounds R --faults F` instead of `--minutes`: R drills of one episode each with F faults, seeds N, N + 1, ...
 * `--engine redis|sentinel|cluster [--mode active-active|active-standby]`: over Redis servers, see redis/redis-drill.ts;
 * `--outage-minutes N` instead of episodes: so long without them; `--spool-mib`: what the spools of a node may hold.
 * `--only name,name` only these faults; `--rate` records per second; `--limit` the heartbeat limit of nodes in ms; `--json`.
 */
import { parseArgs } from 'node:util';
import { type Drill, impossibleFaults, runDrill } from './drill.ts';
import type { EpisodeReport } from './episode.ts';
import { FAULT_NAMES, type FaultName } from './faults/fault.ts';
import { runRedisCommand } from './redis/redis-command.ts';
import { episodeLine, progressLine, summaryText } from './summary.ts';
import type { DrillResult } from './verdict.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    minutes: { type: 'string' },
    rounds: { type: 'string', default: '1' },
    faults: { type: 'string', default: '3' },
    nodes: { type: 'string', default: '3' },
    workers: { type: 'string', default: '2' },
    rate: { type: 'string' },
    limit: { type: 'string', default: '1000' },
    only: { type: 'string' },
    engine: { type: 'string' },
    'outage-minutes': { type: 'string', default: '0' },
    'spool-mib': { type: 'string' },
    mode: { type: 'string', default: 'active-active' },
    json: { type: 'boolean', default: false },
  },
});

// A signal ends this process at once; what the drill has started ends with it.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130));
if (values.engine !== undefined) {
  const isGood = await runRedisCommand({
    engine: values.engine,
    mode: values.mode,
    seed: Number(values.seed),
    minutes: Number(values.minutes ?? 0),
    rounds: Number(values.rounds),
    outageMinutes: Number(values['outage-minutes']),
    spoolMib: values['spool-mib'] === undefined ? undefined : Number(values['spool-mib']),
    faults: Number(values.faults),
    nodes: Number(values.nodes),
    workers: Number(values.workers),
    recordsPerSecond: Number(values.rate ?? 800),
    only: values.only?.split(','),
    isJson: values.json,
  });
  process.exit(isGood ? 0 : 1);
}

const isTerminal = process.stderr.isTTY && !values.json;
const minutes = Number(values.minutes ?? 0);
const nodes = Number(values.nodes);
const names = (values.only?.split(',') ?? FAULT_NAMES) as readonly FaultName[];
const unknown = names.filter((name) => !FAULT_NAMES.includes(name));
if (unknown.length > 0) {
  process.stderr.write(`unknown faults: ${unknown.join(', ')}; there are ${FAULT_NAMES.join(', ')}\n`);
  process.exit(2);
}
for (const [name, why] of Object.entries(impossibleFaults({ nodes, hasProxies: true })))
  if (why !== undefined) process.stderr.write(`LEFT OUT: faults that need ${name}: ${why}\n`);

const first = Number(values.seed);
const rounds = values.minutes === undefined ? Number(values.rounds) : 1;
for (let seed = first; seed < first + rounds; seed++) {
  const result = await runSeed(seed);
  if (result.breaches.length > 0) process.exit(1);
}
process.exit(0);

async function runSeed(seed: number): Promise<DrillResult> {
  let folder = '';
  let stopShowing = (): void => {};
  const result = await runDrill({
    seed,
    nodes,
    workers: Number(values.workers),
    episodes: values.minutes === undefined ? 1 : 0,
    minutes,
    names,
    ...(values.minutes === undefined ? { faultsPerEpisode: Number(values.faults) } : {}),
    recordsPerSecond: Number(values.rate ?? 2000),
    quietMsMax: 2000,
    pauseMsMax: 1500,
    nodeHeartbeatTimeoutMs: Number(values.limit),
    workerHeartbeatTimeoutMs: 1000,
    hasProxies: true,
    onStart: (drill) => {
      folder = drill.folder;
      if (isTerminal) stopShowing = showProgress(drill);
    },
    onEpisode: showEpisode,
  });
  stopShowing();
  if (values.json) console.log(JSON.stringify(result));
  else process.stdout.write(summaryText(result, folder));
  return result;
}

function showEpisode(episode: EpisodeReport, { startedMs }: Drill): void {
  if (isTerminal) process.stderr.write('\r\x1b[K');
  if (!values.json) process.stdout.write(`${episodeLine(episode, startedMs)}\n`);
}

function showProgress(drill: Drill): () => void {
  let before = 0;
  const timer = setInterval(() => {
    const { acked } = drill.clients;
    process.stderr.write(`\r\x1b[K${progressLine(drill, acked - before)}`);
    before = acked;
  }, 1000);
  return () => {
    clearInterval(timer);
    process.stderr.write('\r\x1b[K');
  };
}
