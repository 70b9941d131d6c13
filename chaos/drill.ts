/**
 * One drill: a node under load from producers over every listener, subscribers and a handler; faults by a seed; then the verdict.
 * What a seed fixes: the kinds of faults, their order and the pauses between them (not the machine's own timing).
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Random, seededRandom } from '../src/core/ports/random.ts';
import { until } from '../src/core/testing/until.ts';
import { check } from './checker.ts';
import { NodeUnderTest } from './node-under-test.ts';
import { HttpProducer } from './producers/http-producer.ts';
import { identityOf, type Producer, pause } from './producers/producer.ts';
import { TcpProducer } from './producers/tcp-producer.ts';
import { UdpProducer } from './producers/udp-producer.ts';
import { WebSocketProducer } from './producers/websocket-producer.ts';
import { SseSubscriber } from './readers/sse-subscriber.ts';
import { WebSocketSubscriber } from './readers/websocket-subscriber.ts';

/** After the last fault everything must be through within this. */
const SETTLE_MS = 45_000;

const CONSUMERS = `consumers:
  save:
    topic: data_queue
    to: ./handlers.mjs
`;
const HANDLERS = `import { appendFileSync } from 'node:fs';
const file = new URL('./handled.txt', import.meta.url);
export function save(record) {
  appendFileSync(file, record.partition + ' ' + record.offset + ' ' + record.data.toString().split('|', 1)[0] + '\\n');
}
`;

export interface DrillResult {
  readonly seed: number;
  readonly faults: readonly string[];
  readonly acked: number;
  readonly stored: number;
  readonly handled: number;
  readonly breaches: readonly string[];
}

export interface DrillOptions {
  readonly seed: number;
  readonly workers: number;
  readonly faults: number;
}

type Fault = 'worker' | 'keeper' | 'all' | 'hang' | 'restart';
const FAULTS: readonly Fault[] = ['worker', 'worker', 'keeper', 'all', 'all', 'hang', 'restart'];

export async function runDrill(options: DrillOptions): Promise<DrillResult> {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-drill-'));
  writeFileSync(join(folder, 'handlers.mjs'), HANDLERS);
  writeFileSync(join(folder, 'handled.txt'), '');
  const node = await NodeUnderTest.create(folder, options.workers, `${CONSUMERS}`);
  try {
    await node.start();
    const result = await drillOn(node, options);
    if (result.breaches.length === 0) rmSync(folder, { recursive: true, force: true });
    return result;
  } finally {
    await node.killAll();
  }
}

async function drillOn(node: NodeUnderTest, { seed, faults }: DrillOptions): Promise<DrillResult> {
  const random = seededRandom(seed);
  const producers = startProducers(node, seed);
  const subscribers = [
    { name: 'websocket subscriber', client: new WebSocketSubscriber('websocket subscriber', node.ports.http) },
    { name: 'sse subscriber', client: new SseSubscriber('sse subscriber', node.ports.http) },
  ];
  const done: string[] = [];
  for (let i = 0; i < faults; i++) {
    await pause(50 + random.fraction() * 400);
    done.push(await injectFault(node, random));
  }
  await pause(50 + random.fraction() * 200);
  await within(
    Promise.all(producers.map((producer) => producer.stop())),
    () => `the producers are answered:\n${node.output().slice(-4000)}`,
  );
  const log = await readBack(node);
  const stored = [...log.values()].reduce((sum, values) => sum + values.length, 0);
  await waitForReaders(node, subscribers, stored);
  await Promise.all(subscribers.map(({ client }) => client.stop()));
  const evidence = {
    sources: producers.map((producer) => producer.history),
    log,
    subscribers: subscribers.map(({ name, client }) => ({ name, watch: client.watch })),
    handled: readHandled(node),
  };
  const breaches = [...producers.flatMap((producer) => producer.complaints), ...check(evidence)];
  const acked = producers.reduce((sum, producer) => sum + producer.history.acked.size, 0);
  return { seed, faults: done, acked, stored, handled: evidence.handled.length, breaches };
}

