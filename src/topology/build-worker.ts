/**
 * One worker's stages, put together in the order in which a record passes them:
 *
 *   engine -> guard -> ingest -> push -> consumers -> listeners
 *
 * and taken apart the other way round, so that everything in hand still finds the stage behind it.
 */
import type { Socket as DatagramSocket } from 'node:dgram';
import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import { pathToFileURL } from 'node:url';
import type { ConsumerReport, TopicReport } from '../admin/reports.ts';
import type { TandemConfig } from '../config/tandem-config.ts';
import { type Consumers, createConsumers } from '../consumers/consumers.ts';
import type { Engine, TopicCatalog, TopicInfo } from '../core/contracts/engine.ts';
import type { Health } from '../core/contracts/health.ts';
import type { SourceListener } from '../core/contracts/listener.ts';
import type { Logger, MetricSample, MetricSource } from '../core/contracts/telemetry.ts';
import type { AdminRequest, DrainedLoad, WorkerRuntime, WorkerSlot } from '../core/contracts/worker.ts';
import { systemClock as clock } from '../core/ports/clock.ts';
import { createHttpClient } from '../core/ports/http-client.ts';
import { systemRandom as random } from '../core/ports/random.ts';
import { connectRedis } from '../core/ports/redis-connection.ts';
import { guardEngine } from '../engines/guarded-engine.ts';
import type { SpooledEngine } from '../engines/spooled/spooled-engine.ts';
import { type AppendWatch, watchAppends } from '../health/store-problems.ts';
import { createIngest, type IngestStage } from '../ingest/ingest.ts';
import { createPush, type PushHub } from '../push/push-hub.ts';
import { createAuthenticator } from '../sessions/permissions.ts';
import { createSessionQueues } from '../sessions/session-queue.ts';
import { createProcessMetrics } from '../telemetry/process-metrics.ts';
import { labelled } from '../telemetry/prometheus.ts';
import { consumerConfigs } from './consumer-configs.ts';
import { createListener, createSources, type Listener } from './listener-table.ts';
import type { OpenedEngine } from './prepared-engine.ts';

export interface WorkerParts {
  readonly config: TandemConfig;
  readonly slot: WorkerSlot;
  /** The node's own term: its right to be active; 0 for a front. */
  readonly nodeTerm: number;
  /** Open and recovered, as those of all slots are. */
  readonly engine: OpenedEngine & SpoolSigns;
  readonly secureContexts: readonly (SecureContext | undefined)[];
  /** Consumers that begin paused. */
  readonly pausedConsumers: readonly string[];
  readonly health: () => Health;
  readonly logger: Logger;
}

/** What a spool tells and is told besides. */
type SpoolSigns = Partial<Pick<SpooledEngine, 'problem' | 'stopWaiting'>>;

/** Resolves when the worker can take connections. */
export async function buildWorker(parts: WorkerParts): Promise<WorkerRuntime> {
  const { config, slot, nodeTerm, health, logger, secureContexts } = parts;
  const { limits } = config;
  const engine = guardEngine(parts.engine);
  const { topics, groups } = engine;
  const appends = watchAppends(engine.store, clock);
  const { store } = appends;

  const ingest = createIngest({ topics, store, clock, limits, newTopic: newTopics(config) });
  const queues = createSessionQueues(limits);
  const policyFor = (channel: string) => config.push.channels[channel] ?? config.push;
  const push = createPush({ topics, store, limits, policyFor, queues, clock, logger });
  const http = createHttpClient();
  const loadModule = (path: string): Promise<unknown> => import(pathToFileURL(path).href);
  const consumers = createConsumers({
    consumers: consumerConfigs(config),
    paused: parts.pausedConsumers,
    ...{ topics, store, groups, ingest, clock, random, logger, http, connectRedis, loadModule },
  });
  const authenticator = createAuthenticator(config.auth);
  const { ack: ackLevel } = engine.capabilities;
  const said = { health, nodeTerm, ackLevel };
  const outer = { config, ingest, push, topics, store, authenticator, ...said, logger, secureContexts };
  const listeners = config.listen.map((listen, index) => createListener(listen, index, outer));

  // Each slot, so that none has to wait for another; it costs nothing where they exist.
  for (const topic of config.topics) await ensureTopic(topics, topic, config.fixedTopics.includes(topic.name));
  await consumers.start();
  const lists = createSources({ ...outer, slot, provesDeath: engine.capabilities.provesDeath });
  for (const list of lists) list.start();
  const { engine: counted } = parts;
  const engineMetrics: MetricSource = { metrics: () => counted.metrics?.() ?? [] };
  const sources = [createProcessMetrics(), engineMetrics, ingest, queues, push, consumers];
  return new NodeWorker({
    config,
    engine,
    spool: parts.engine,
    appends,
    ingest,
    push,
    consumers,
    listeners,
    lists,
    sources,
  });
}

