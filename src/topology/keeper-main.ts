/**
 * `tandem up`: one node in this process and its workers. The store says whether it may be active (cluster/elector.ts); then it has the
 * addresses of `listen` and its workers have slots. Until then, in a cluster, its workers are warm and only `admin` is bound.
 */
import type { Server } from 'node:http';
import { createAdminServer } from '../admin/admin-server.ts';
import type { Duty } from '../cluster/duty.ts';
import { Elector } from '../cluster/elector.ts';
import type { TandemConfig } from '../config/tandem-config.ts';
import type { Role } from '../core/contracts/cluster.ts';
import type { Logger } from '../core/contracts/telemetry.ts';
import { asTandemError, TandemError } from '../core/errors.ts';
import { systemClock } from '../core/ports/clock.ts';
import { systemRandom } from '../core/ports/random.ts';
import { createAuthenticator } from '../sessions/permissions.ts';
import { Keeper } from '../supervisor/keeper.ts';
import type { ListenerStatus } from '../supervisor/keeper-status.ts';
import { nodeOf } from '../supervisor/node-registry.ts';
import { obeySignals } from '../supervisor/signals.ts';
import { logLevel } from '../telemetry/log-level.ts';
import { createLogger } from '../telemetry/logger.ts';
import { activePeer } from './active-peer.ts';
import { bindAdmin } from './admin-address.ts';
import { AdminView } from './admin-view.ts';
import { AgentCheck } from './agent-check.ts';
import { clusterTimers } from './cluster-timers.ts';
import { ENGINES, servesAlone } from './engine-table.ts';
import { housekeeping } from './housekeeping.ts';
import { KeeperDuties } from './keeper-duties.ts';
import { checkReload, planOf } from './keeper-plan.ts';
import { NodeHealth } from './node-health-watch.ts';
import type { NodeStore } from './node-store.ts';
import { ROLE_LEASE } from './role-lease.ts';
import { readTls } from './tls-files.ts';

const WORKER_SOURCE = new URL('./worker-main.ts', import.meta.url);
/** Beside this module, and built if this is. */
const WORKER_ENTRY = import.meta.url.endsWith('.ts') ? WORKER_SOURCE : new URL('worker-main.js', WORKER_SOURCE);

const SPACE_RETRY_MS = 1000;

export interface NodeOptions {
  readonly config: TandemConfig;
  /** Called at SIGHUP. Errors: TANDEM_CONFIG_INVALID. */
  readonly loadConfig: () => TandemConfig | Promise<TandemConfig>;
  /** Of the package. */
  readonly version: string;
  /** Called once, when all workers serve or are ready to take over. */
  readonly onReady?: (ready: NodeReady) => void;
}

export interface NodeReady {
  readonly role: Role;
  /** In the order of the config's `listen`, with the real ports; none while it stands by. */
  readonly listeners: readonly ListenerStatus[];
  readonly adminPort: number;
  /** Which node is active, if this one is not. */
  readonly activeName: string | null;
}

/**
 * Runs a node until a signal ends it; resolves with the exit code. Errors (nothing runs then): TANDEM_DATA_LOCKED, TANDEM_LISTEN_FAILED,
 * TANDEM_HANDLER_INVALID and what else of the start cannot be mended by trying again.
 */
export async function runNode(options: NodeOptions): Promise<number> {
  const { config, version } = options;
  const logger = createLogger({ level: logLevel(), base: { node: config.name } });
  process.title = `tandem keeper ${config.name}`;
  // Started by the launcher, this process must not outlive it.
  process.on('disconnect', () => process.exit(1));
  // Listening for that must not keep it alive.
  process.channel?.unref();
  const store = await openStore(config, logger);
  try {
    return await new Node(options, store, logger).run();
  } finally {
    await store.close();
    logger.info('node_stopped', { version });
  }
}

/** A disk that is full now may have space later: a node that ended because of it would not be there then. */
async function openStore(config: TandemConfig, logger: Logger): Promise<NodeStore> {
  for (let tries = 1; ; tries++) {
    try {
      return await ENGINES[config.engine.kind].openNodeStore(config, logger);
    } catch (thrown) {
      const error = asTandemError(thrown);
      if (error.code !== 'TANDEM_DISK_FULL') throw error;
      if (tries === 1) logger.error('waiting_for_space', { data: config.dataFolder, problem: error.message });
      // Nothing else keeps the process alive yet.
      await new Promise((resolve) => setTimeout(resolve, SPACE_RETRY_MS));
    }
  }
}

class Node {
  readonly #options: NodeOptions;
  readonly #logger: Logger;
  readonly #keeper: Keeper;
  readonly #duties: KeeperDuties;
  readonly #elector: Elector;
  readonly #health: NodeHealth;
  readonly #admin: Server;
  readonly #agent: AgentCheck;
  readonly #housekeeping: Duty;
  #adminPort: number | undefined;

