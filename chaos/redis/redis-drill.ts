/**
 * One drill over Redis: nodes with spools before real servers, each on a host of its own if this machine can do that, under load from producers that
 * go from node to node, with subscribers and a consumer; episodes of faults by a seed; then everything is healed, the spools drain, and the verdict is
 * given over the whole history. Nothing of it is left afterwards, but the folder of one that failed: configs, outputs, data.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../src/core/testing/until.ts';
import type { Clients } from '../clients.ts';
import { Values } from '../evidence/values.ts';
import { HANDLERS } from '../faults/loop-blocker.ts';
import { OutageWatch } from '../outage-watch.ts';
import { planEpisodes } from '../plan.ts';
import { pause } from '../producers/producer.ts';
import { readLog } from '../read-back.ts';
import { RoleWatch } from '../role-watch.ts';
import { CommitWatch } from './commit-watch.ts';
import { DiskCanary } from './disk-canary.ts';
import { Hosts, noNamespaces } from './hosts.ts';
import { NodeWatch } from './node-watch.ts';
import { runOutage } from './outage.ts';
import { startRedisClients } from './redis-clients.ts';
import { REPEATED_PER_MS, type RedisEpisode, runRedisEpisode, untilNone } from './redis-episode.ts';
import { type FaultNeed, REDIS_FAULT_KINDS, type RedisFaultName, type RedisWorld } from './redis-fault.ts';
import { nodeNames, type RedisMode, RedisNodes } from './redis-nodes.ts';
import { RedisSite, type SiteKind, serverHostNames } from './redis-site.ts';
import { judgeRedis, type RedisDrillResult } from './redis-verdict.ts';

/** After the last fault everything must be through within this. */
const SETTLE_MS = 60_000;
const LEASE_MS = 4000;
const SERVER_DOWN_MS = 1000;
/** A busy machine must not make workers seem hung. */
const WORKER_MS = 3000;
/** Whatever the servers lose, the spools still have it. */
const WINDOW_MS = 24 * 3600 * 1000;
/** Short enough to see that the disk is given back. */
const OUTAGE_WINDOW_MS = 10_000;
const SPOOL_BYTES_MAX = 1024 ** 3;
const CONFIG = `consumers: { save: { topic: data_queue, to: ./handlers.mjs } }
topics: { data_queue: { partitions: 4 } }
`;

export interface RedisDrillOptions {
  readonly seed: number;
  readonly site: SiteKind;
  readonly mode: RedisMode;
  readonly nodes: number;
  /** Of each node. */
  readonly workers: number;
  /** It ends when both are reached. */
  readonly episodes: number;
  readonly minutes: number;
  /** Instead of episodes: so long without Redis. */
  readonly outageMinutes?: number;
  /** Of each node. */
  readonly spoolBytesMax?: number;
  readonly names: readonly RedisFaultName[];
  /** Fixed; else one, sometimes two or three. */
  readonly faultsPerEpisode?: number;
  readonly recordsPerSecond: number;
  readonly quietMsMax: number;
  readonly pauseMsMax: number;
  readonly onEpisode?: (episode: RedisEpisode, drill: RedisDrill) => void;
  readonly onStart?: (drill: RedisDrill) => void;
}

/** What a drill lacks of what faults need, with the reason. */
export function missing({ site, mode }: Pick<RedisDrillOptions, 'site' | 'mode'>): {
  readonly [need in FaultNeed]: string | undefined;
} {
  return {
    replicas: site === 'redis' ? 'one server' : undefined,
    sentinels: site === 'sentinel' ? undefined : 'no Sentinels',
    hosts: noNamespaces(),
    standby: mode === 'active-standby' ? undefined : 'all nodes serve',
  };
}

export async function runRedisDrill(options: RedisDrillOptions): Promise<RedisDrillResult> {
  const drill = new RedisDrill(options);
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
  readonly world: RedisWorld;
  readonly outages: OutageWatch;
  readonly watch: NodeWatch;
  readonly commits: CommitWatch;
  readonly canary: DiskCanary;
}

