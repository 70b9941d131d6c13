/**
 * Records per second that a handler which does nothing takes from a backlog: the consumer is paused, the backlog is filled, it is resumed.
 * The time runs from the first to the last delivery, by the handler's own clock. Warm: a first backlog is taken before the measured ones.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NodeUnderTest } from '../chaos/node-under-test.ts';
import { until } from '../src/core/testing/until.ts';
import { runLoadProcess } from './load/run-load.ts';
import { atLeast, atMost, type Bench, type Measure } from './measure.ts';
import { discard, startTandem } from './tandem-server.ts';

const RECORD_BYTES = 200;
const BACKLOGS = [1_000_000, 100_000, 10_000_000];
const CONSUME_TIMEOUT_MS = 300_000;
const CONFIG = `consumers:
  nothing:
    topic: data_queue
    to: ./handlers.mjs
`;
/** A window is a stretch of deliveries without a pause; each process writes its last one. */
const HANDLERS = `import { renameSync, writeFileSync } from 'node:fs';
const file = new URL('./seen-' + process.pid + '.json', import.meta.url).pathname;
let count = 0, first = 0, last = 0, isDirty = false;
setInterval(() => {
  if (!isDirty) return;
  isDirty = false;
  writeFileSync(file + '.new', JSON.stringify({ count, first, last }));
  renameSync(file + '.new', file);
}, 20).unref();
export function nothing() {
  const now = Date.now();
  if (now - last > 500) {
    first = now;
    count = 0;
  }
  last = now;
  count++;
  isDirty = true;
}
`;

interface Window {
  readonly count: number;
  readonly first: number;
  readonly last: number;
}

export const consumeBench: Bench = async (say) => {
  const node = await startTandem(2, CONFIG, { 'handlers.mjs': HANDLERS });
  const rates: number[] = [];
  for (const backlog of BACKLOGS) {
    say(`consume a backlog of ${backlog.toLocaleString('en')}`);
    rates.push(await consume(node, backlog));
  }
  await discard(node);
  const [, small, large] = rates as [number, number, number];
  const spread = Math.abs(small / large - 1);
  const figure = (name: string, value: number): Measure => ({
    name,
    unit: 'records/s',
    value,
    bound: atLeast(value, 500_000, '/s'),
  });
  return [
    figure('consume with a no-op handler, 100 k of backlog', small),
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
  const elapsedMs =
    Math.max(...windows.map((window) => window.last)) - Math.min(...windows.map((window) => window.first));
  return (total / elapsedMs) * 1000;
}

/** Windows of this backlog: older ones end before the newest begins. */
function readWindows(node: NodeUnderTest): Window[] {
  const windows = node.workerPids().flatMap((pid) => {
    try {
      return [JSON.parse(readFileSync(join(node.folder, `seen-${pid}.json`), 'utf8')) as Window];
    } catch {
      return [];
    }
  });
  const newest = Math.max(...windows.map((window) => window.first));
  return windows.filter((window) => window.last >= newest - 500);
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
