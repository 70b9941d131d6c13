/** What the tests of consumers share: a memory engine, a real ingest, a clock that the test drives, and consumers over them. */
import type { TestContext } from 'node:test';
import type { GroupStore, RecordStore } from '../core/contracts/engine.ts';
import type { Ingest } from '../core/contracts/ingest.ts';
import { type LogFields, silentLogger } from '../core/contracts/telemetry.ts';
import { DEFAULT_LIMITS, type Limits } from '../core/limits.ts';
import type { HttpClient } from '../core/ports/http-client.ts';
import { ManualClock } from '../core/ports/manual-clock.ts';
import { type Random, seededRandom } from '../core/ports/random.ts';
import { connectRedis } from '../core/ports/redis-connection.ts';
import type { RecordInput, TandemRecord } from '../core/record.ts';
import { recordsOf } from '../core/record-set.ts';
import { type MemoryEngine, MemoryStore, openMemoryEngine } from '../engines/memory/memory-engine.ts';
import { createIngest } from '../ingest/ingest.ts';
import { CONSUMER_DEFAULTS, type ConsumerConfig, type Consumers, createConsumers } from './consumers.ts';

export const TOPIC = 'orders';

export interface Worker {
  readonly engine: MemoryEngine;
  readonly ingest: Ingest;
  readonly consumers: Consumers;
}

export interface WorkerOptions {
  readonly consumers?: readonly Partial<ConsumerConfig>[];
  readonly paused?: readonly string[];
  /** The exports of the handler module. */
  readonly module?: unknown;
  readonly http?: HttpClient;
  readonly wrapStore?: (store: RecordStore) => RecordStore;
  readonly wrapGroups?: (groups: GroupStore) => GroupStore;
  readonly wrapIngest?: (ingest: Ingest) => Ingest;
  readonly loadModule?: (path: string) => Promise<unknown>;
}

export interface Bench {
  readonly clock: ManualClock;
  readonly shared: MemoryStore;
  /** Events that were logged, with their fields. */
  readonly logged: { readonly event: string; readonly fields: LogFields }[];
  /** A worker process: engine, ingest and consumers of its own on the shared store. Drained when the test ends. */
  openWorker(options: WorkerOptions): Worker;
  append(...records: readonly (string | RecordInput)[]): Promise<void>;
  read(topic: string, partition?: number): Promise<TandemRecord[]>;
  committed(group: string, topic?: string, partition?: number): Promise<number | undefined>;
}

export interface BenchOptions {
  readonly partitions?: number;
  readonly limits?: Partial<Limits>;
  readonly random?: Random;
}

export async function openBench(t: TestContext, options: BenchOptions = {}): Promise<Bench> {
  const clock = new ManualClock();
  const random = options.random ?? seededRandom(1);
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const shared = new MemoryStore({ clock, random, limits });
  const logged: Bench['logged'] = [];
  const note = (event: string, fields: LogFields = {}): void => void logged.push({ event, fields });
  const logger = { ...silentLogger, info: note, warn: note, error: note };
  const newTopic = (name: string) => ({ name, partitions: 1, retentionMs: null, retentionBytes: null });
  const workers: Worker[] = [];

  const openWorker = (worker: WorkerOptions): Worker => {
    const engine = openMemoryEngine({ clock, random, limits, store: shared });
    const { topics, groups } = engine;
    const ingest = createIngest({ topics, store: engine.store, clock, limits, newTopic });
    const consumers = createConsumers({
      consumers: (worker.consumers ?? [{}]).map(configOf),
      paused: worker.paused ?? [],
      topics,
      groups: worker.wrapGroups?.(groups) ?? groups,
      store: worker.wrapStore?.(engine.store) ?? engine.store,
      ingest: worker.wrapIngest?.(ingest) ?? ingest,
      clock,
      random,
      logger,
      http: worker.http ?? NO_HTTP,
      connectRedis,
      loadModule: worker.loadModule ?? (async () => worker.module),
    });
    const opened = { engine, ingest, consumers };
    workers.push(opened);
    return opened;
  };
  t.after(async () => {
    const drained = Promise.all(workers.map(({ consumers }) => consumers.drain(0)));
    await withTime(clock, drained);
  });

  const main = openMemoryEngine({ clock, random, limits, store: shared });
  const ingest = createIngest({ topics: main.topics, store: main.store, clock, limits, newTopic });
  await main.topics.ensure({ ...newTopic(TOPIC), partitions: options.partitions ?? 1 });
  return {
    clock,
    shared,
    logged,
    openWorker,
    async append(...records) {
      await ingest.append({ topic: TOPIC, records: records.map(inputOf), affinity: 0 });
    },
    async read(topic, partition = 0) {
      const { firstOffset, epoch } = await main.store.state({ topic, partition });
      const { batches } = await main.store.read({ topic, partition }, { epoch, offset: firstOffset }, 1e9);
      return batches.flatMap((batch) => recordsOf(batch));
    },
    async committed(group, topic = TOPIC, partition = 0) {
      return (await main.groups.committed(group, topic)).find((row) => row.partition === partition)?.offset;
    },
  };
}

const NO_HTTP: HttpClient = {
  post: () => Promise.reject(new Error('no network in this test')),
  close() {},
};

const configOf = (config: Partial<ConsumerConfig>): ConsumerConfig => ({
  ...CONSUMER_DEFAULTS,
  name: 'save',
  topic: TOPIC,
  to: '/handlers.ts',
  ...config,
});

const inputOf = (record: string | RecordInput): RecordInput =>
  typeof record === 'string' ? { data: Buffer.from(record) } : record;

export const keyed = (key: string, text: string): RecordInput => ({ key, data: Buffer.from(text) });

const REAL_WAIT_MS = 10_000;
const TURNS_MAX = 20_000;

/** The same object with some of its methods replaced. */
export function withMethods<T extends object>(original: T, replaced: Partial<T>): T {
  return new Proxy(original, {
    get(target, name) {
      const member = replaced[name as keyof T] ?? target[name as keyof T];
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
}

/** Waits, without time passing, for a condition; fails with `what` if it does not come true. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const endMs = performance.now() + REAL_WAIT_MS;
  while (performance.now() < endMs) {
    if (await condition()) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  throw new Error(`did not come true: ${what}`);
}

/** As `until`, with time passing as far as timers need it. */
export async function untilWithTime(
  clock: ManualClock,
  condition: () => boolean | Promise<boolean>,
  what: string,
): Promise<void> {
  for (let turn = 0; turn < TURNS_MAX; turn++) {
    if (await condition()) return;
    await clock.advance(clock.nextTimerMs ?? 1);
  }
  throw new Error(`did not come true: ${what}`);
}

/** Lets time pass until the promise settles. */
export async function withTime<T>(clock: ManualClock, promise: Promise<T>): Promise<T> {
  let isSettled = false;
  const settled = promise.finally(() => {
    isSettled = true;
  });
  settled.catch(() => {});
  await untilWithTime(clock, () => isSettled, 'the promise settles');
  return settled;
}