  constructor(options: NodeOptions, store: NodeStore, logger: Logger) {
    const { config, version } = options;
    this.#options = options;
    this.#logger = logger;
    const { roll, pauses, leases, provesDeath, peers, holder } = store;
    this.#keeper = new Keeper({
      ...{ plan: planOf(config), workerEntry: WORKER_ENTRY, roll, logger },
      onChange: () => this.#health.update(),
      pausedConsumers: () => pauses.names,
    });
    const timers = clusterTimers(config.cluster, provesDeath);
    const keeper = this.#keeper;
    const grant = () => this.#elector.grant;
    const onFenced = (reason: string): void => this.#elector.fenced(reason);
    this.#duties = new KeeperDuties({ keeper, store, grant, onFenced, beforeServing: () => this.#bindIfAlone() });
    const adminUrl = (): string => this.#adminUrl;
    this.#elector = new Elector({
      ...{ leases, provesDeath, peers, duties: this.#duties, logger, clock: systemClock, random: systemRandom },
      // The port is known once it is bound.
      self: {
        ...{ name: config.name, holder, version },
        get adminUrl() {
          return adminUrl();
        },
      },
      timers,
      leaseName: ROLE_LEASE,
      isAlone: servesAlone(config),
    });
    const elector = this.#elector;
    this.#health = new NodeHealth({ keeper, elector, store, logger });
    elector.onChange(() => this.#health.update());
    this.#agent = new AgentCheck({ keeper, health: this.#health, address: config.admin.agentCheck });
    this.#housekeeping = housekeeping(store, timers, logger);
    const backend = new AdminView({ keeper, elector, health: this.#health, pauses, config, version });
    this.#admin = createAdminServer({
      ...{ backend, authenticator: createAuthenticator(config.auth), logger, host: config.admin.host },
      ...(config.admin.tls === null ? {} : { tls: readTls(config.admin.tls) }),
    });
  }

  async run(): Promise<number> {
    const { config, loadConfig, version } = this.#options;
    const loadPlan = async () => planOf(checkReload(config, await loadConfig()));
    const ended = obeySignals(this.#keeper, { loadPlan, stop: () => this.#stop() }, this.#logger);
    try {
      const { cluster, workers, dataFolder } = config;
      this.#logger.info('node_starting', { version, mode: cluster.mode, workers: workers.count, data: dataFolder });
      await (servesAlone(this.#options.config) ? this.#startAlone() : this.#startInCluster());
      if (!this.#keeper.status.isStopping) this.#tellReady();
      return await ended;
    } catch (error) {
      await this.#keeper.stop();
      await this.#elector.stop();
      throw error;
    } finally {
      await this.#housekeeping.stop();
      this.#health.stop();
      this.#agent.close();
      this.#admin.close();
      this.#admin.closeAllConnections();
    }
  }

  async #startAlone(): Promise<void> {
    try {
      await this.#elector.start();
    } catch (thrown) {
      const error = asTandemError(thrown);
      const holder = error.data?.['holder'];
      if (error.code !== 'TANDEM_DATA_LOCKED' || typeof holder !== 'string') throw error;
      const { name, incarnation } = nodeOf(holder);
      const detail = `node ${JSON.stringify(name)} (process ${incarnation.split('-')[0]}) has ${this.#options.config.dataFolder}`;
      const hint = 'several nodes share a folder with cluster.mode: active-standby';
      throw new TandemError('TANDEM_DATA_LOCKED', { detail: `${detail}; ${hint}` });
    }
  }

  async #startInCluster(): Promise<void> {
    this.#adminPort = await bindAdmin(this.#admin, this.#options.config);
    await this.#agent.bind();
    this.#keeper.start();
    this.#duties.openOwnSlots();
    const settled = Promise.withResolvers<void>();
    this.#elector.onChange(() => {
      const status = this.#elector.status();
      if (status.role === 'active' || activePeer(status) !== undefined) settled.resolve();
    });
    await this.#elector.start();
    await this.#keeper.warmed();
    await Promise.race([settled.promise, this.#keeper.stopped]);
    await this.#keeper.serveFronts();
    this.#housekeeping.start();
  }

  /** Every address that cannot be bound is named at once. */
  async #bindIfAlone(): Promise<void> {
    const { config } = this.#options;
    if (!servesAlone(config) || this.#adminPort !== undefined) return;
    const binding = [this.#keeper.bind(), bindAdmin(this.#admin, config), this.#agent.bind()] as const;
    const all = await Promise.allSettled(binding);
    const [, listening] = all;
    if (listening.status === 'fulfilled') this.#adminPort = listening.value;
    const problems = all.flatMap((each) => (each.status === 'rejected' ? problemsOf(each.reason) : []));
    if (problems.length > 0)
      throw new TandemError('TANDEM_LISTEN_FAILED', { detail: problems.join('; '), data: { problems } });
  }

  get #adminUrl(): string {
    const url = new URL(this.#options.config.admin.url);
    url.port = String(this.#adminPort ?? url.port);
    return url.origin;
  }

  #tellReady(): void {
    const { role } = this.#health.current;
    const { listeners } = this.#keeper.status;
    const adminPort = this.#adminPort as number;
    const activeName = activePeer(this.#elector.status())?.name ?? null;
    this.#logger.info('node_ready', { role, listeners: listeners.map(({ url, port }) => ({ url, port })), adminPort });
    this.#options.onReady?.({ role, listeners, adminPort, activeName: role === 'active' ? null : activeName });
  }

  /** Hands over to a standby that is ready, if there is one; else it just ends, and whoever is there takes over. */
  async #stop(): Promise<void> {
    const { role, peers } = this.#elector.status();
    const isAwaited = peers.some(({ facts }) => facts.role === 'standby' && facts.isReady);
    if (role === 'active' && isAwaited) await this.#handOver();
    // No candidate from here on: it could take over and serve nothing.
    await this.#elector.stop(() => this.#keeper.stop());
    await this.#keeper.stop();
  }

  async #handOver(): Promise<void> {
    try {
      await this.#elector.switchover(null, this.#options.config.cluster.switchoverTimeoutMs);
    } catch (error) {
      this.#logger.warn('not_handed_over', { problem: asTandemError(error).message });
    }
  }
}

function problemsOf(thrown: unknown): readonly string[] {
  const error = asTandemError(thrown);
  return (error.data?.['problems'] as readonly string[] | undefined) ?? [error.message];
}
