/**
 * One drill: a cluster (or a node alone) under load from producers over every listener, subscribers and handlers; episodes of faults by a seed;
 * then the verdict over the whole history. Nothing of it is left afterwards, but the folder of one that failed: configs, outputs, data.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Random, seededRandom } from '../src/core/ports/random.ts';
import { until } from '../src/core/testing/until.ts';
import { type Clients, startClients } from './clients.ts';
import { ClusterUnderTest } from './cluster-under-test.ts';
import { type EpisodeReport, runEpisode } from './episode.ts';
import { Values } from './evidence/values.ts';
import { openFaultProxy } from './fault-proxy.ts';
import { FAULT_KINDS, type FaultName, type NamedProxy, type World } from './faults/fault.ts';
import { HANDLERS, LoopBlocker } from './faults/loop-blocker.ts';
import { noSmallDisk, SmallDisk } from './faults/small-disk.ts';
import type { DataPorts } from './node-under-test.ts';
import { OutageWatch } from './outage-watch.ts';
import { planEpisodes } from './plan.ts';
import { pause } from './producers/producer.ts';
import { readLog } from './read-back.ts';
import { RoleWatch } from './role-watch.ts';
import { type DrillResult, judge } from './verdict.ts';

/** After the last fault everything must be through within this. */
const SETTLE_MS = 45_000;
const CONSUMERS = 'consumers: { save: { topic: data_queue, to: ./handlers.mjs } }\n';

export interface DrillOptions {
  readonly seed: number;
  /** 1: a node alone. */
  readonly nodes: number;
  /** Of each node. */
  readonly workers: number;
  /** It ends when both are reached. */
  readonly episodes: number;
  readonly minutes: number;
  readonly names: readonly FaultName[];
  /** Fixed; else one, sometimes two or three. */
  readonly faultsPerEpisode?: number;
  /** Over all producers; absent: as fast as answers come. */
  readonly recordsPerSecond?: number;
  readonly quietMsMax: number;
  readonly pauseMsMax: number;
  readonly nodeHeartbeatTimeoutMs: number;
  readonly workerHeartbeatTimeoutMs: number;
  /** Some clients go through a bad network. */
  readonly hasProxies: boolean;
  readonly onEpisode?: (episode: EpisodeReport, drill: Drill) => void;
  readonly onStart?: (drill: Drill) => void;
}

/** Of the faults that were asked for, those that cannot be here, with the reason. */
export function impossibleFaults({ nodes, hasProxies }: Pick<DrillOptions, 'nodes' | 'hasProxies'>) {
  const disk = noSmallDisk();
  return { disk, cluster: nodes > 1 ? undefined : 'a node alone', network: hasProxies ? undefined : 'no proxies' };
}

export async function runDrill(options: DrillOptions): Promise<DrillResult> {
  const drill = new Drill(options);
  const killNow = (): void => drill.killNow();
  process.once('exit', killNow);
  try {
    await drill.start();
    options.onStart?.(drill);
    return await drill.run();
  } finally {
    await drill.end();
    process.off('exit', killNow);
  }
}

interface Running {
  readonly world: World;
  readonly clients: Clients;
  readonly outages: OutageWatch;
}

export class Drill {
  readonly options: DrillOptions;
  readonly folder: string;
  readonly values = new Values();
  readonly episodes: EpisodeReport[] = [];
  readonly startedMs = performance.now();
  readonly #complaints: string[] = [];
  readonly #random: Random;
  readonly #disk: SmallDisk | undefined;
  #cluster: ClusterUnderTest | undefined;
  #parts: Running | undefined;
  #result: DrillResult | undefined;

