/**
 * Records per second that a handler which does nothing takes from a backlog: the consumer is paused, the backlog is filled, it is resumed.
 * Each worker's time runs from its first to its last delivery, by the handler's own clock; the rates of the workers are added. Warm: a
 * first backlog is taken before the measured ones. The small backlog lasts some tens of milliseconds, so it is taken several times.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NodeUnderTest } from '../chaos/node-under-test.ts';
import { until } from '../src/core/testing/until.ts';
import { runLoadProcess } from './load/run-load.ts';
import { atLeast, atMost, type Bench, type Measure, median } from './measure.ts';
import { discard, startTandem } from './tandem-server.ts';

const RECORD_BYTES = 200;
const WARM_UP = 1_000_000;
const SMALL = 100_000;
const SMALL_ROUNDS = 7;
const LARGE = 10_000_000;
const CONSUME_TIMEOUT_MS = 60_000;
const CONFIG = `consumers:
  nothing:
    topic: data_queue
    to: ./handlers.mjs
`;
/** Each process counts the deliveries of the round that `round.txt` names and writes down what it has seen. */
const HANDLERS = `import { readFileSync, renameSync, writeFileSync } from 'node:fs';
const path = (name) => new URL(name, import.meta.url).pathname;
const file = path('./seen-' + process.pid + '.json');
let round = '', count = 0, first = 0, last = 0;
setInterval(() => {
  const now = readFileSync(path('./round.txt'), 'utf8');
  if (now !== round) {
    round = now;
    count = 0;
  }
  writeFileSync(file + '.new', JSON.stringify({ round, count, first, last }));
  renameSync(file + '.new', file);
}, 20).unref();
export function nothing() {
  last = performance.now();
  if (count++ === 0) first = last;
}
`;
const WORKERS = 2;

interface Window {
  readonly round: string;
  readonly count: number;
  readonly first: number;
  readonly last: number;
}

export const consumeBench: Bench = async (say) => {
  const node = await startTandem(WORKERS, CONFIG, { 'handlers.mjs': HANDLERS, 'round.txt': '' });
  say('warm up');
  await consume(node, WARM_UP);
  const smalls: number[] = [];
  for (let round = 1; round <= SMALL_ROUNDS; round++) {
    say(`a backlog of ${SMALL.toLocaleString('en')}, round ${round} of ${SMALL_ROUNDS}`);
    smalls.push(await consume(node, SMALL));
  }
  say(`a backlog of ${LARGE.toLocaleString('en')}`);
  const large = await consume(node, LARGE);
  await discard(node);
  const small = median(smalls);
  const spread = Math.abs(small / large - 1);
  const figure = (name: string, value: number): Measure => ({
    name,
    unit: 'records/s',
    value,
    bound: atLeast(value, 500_000, '/s'),
  });
  return [
    { ...figure('consume with a no-op handler, 100 k of backlog', small), rounds: smalls },
    figure('consume with a no-op handler, 10 M of backlog', large),
    { name: 'consume, 100 k against 10 M', unit: 'of difference', value: spread, bound: atMost(spread, 0.1, '') },
  ];
};

/** Records per second from the first to the last delivery of exactly `backlog` records (or a few more). */
async function consume(node: NodeUnderTest, backlog: number): Promise<number> {
  await post(node, 'pause');
  const before = await stored(node);
  const load = {
    protocol: 'lines',
    port: node.ports.lines,
    connections: 50,
    inFlight: 64,
    recordBytes: RECORD_BYTES,
    warmUpSeconds: 0,
  } as const;
  while ((await stored(node)) - before < backlog) {
    const missing = backlog - ((await stored(node)) - before);
    await runLoadProcess({ ...load, seconds: Math.min(2, Math.max(0.02, missing / 1_500_000)) });
  }
  const total = (await stored(node)) - before;
  const round = `${before}`;
  writeFileSync(join(node.folder, 'round.txt'), round);
  // The spare too: which processes have a slot is not asked here.
  const isNewRound = (): boolean =>
    readWindows(node).filter((window) => window.round === round).length === node.workerPids().length;
  await until('every process counts anew', isNewRound);
  await post(node, 'resume');
  let windows: Window[] = [];
  await until(
    () => `there are ${total} deliveries, now ${JSON.stringify(windows)}`,
    () => {
      windows = readWindows(node);
      return windows.reduce((sum, window) => sum + window.count, 0) >= total;
    },
    CONSUME_TIMEOUT_MS,
  );
  return windows.reduce((sum, { count, first, last }) => sum + (count > 1 ? (count / (last - first)) * 1000 : 0), 0);
}

function readWindows(node: NodeUnderTest): Window[] {
  return node.workerPids().flatMap((pid) => {
    try {
      const window = JSON.parse(readFileSync(join(node.folder, `seen-${pid}.json`), 'utf8')) as Window;
      return window.round === '' ? [] : [window];
    } catch {
      return [];
    }
  });
}

async function post(node: NodeUnderTest, action: 'pause' | 'resume'): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${node.ports.admin}/admin/v1/consumers/nothing/${action}`, {
    method: 'POST',
  });
  if (!response.ok) throw new RangeError(`${action}: HTTP ${response.status} ${await response.text()}`);
}

/** Records in the topic, over all partitions. */
async function stored(node: NodeUnderTest): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${node.ports.admin}/admin/v1/topics`);
  const topics = (await response.json()) as { name: string; partitions: { nextOffset: number }[] }[];
  return (topics.find((topic) => topic.name === 'data_queue')?.partitions ?? []).reduce(
    (sum, partition) => sum + partition.nextOffset,
    0,
  );
}
