/** The servers that fail over: one master watched by Sentinels, or a Cluster; each master has one replica. */
import type { ServerProcess } from '../../../src/core/testing/redis-servers/server-process.ts';
import { startCluster } from '../../../src/core/testing/redis-servers/start-cluster.ts';
import { startSentinel } from '../../../src/core/testing/redis-servers/start-sentinel.ts';
import { until } from '../../../src/core/testing/until.ts';
import { type Address, call, type MasterLookup } from './master-lookup.ts';

export type SiteKind = 'sentinel' | 'cluster';

export interface Site {
  readonly kind: SiteKind;
  readonly url: string;
  /** Without Sentinels. */
  readonly servers: readonly ServerProcess[];
  readonly lookup: MasterLookup;
  stop(): Promise<void>;
}

export interface Pair {
  readonly master: ServerProcess;
  readonly replica: ServerProcess;
}

export interface Detection {
  /** Of Sentinels. */
  readonly downAfterMs: number;
  /** Of a Cluster. */
  readonly nodeTimeoutMs: number;
}

/** What the figures are promised for. */
const PROMISED: Detection = { downAfterMs: 1000, nodeTimeoutMs: 1000 };
const CONFIG = ['appendonly yes', 'appendfsync everysec'];
const PAIRS_WITHIN_MS = 60_000;

export async function startSite(kind: SiteKind, detection: Detection = PROMISED): Promise<Site> {
  return kind === 'sentinel' ? sentinelSite(detection) : clusterSite(detection);
}

async function sentinelSite({ downAfterMs }: Detection): Promise<Site> {
  const started = await startSentinel(undefined, { replicas: 1, sentinels: 3, downAfterMs, config: CONFIG });
  const sentinels = started.sentinels.map(addressOf);
  const lookup = { kind: 'sentinel', sentinels, master: started.masterName } as const;
  return { kind: 'sentinel', url: started.url, servers: started.servers, lookup, stop: () => started.stop() };
}

async function clusterSite({ nodeTimeoutMs }: Detection): Promise<Site> {
  const started = await startCluster(undefined, { masters: 3, replicasPerMaster: 1, nodeTimeoutMs, config: CONFIG });
  const lookup = { kind: 'cluster', nodes: started.servers.map(addressOf) } as const;
  return { kind: 'cluster', url: started.url, servers: started.servers, lookup, stop: () => started.stop() };
}

const addressOf = ({ host, port }: ServerProcess): Address => ({ host, port });

/** Every master with its replica, once all servers are one or the other, all replicas are in sync, and Sentinels see it so. */
export async function pairsOf(site: Site): Promise<readonly Pair[]> {
  const pairs = await until(
    'every master has its replica',
    async () => {
      const now = await pairsNow(site.servers);
      return now !== undefined && (await isSeenSo(site.lookup, now)) ? now : undefined;
    },
    PAIRS_WITHIN_MS,
  );
  return pairs as readonly Pair[];
}

/** Sentinels that do not know the replica, or think it down, could not promote it. */
async function isSeenSo(lookup: MasterLookup, [pair]: readonly Pair[]): Promise<boolean> {
  if (lookup.kind === 'cluster') return true;
  const words = await Promise.all(
    lookup.sentinels.map(async (sentinel) => {
      const [replica] = (await call(sentinel, 'SENTINEL', 'replicas', lookup.master)) as readonly string[][];
      return [(await call(sentinel, 'SENTINEL', 'master', lookup.master)) as string[], replica ?? []] as const;
    }),
  );
  return words.every(
    ([master, replica]) =>
      field(master, 'port') === `${pair?.master.port}` &&
      field(master, 'flags') === 'master' &&
      field(replica, 'port') === `${pair?.replica.port}` &&
      field(replica, 'flags') === 'slave',
  );
}

const field = (facts: readonly string[], name: string): string | undefined => facts[facts.indexOf(name) + 1];

async function pairsNow(servers: readonly ServerProcess[]): Promise<readonly Pair[] | undefined> {
  try {
    const links = await Promise.all(servers.map(masterPortOf));
    const pairs = servers.flatMap((replica, i) => {
      const master = servers.find((server, j) => server.port === links[i] && links[j] === undefined);
      return master === undefined ? [] : [{ master, replica }];
    });
    return pairs.length * 2 === servers.length ? pairs : undefined;
  } catch {
    return undefined;
  }
}

/** undefined: it is a master itself. 0: it has no link to its master. */
async function masterPortOf(server: ServerProcess): Promise<number | undefined> {
  if ((await server.role()) === 'master') return undefined;
  const isLinked = (await server.info('replication', 'master_link_status')) === 'up';
  return isLinked ? Number(await server.info('replication', 'master_port')) : 0;
}