export class RedisDrill {
  readonly options: RedisDrillOptions;
  readonly folder: string;
  readonly values = new Values();
  readonly episodes: RedisEpisode[] = [];
  readonly startedMs = performance.now();
  readonly #complaints: string[] = [];
  #hosts: Hosts | undefined;
  #site: RedisSite | undefined;
  #nodes: RedisNodes | undefined;
  #parts: Running | undefined;
  #result: RedisDrillResult | undefined;

  constructor(options: RedisDrillOptions) {
    this.options = options;
    this.folder = mkdtempSync(join(tmpdir(), 'tandem-drill-'));
    mkdirSync(join(this.folder, 'blocked'));
    writeFileSync(join(this.folder, 'handlers.mjs'), HANDLERS);
    writeFileSync(this.#handledPath, '');
  }

  get clients(): Clients {
    return this.#running.world.clients;
  }

  get watch(): NodeWatch {
    return this.#running.watch;
  }

  get #running(): Running {
    if (this.#parts === undefined) throw new RangeError('the drill does not run yet');
    return this.#parts;
  }

  async start(): Promise<void> {
    const { site: kind, mode, nodes: count, workers, seed, recordsPerSecond } = this.options;
    const hosts = Hosts.create([...nodeNames(count), ...serverHostNames(kind)]);
    this.#hosts = hosts;
    const site = await RedisSite.start(kind, hosts, mode === 'active-standby');
    this.#site = site;
    const nodes = await RedisNodes.create({
      ...{ folder: this.folder, hosts, url: site.url, mode, nodes: count, workers },
      ...{ workerHeartbeatTimeoutMs: WORKER_MS, spool: this.#spool, extraConfig: CONFIG },
    });
    this.#nodes = nodes;
    await nodes.start();
    const { values } = this;
    const clients = startRedisClients({
      ...{ seed, values, nodes: nodes.nodes, mode, recordsPerSecond, handledPath: this.#handledPath },
    });
    const world: RedisWorld = {
      ...{ site, nodes, hosts, clients, roles: new RoleWatch(nodes.nodes) },
      limits: { serverMs: SERVER_DOWN_MS, leaseMs: LEASE_MS, workerMs: WORKER_MS },
      complain: (breach) => this.#complaints.push(breach),
    };
    this.#parts = {
      world,
      outages: new OutageWatch(() => clients.lastAckedMs),
      watch: new NodeWatch(nodes.nodes),
      commits: new CommitWatch(site),
      canary: new DiskCanary(join(this.folder, 'canary')),
    };
  }

  async run(): Promise<RedisDrillResult> {
    const running = this.#running;
    const { episodes, minutes, onEpisode, names, outageMinutes } = this.options;
    if (outageMinutes !== undefined) {
      const outage = await runOutage(running.world, running.watch, { minutes: outageMinutes, ...this.#spool });
      this.#complaints.push(...outage.breaches);
      this.#result = { ...(await this.#settle()), outage };
      return this.#result;
    }
    const endMs = performance.now() + minutes * 60_000;
    const lacks = missing(this.options);
    const possible = names.filter((name) => REDIS_FAULT_KINDS[name].needs.every((need) => lacks[need] === undefined));
    const plan = planEpisodes({ ...this.options, kinds: REDIS_FAULT_KINDS, names: possible });
    for (const planned of plan) {
      if (this.episodes.length >= episodes && performance.now() > endMs) break;
      await pause(planned.quietMs);
      const report = await runRedisEpisode(this.episodes.length + 1, planned, running);
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
    const { world, outages, watch, commits, canary } = this.#parts ?? {};
    outages?.stop();
    world?.clients.abandon();
    await this.#nodes?.killAll();
    await Promise.all([world?.roles.stop(), watch?.stop(), commits?.stop(), canary?.stop()]);
    await this.#site?.stop();
    this.#hosts?.remove();
    if (this.#result?.breaches.length === 0) rmSync(this.folder, { recursive: true, force: true });
  }

  /** At the end of this process. */
  killNow(): void {
    this.#nodes?.killAllNow();
    this.#hosts?.remove();
  }

  #hasComplaints(): boolean {
    const { clients } = this.#running.world;
    return this.#complaints.length + clients.complaints.length + this.#running.commits.complaints.length > 0;
  }

  async #settle(): Promise<RedisDrillResult> {
    const { world, outages, watch, commits, canary } = this.#running;
    const { clients, nodes, site, hosts } = world;
    const endMs = performance.now();
    const complain = (breach: string): unknown => this.#complaints.push(breach);
    hosts.joinAll();
    await site.heal();
    await site.settled(SETTLE_MS).catch((error: unknown) => complain(`NOT SETTLED: ${String(error)}`));
    for (const node of nodes.nodes) node.spawn();
    const unready = await untilNone(() => nodes.unready(), performance.now() + SETTLE_MS);
    if (typeof unready !== 'number') complain(`NOT READY: ${unready.join(', ')} at the end`);
    outages.stop();
    await this.#stopProducers();
    const undrained = await untilNone(
      () => watch.undrained(),
      performance.now() + SETTLE_MS + clients.acked / REPEATED_PER_MS,
    );
    if (typeof undrained !== 'number') complain(`NOT DRAINED: ${undrained.join(', ')}`);
    const log = await this.#readLog();
    const stored = [...log.values()].reduce((sum, { length }) => sum + length, 0);
    const repeatMs = stored / REPEATED_PER_MS;
    const isThrough = (): boolean =>
      clients.handled.update().count >= stored && clients.subscribers.every(({ watch: { count } }) => count >= stored);
    // Not through in time is no error here: the checker says who missed what.
    await until('readers are through', isThrough, SETTLE_MS + repeatMs).catch(() => {});
    return judgeRedis({
      ...{ seed: this.options.seed, mode: this.options.mode, nodes: nodes.nodes, episodes: this.episodes },
      ...{
        startedMs: this.startedMs,
        endMs,
        roles: world.roles,
        outages: outages.outages,
        stalls: [...outages.stalls, ...canary.stalls],
        watch,
        commits,
        spoolBytesMax: this.#spool.bytesMax,
      },
      records: {
        values: this.values,
        sources: clients.producers.map(({ history }) => history),
        log,
        subscribers: clients.subscribers.map((subscriber) => subscriber.watch),
        handled: clients.handled.watch,
        mayLoseHistory: true,
      },
      complaints: [...this.#complaints, ...clients.producers.flatMap(({ complaints }) => complaints)],
    });
  }

  async #stopProducers(): Promise<void> {
    const { clients, nodes } = this.#running.world;
    let isStopped = false;
    void Promise.all(clients.producers.map((producer) => producer.stop())).then(() => {
      isStopped = true;
    });
    await until(
      () => `all producers are answered:\n${nodes.outputs()}`,
      () => isStopped,
      SETTLE_MS,
    );
  }

  /** Through a node that serves. */
  async #readLog() {
    const { nodes } = this.#running.world.nodes;
    const ready = await Promise.all(nodes.map((node) => node.isReady()));
    const node = nodes.find((_, i) => ready[i]) ?? nodes[0];
    if (node === undefined) throw new RangeError('no nodes');
    return readLog(`http://${node.host.address}:${node.ports.http}`, this.values);
  }

  get #spool() {
    const { outageMinutes, spoolBytesMax = SPOOL_BYTES_MAX } = this.options;
    return { bytesMax: spoolBytesMax, windowMs: outageMinutes === undefined ? WINDOW_MS : OUTAGE_WINDOW_MS };
  }

  get #handledPath(): string {
    return join(this.folder, 'handled.txt');
  }
}