function startProducers(node: NodeUnderTest, seed: number): Producer[] {
  const { lines, frames, udp, http } = node.ports;
  const name = (kind: string): string => `${kind}-${seed}`;
  return [
    new TcpProducer({ name: name('lines'), port: lines, framing: 'line', hasSequence: true, inFlight: 32 }),
    new TcpProducer({ name: name('lines-b'), port: lines, framing: 'line', hasSequence: true, inFlight: 8 }),
    new TcpProducer({ name: name('plain'), port: lines, framing: 'line', hasSequence: false, inFlight: 32 }),
    new TcpProducer({ name: name('frames'), port: frames, framing: 'length', hasSequence: true, inFlight: 16 }),
    new UdpProducer(name('udp'), udp),
    new HttpProducer(name('http'), http, 1),
    new HttpProducer(name('ndjson'), http, 10),
    new WebSocketProducer(name('websocket'), http),
  ];
}

async function injectFault(node: NodeUnderTest, random: Random): Promise<string> {
  const fault = FAULTS[Math.floor(random.fraction() * FAULTS.length)] as Fault;
  const fraction = random.fraction();
  switch (fault) {
    case 'worker':
      node.killWorker(fraction);
      return fault;
    case 'hang':
      node.hangWorker(fraction);
      return fault;
    case 'keeper':
      await node.killKeeper();
      break;
    case 'all':
      await node.killAll();
      break;
    case 'restart':
      await node.stop();
      break;
  }
  await node.start();
  return fault;
}

async function waitForReaders(
  node: NodeUnderTest,
  subscribers: readonly { readonly name: string; readonly client: WebSocketSubscriber | SseSubscriber }[],
  stored: number,
): Promise<void> {
  const seen = (): number[] => subscribers.map(({ client }) => client.watch.count());
  const handled = (): number =>
    new Set(readHandled(node).map(({ partition, offset }) => `${partition}:${offset}`)).size;
  const isThrough = (): boolean => seen().every((count) => count >= stored) && handled() >= stored;
  // Not through in time is no error here: the checker says who missed what.
  await until('readers are through', isThrough, SETTLE_MS).catch(() => {});
}

function readHandled(node: NodeUnderTest): { partition: number; offset: number; value: string }[] {
  const lines = readFileSync(join(node.folder, 'handled.txt'), 'utf8').split('\n').filter(Boolean);
  return lines.map((line) => {
    const [partition, offset, value] = line.split(' ') as [string, string, string];
    return { partition: Number(partition), offset: Number(offset), value };
  });
}

interface ReadBackRecord {
  readonly offset: number;
  readonly data: string;
}

async function readBack(node: NodeUnderTest): Promise<Map<number, string[]>> {
  const base = `http://127.0.0.1:${node.ports.http}/topics`;
  const { topics } = (await (await fetch(base)).json()) as { topics: readonly { name: string; partitions: number }[] };
  const partitions = topics.find((topic) => topic.name === 'data_queue')?.partitions ?? 0;
  const log = new Map<number, string[]>();
  for (let partition = 0; partition < partitions; partition++) {
    const response = await fetchWhenServed(`${base}/data_queue/records?partition=${partition}&from=0&limit=10000000`);
    const records = (await response.text())
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as ReadBackRecord);
    records.forEach((record, index) => {
      if (record.offset !== index)
        throw new RangeError(`reading back: offset ${record.offset} where ${index} was due in partition ${partition}`);
    });
    log.set(
      partition,
      records.map((record) => identityOf(record.data)),
    );
  }
  return log;
}

/** A worker that was hung or killed last may not be replaced yet: 503 is asked again. */
function fetchWhenServed(url: string): Promise<Response> {
  return until(
    () => `${url} is answered`,
    async () => {
      const response = await fetch(url);
      if (response.status === 200) return response;
      if (response.status !== 503) throw new RangeError(`HTTP ${response.status} ${await response.text()}`);
      return undefined;
    },
    SETTLE_MS,
  ) as Promise<Response>;
}

async function within<T>(work: Promise<T>, what: () => string): Promise<T> {
  let isDone = false;
  const done = work.finally(() => {
    isDone = true;
  });
  await until(what, () => isDone, SETTLE_MS);
  return done;
}