  constructor(options: DrillOptions) {
    this.options = options;
    this.folder = mkdtempSync(join(tmpdir(), 'tandem-drill-'));
    this.#random = seededRandom(options.seed ^ 0x5eed);
    mkdirSync(this.#dataMount);
    mkdirSync(join(this.folder, 'blocked'));
    writeFileSync(join(this.folder, 'handlers.mjs'), HANDLERS);
    writeFileSync(this.#handledPath, '');
    const isDiskAsked = options.names.includes('full-disk') && noSmallDisk() === undefined;
    this.#disk = isDiskAsked ? SmallDisk.mount(this.#dataMount) : undefined;
  }

  get clients(): Clients {
    return this.#running.clients;
  }

  get roles(): RoleWatch {
    return this.#running.world.roles;
  }

  get #running(): Running {
    if (this.#parts === undefined) throw new RangeError('the drill does not run yet');
    return this.#parts;
  }

  async start(): Promise<void> {
    const { options, folder, values } = this;
    const { nodes, workers, nodeHeartbeatTimeoutMs, workerHeartbeatTimeoutMs } = options;
    const cluster = await ClusterUnderTest.create({
      folder,
      dataFolder: './disk/data',
      nodes,
      workers,
      heartbeatTimeoutMs: nodeHeartbeatTimeoutMs,
      workerHeartbeatTimeoutMs,
      extraConfig: CONSUMERS,
    });
    this.#cluster = cluster;
    await cluster.start();
    const roles = new RoleWatch(cluster.nodes);
    const proxies = options.hasProxies ? await openProxies(cluster.ports, this.#random) : undefined;
    const blocker = new LoopBlocker(`marker-${options.seed}`, cluster.ports.http, values);
    const clients = startClients({
      seed: options.seed,
      values,
      ports: cluster.ports,
      handledPath: this.#handledPath,
      ...(proxies === undefined ? {} : { proxied: proxies.ports }),
      ...(options.recordsPerSecond === undefined ? {} : { recordsPerSecond: options.recordsPerSecond }),
    });
    const world: World = {
      cluster,
      roles,
      proxies: proxies?.proxies ?? [],
      disk: this.#disk,
      blocker,
      limits: { nodeMs: nodeHeartbeatTimeoutMs, workerMs: workerHeartbeatTimeoutMs },
      complain: (breach) => this.#complaints.push(breach),
    };
    this.#parts = { world, clients, outages: new OutageWatch(() => clients.lastAckedMs) };
  }

  async run(): Promise<DrillResult> {
    const running = this.#running;
    const { episodes, minutes, names, onEpisode } = this.options;
    const endMs = performance.now() + minutes * 60_000;
    const plan = planEpisodes({
      ...this.options,
      kinds: FAULT_KINDS,
      names: names.filter((name) => this.#isPossible(name)),
    });
    for (const planned of plan) {
      if (this.episodes.length >= episodes && performance.now() > endMs) break;
      await pause(planned.quietMs);
      const report = await runEpisode(this.episodes.length + 1, planned, running);
      this.episodes.push(report);
      onEpisode?.(report, this);
      // What goes on after a breach proves nothing.
      if (typeof report.back !== 'number' || this.#hasComplaints()) break;
    }
    this.#result = await this.#settle();
    return this.#result;
  }

  /** Ends everything. The folder stays if there is a breach, or no verdict. */
  async end(): Promise<void> {
    const { world, clients, outages } = this.#parts ?? {};
    outages?.stop();
    clients?.abandon();
    world?.blocker.abandon();
    await this.#cluster?.killAll();
    await world?.roles.stop();
    await Promise.all((world?.proxies ?? []).map(({ proxy }) => proxy.close()));
    const isGood = this.#result?.breaches.length === 0;
    if (this.#disk !== undefined) {
      if (!isGood) cpSync(this.#dataMount, join(this.folder, 'data-kept'), { recursive: true, filter: isFileOrFolder });
      this.#disk.unmount();
    }
    if (isGood) rmSync(this.folder, { recursive: true, force: true });
  }

  /** At the end of this process. */
  killNow(): void {
    this.#cluster?.killAllNow();
    this.#disk?.unmount();
  }

  #hasComplaints(): boolean {
    const { clients, world } = this.#running;
    return this.#complaints.length + clients.complaints.length + world.roles.complaints.length > 0;
  }

  #isPossible(name: FaultName): boolean {
    const impossible = impossibleFaults(this.options);
    if (name === 'network') return impossible.network === undefined;
    const { needs } = FAULT_KINDS[name];
    return needs === undefined || impossible[needs] === undefined;
  }

  async #settle(): Promise<DrillResult> {
    const { world, clients, outages } = this.#running;
    const { cluster, roles, blocker } = world;
    const endMs = performance.now();
    const stopped = Promise.all([...clients.producers, blocker].map((producer) => producer.stop()));
    let isStopped = false;
    void stopped.then(() => {
      isStopped = true;
    });
    await until(
      () => `all producers are answered:\n${cluster.outputs()}`,
      () => isStopped,
      SETTLE_MS,
    );
    const log = await readLog(`http://127.0.0.1:${cluster.ports.http}`, this.values);
    const stored = [...log.values()].reduce((sum, { length }) => sum + length, 0);
    const isThrough = (): boolean =>
      clients.handled.update().count >= stored && clients.subscribers.every(({ watch }) => watch.count >= stored);
    // Not through in time is no error here: the checker says who missed what.
    await until('readers are through', isThrough, SETTLE_MS).catch(() => {});
    outages.stop();
    return judge({
      seed: this.options.seed,
      nodes: cluster.nodes,
      episodes: this.episodes,
      startedMs: this.startedMs,
      endMs,
      limitMs: this.options.nodeHeartbeatTimeoutMs,
      records: {
        values: this.values,
        sources: [...clients.producers, blocker].map(({ history }) => history),
        log,
        subscribers: clients.subscribers.map(({ watch }) => watch),
        handled: clients.handled.watch,
      },
      roles,
      outages,
      complaints: [...this.#complaints, ...clients.producers.flatMap(({ complaints }) => complaints)],
    });
  }

  get #dataMount(): string {
    return join(this.folder, 'disk');
  }

  get #handledPath(): string {
    return join(this.folder, 'handled.txt');
  }
}

async function openProxies(ports: DataPorts, random: Random): Promise<{ ports: DataPorts; proxies: NamedProxy[] }> {
  const open = async (name: keyof DataPorts): Promise<NamedProxy> => {
    const transport = name === 'udp' ? 'udp' : 'tcp';
    return { name, proxy: await openFaultProxy(transport, { upstreamPort: ports[name], random }) };
  };
  const proxies = await Promise.all([open('http'), open('lines'), open('udp')]);
  const proxied = Object.fromEntries(proxies.map(({ name, proxy }) => [name, proxy.port]));
  return { ports: { ...ports, ...proxied }, proxies };
}

/** Not the sockets by which the nodes speak. */
const isFileOrFolder = (path: string): boolean => {
  const found = statSync(path, { throwIfNoEntry: false });
  return found?.isFile() === true || found?.isDirectory() === true;
};