/**
 * The default number of partitions counts at creation only: more cores, and so more workers, at a later start must not move keys and
 * producers to other partitions.
 */
async function ensureTopic(topics: TopicCatalog, topic: TopicInfo, isFixed: boolean): Promise<void> {
  const found = isFixed ? undefined : await topics.find(topic.name);
  await topics.ensure(found === undefined ? topic : { ...topic, partitions: found.partitions });
}

/** What a topic gets that its first record creates. */
function newTopics({ topics, topicDefaults }: TandemConfig): (name: string) => TopicInfo {
  const declared = new Map(topics.map((topic) => [topic.name, topic]));
  return (name) => declared.get(name) ?? { name, ...topicDefaults };
}

interface Stages {
  readonly config: TandemConfig;
  readonly engine: Engine;
  readonly spool: SpoolSigns;
  readonly appends: AppendWatch;
  readonly ingest: IngestStage;
  readonly push: PushHub;
  readonly consumers: Consumers;
  readonly listeners: readonly Listener[];
  /** What it takes from. */
  readonly lists: readonly SourceListener[];
  readonly sources: readonly MetricSource[];
}

class NodeWorker implements WorkerRuntime {
  readonly #stages: Stages;

  constructor(stages: Stages) {
    this.#stages = stages;
  }

  get connections(): number {
    let connections = 0;
    for (const each of this.#stages.listeners) if (each.kind === 'stream') connections += each.listener.connections;
    return connections;
  }

  get load(): DrainedLoad {
    return { records: this.#stages.ingest.unfinishedRecords, clients: this.connections };
  }

  get storeProblem(): string | undefined {
    return this.#stages.spool.problem ?? this.#stages.appends.problem;
  }

  /** The nearest of its limits counts: one that is reached is enough to turn work away. */
  get pressure(): number {
    const { ingest, config } = this.#stages;
    const { ingestBytesMax, connectionsMax } = config.limits;
    return Math.min(Math.max(ingest.unfinishedBytes / ingestBytesMax, this.connections / connectionsMax), 1);
  }

  accept(index: number, socket: Socket): void {
    const each = this.#stages.listeners[index];
    if (each?.kind === 'stream') each.listener.accept(socket);
    else socket.destroy();
  }

  attach(index: number, socket: DatagramSocket): void {
    const each = this.#stages.listeners[index];
    if (each?.kind === 'datagram') each.listener.attach(socket);
    else socket.close();
  }

  metrics(): MetricSample[] {
    const { sources, listeners, lists, config } = this.#stages;
    const ofListeners = listeners.flatMap(({ listener }, i) =>
      labelled(listener.metrics(), 'address', config.listen[i]?.url ?? ''),
    );
    return [
      ...sources.flatMap((source) => source.metrics()),
      ...ofListeners,
      ...lists.flatMap((list) => list.metrics()),
    ];
  }

  async admin(request: AdminRequest): Promise<unknown> {
    const { engine, consumers } = this.#stages;
    switch (request.kind) {
      case 'status':
        return { engine: await engine.identity(), connections: this.connections };
      case 'topics':
        return reportTopics(engine);
      case 'consumers':
        return (await consumers.status()) satisfies readonly ConsumerReport[] as unknown;
      case 'quiesce':
        return consumers.quiesce();
      case 'unquiesce':
        return consumers.unquiesce();
      case 'pause':
        return consumers.pause(request.consumer);
      case 'resume':
        return consumers.resume(request.consumer);
      case 'skip':
        return consumers.skip(request.consumer, request.partition, request.toOffset);
      case 'replay':
        return consumers.replay(request.consumer, request.countMax);
    }
  }

  async drain(deadlineMs: number): Promise<void> {
    const { listeners, lists, consumers, ingest, push, spool } = this.#stages;
    // Who waits for room could wait beyond the deadline, and gets an answer instead.
    spool.stopWaiting?.();
    const drained = (kind: Listener['kind']): Promise<void>[] =>
      listeners.filter((each) => each.kind === kind).map(({ listener }) => listener.drain(deadlineMs));
    const emptied = lists.map((list) => list.drain(deadlineMs));
    await Promise.all([consumers.drain(deadlineMs), ...drained('stream'), ...emptied]);
    await Promise.all(drained('datagram'));
    await ingest.drain();
    push.close();
  }

  close(): Promise<void> {
    return this.#stages.engine.close();
  }
}

/** The partitions that this worker appends to itself. */
async function reportTopics({ topics, store }: Engine): Promise<TopicReport[]> {
  return Promise.all(
    (await topics.list()).map(async ({ name, partitions: partitionCount, retentionMs, retentionBytes }) => {
      const local = store.localPartitions(name).map(async (partition) => {
        const { epoch, firstOffset, nextOffset } = await store.state({ topic: name, partition });
        return { partition, epoch, firstOffset, nextOffset };
      });
      return { name, partitionCount, retentionMs, retentionBytes, partitions: await Promise.all(local) };
    }),
  );
}
