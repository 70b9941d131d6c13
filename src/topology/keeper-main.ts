/**
 * `tandem up`: one node in this process and its workers. In order: the node's exclusive right to its store, all addresses (those of
 * `listen` and `admin`; every one that cannot be bound is named), then the workers. It ends in reverse.
 */
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdminServer } from '../admin/admin-server.ts';
import type { ListenConfig, TandemConfig } from '../config/tandem-config.ts';
import type { Logger } from '../core/contracts/telemetry.ts';
import { asTandemError, TandemError } from '../core/errors.ts';
import { createAuthenticator } from '../sessions/permissions.ts';
import { bindProblem } from '../supervisor/address-bindings.ts';
import { Keeper } from '../supervisor/keeper.ts';
import type { KeeperPlan } from '../supervisor/plan.ts';
import { obeySignals } from '../supervisor/signals.ts';
import { logLevel } from '../telemetry/log-level.ts';
import { createLogger } from '../telemetry/logger.ts';
import { AdminView } from './admin-view.ts';
import { ENGINES, type NodeStore } from './engine-table.ts';
import { NodeHealth } from './node-health-watch.ts';
import { readTls } from './tls-files.ts';

const WORKER_SOURCE = new URL('./worker-main.ts', import.meta.url);
/** Beside this module, and built if this is. */
const WORKER_ENTRY = import.meta.url.endsWith('.ts') ? WORKER_SOURCE : new URL('worker-main.js', WORKER_SOURCE);

export interface NodeOptions {
  readonly config: TandemConfig;
  /** Called at SIGHUP. Errors: TANDEM_CONFIG_INVALID. */
  readonly loadConfig: () => TandemConfig | Promise<TandemConfig>;
  /** Of the package. */
  readonly version: string;
  /** Called once when all workers serve. `listeners` is in the order of the config's `listen`, with the real ports. */
  readonly onReady?: (ready: NodeReady) => void;
}

export interface NodeReady {
  readonly listeners: readonly { readonly url: string; readonly host: string; readonly port: number }[];
  readonly adminPort: number;
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
  const store = await ENGINES[config.engine].openNodeStore(config, logger);
  try {
    return await runKeeper(options, store, logger);
  } finally {
    store.close();
    logger.info('node_stopped', { version });
  }
}

async function runKeeper(options: NodeOptions, store: NodeStore, logger: Logger): Promise<number> {
  const { config, version } = options;
  const nodeTerm = store.nextTerm();
  const nextTerm = (): number => store.nextTerm();
  const onChange = (): void => health.update();
  const { roll, pauses } = store;
  const plan = planOf(config);
  const pausedConsumers = (): readonly string[] => pauses.names;
  const parts = { roll, logger, onChange, pausedConsumers };
  const keeper = new Keeper({ plan, workerEntry: WORKER_ENTRY, ...parts });
  const health = new NodeHealth({ keeper, store, nodeTerm, logger });
  const backend = new AdminView({ keeper, health, pauses, config, version });
  const admin = createAdminServer({
    backend,
    authenticator: createAuthenticator(config.auth),
    logger,
    host: config.admin.host,
    ...(config.admin.tls === null ? {} : { tls: readTls(config.admin.tls) }),
  });
  const ended = obeySignals(keeper, async () => planOf(checkReload(config, await options.loadConfig())), logger);
  try {
    await bindAll(keeper, admin, config);
    logger.info('node_starting', { version, term: nodeTerm, workers: config.workers.count, data: config.dataFolder });
    keeper.start();
    await keeper.activate({ nodeTerm, issueTerm: nextTerm });
    const { listeners, isStopping } = keeper.status;
    if (!isStopping) {
      const { port: adminPort } = admin.address() as AddressInfo;
      logger.info('node_ready', { listeners: listeners.map(({ url, port }) => ({ url, port })), adminPort });
      options.onReady?.({ listeners, adminPort });
    }
    return await ended;
  } finally {
    health.stop();
    admin.close();
    admin.closeAllConnections();
  }
}

/** Errors: TANDEM_LISTEN_FAILED naming every address. */
async function bindAll(keeper: Keeper, admin: Server, { admin: { host, port, url } }: TandemConfig): Promise<void> {
  const [bound, listening] = await Promise.allSettled([
    keeper.bind(),
    once(admin.listen({ host, port }), 'listening'),
  ] as const);
  const problems: string[] = [];
  if (bound.status === 'rejected') {
    const error = asTandemError(bound.reason);
    problems.push(...((error.data?.['problems'] as readonly string[] | undefined) ?? [error.message]));
  }
  if (listening.status === 'rejected') problems.push(bindProblem(url, listening.reason));
  if (problems.length > 0) {
    keeper.stopNow('the node could not start');
    throw new TandemError('TANDEM_LISTEN_FAILED', { detail: problems.join('; '), data: { problems } });
  }
}

function planOf(config: TandemConfig): KeeperPlan {
  const listen = config.listen.map(({ protocol, host, port, url }: ListenConfig) => {
    return { transport: protocol === 'udp' ? 'datagram' : 'stream', host, port, url } as const;
  });
  return { listen, workers: config.workers, config };
}

/** What the keeper itself runs with cannot change while it runs. Errors: TANDEM_CONFIG_INVALID naming every such change. */
function checkReload(old: TandemConfig, next: TandemConfig): TandemConfig {
  const changed: string[] = [];
  const compare = (key: string, a: unknown, b: unknown): void => {
    if (JSON.stringify(a) !== JSON.stringify(b)) changed.push(key);
  };
  compare('name', old.name, next.name);
  compare('data', old.dataFolder, next.dataFolder);
  compare('engine', old.engine, next.engine);
  compare('admin', old.admin, next.admin);
  compare('workers.count', old.workers.count, next.workers.count);
  if (changed.length > 0)
    throw new TandemError('TANDEM_CONFIG_INVALID', { detail: `changed, but needs a restart: ${changed.join(', ')}` });
  return next;
}
