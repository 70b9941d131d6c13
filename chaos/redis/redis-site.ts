/** The Redis servers of a drill, each on a host of its own, and who is what among them now. */
import type { ServerProcess, ServerRole } from '../../src/core/testing/redis-servers/server-process.ts';
import { startCluster } from '../../src/core/testing/redis-servers/start-cluster.ts';
import { startRedis } from '../../src/core/testing/redis-servers/start-redis.ts';
import { startSentinel } from '../../src/core/testing/redis-servers/start-sentinel.ts';
import { until } from '../../src/core/testing/until.ts';
import { pick } from '../faults/fault.ts';
import type { Host, Hosts } from './hosts.ts';

export const SITE_KINDS = ['redis', 'sentinel', 'cluster'] as const;
export type SiteKind = (typeof SITE_KINDS)[number];

/** Servers with data, then Sentinels. */
const COUNTS: { readonly [kind in SiteKind]: readonly [servers: number, sentinels: number] } = {
  redis: [1, 0],
  sentinel: [3, 3],
  cluster: [6, 0],
};
/** What a careful operator has: a process that dies loses nothing, a machine that dies a second. */
const CONFIG = ['appendonly yes', 'appendfsync everysec'];
/**
 * For nodes of which one is active at a time: a master that is parted from its replicas takes no writes after some 2 s, so that its lease is not renewed
 * there while another one is granted by its successor.
 */
const STRICT_CONFIG = ['min-replicas-to-write 1', 'min-replicas-max-lag 1'];

export const serverHostNames = (kind: SiteKind): string[] => {
  const [servers, sentinels] = COUNTS[kind];
  return [
    ...Array.from({ length: servers }, (_, i) => `r${i}`),
    ...Array.from({ length: sentinels }, (_, i) => `s${i}`),
  ];
};

interface Started {
  readonly url: string;
  readonly servers: readonly ServerProcess[];
  readonly sentinels: readonly ServerProcess[];
  isSettled(): Promise<unknown>;
  stop(): Promise<void>;
}

export class RedisSite {
  readonly kind: SiteKind;
  readonly url: string;
  readonly servers: readonly ServerProcess[];
  readonly sentinels: readonly ServerProcess[];
  readonly #started: Started;
  readonly #hosts: ReadonlyMap<ServerProcess, Host>;
  readonly #paused = new Set<ServerProcess>();

  static async start(kind: SiteKind, hosts: Hosts, isStrict: boolean): Promise<RedisSite> {
    const places = serverHostNames(kind).map((name) => hosts.of(name));
    return new RedisSite(kind, await startServers(kind, places, isStrict), places);
  }

  private constructor(kind: SiteKind, started: Started, places: readonly Host[]) {
    const { url, servers, sentinels } = started;
    this.kind = kind;
    this.url = url;
    this.servers = servers;
    this.sentinels = sentinels;
    this.#started = started;
    this.#hosts = new Map([...servers, ...sentinels].map((server, i) => [server, places[i] as Host]));
  }

  get all(): readonly ServerProcess[] {
    return [...this.servers, ...this.sentinels];
  }

  nameOf(server: ServerProcess): string {
    return this.#hosts.get(server)?.name ?? server.address;
  }

  /** One of those that take writes, as they say themselves; where one says so that nobody follows, not that one if there is another. */
  async master(choice: number): Promise<ServerProcess | undefined> {
    const roles = await this.#roles();
    const masters = roles.filter(({ role }) => role === 'master');
    const followed = masters.filter(({ replicas }) => replicas > 0);
    return pick(followed.length > 0 ? followed : masters, choice)?.server;
  }

  async replica(choice: number): Promise<ServerProcess | undefined> {
    const roles = await this.#roles();
    const replicas = roles.filter(({ role }) => role === 'replica');
    return pick(replicas, choice)?.server;
  }

  sentinel(choice: number): ServerProcess | undefined {
    return pick(
      this.sentinels.filter(({ isRunning }) => isRunning),
      choice,
    );
  }

  pause(server: ServerProcess): void {
    this.#paused.add(server);
    server.pause();
  }

  resume(server: ServerProcess): void {
    this.#paused.delete(server);
    server.resume();
  }

  async restart(server: ServerProcess, how: { readonly empty?: boolean } = {}): Promise<void> {
    this.#paused.delete(server);
    await server.restart(how);
  }

  /** Everybody runs. */
  async heal(): Promise<void> {
    for (const server of [...this.#paused]) this.resume(server);
    await Promise.all(this.all.filter(({ isRunning }) => !isRunning).map((server) => this.restart(server)));
  }

  /** Resolves when all servers are where they belong; rejects after `boundMs`. */
  async settled(boundMs: number): Promise<void> {
    await until(`${this.kind} has settled`, () => this.#started.isSettled().catch(() => false), boundMs);
  }

  /** A switch of roles as an operator asks for it. Resolves when it was asked for; false: it was refused. */
  async failover(choice: number): Promise<boolean> {
    try {
      if (this.kind === 'sentinel') await this.sentinel(choice)?.call('SENTINEL', 'FAILOVER', 'main');
      else if (this.kind === 'cluster') await (await this.replica(choice))?.call('CLUSTER', 'FAILOVER');
      else return false;
      return true;
    } catch {
      return false;
    }
  }

  stop(): Promise<void> {
    return this.#started.stop();
  }

  #roles(): Promise<readonly ServerFacts[]> {
    const awake = this.servers.filter((server) => server.isRunning && !this.#paused.has(server));
    return Promise.all(awake.map(factsOf)).then((facts) => facts.flatMap((one) => one ?? []));
  }
}

interface ServerFacts {
  readonly server: ServerProcess;
  readonly role: ServerRole;
  readonly replicas: number;
}

async function factsOf(server: ServerProcess): Promise<ServerFacts | undefined> {
  try {
    const role = await server.role();
    const replicas = role === 'master' ? Number(await server.info('replication', 'connected_slaves')) : 0;
    return { server, role, replicas };
  } catch {
    return undefined;
  }
}

async function startServers(kind: SiteKind, hosts: readonly Host[], isStrict: boolean): Promise<Started> {
  const config = isStrict && kind !== 'redis' ? [...CONFIG, ...STRICT_CONFIG] : CONFIG;
  const options = { hosts, config };
  if (kind === 'redis') {
    const started = await startRedis(undefined, options);
    const isSettled = () => started.server.role();
    return { ...started, sentinels: [], isSettled, stop: () => started.stop() };
  }
  if (kind === 'cluster') {
    const started = await startCluster(undefined, options);
    const { url, servers } = started;
    const isSettled = async () => started.settled(3, 50).then(() => true);
    return { url, servers, sentinels: [], isSettled, stop: () => started.stop() };
  }
  const started = await startSentinel(undefined, { ...options, replicas: 2 });
  const { url, servers, sentinels } = started;
  return { url, servers, sentinels, isSettled: () => started.settled(50), stop: () => started.stop() };
}
