/** A master with replicas, watched by Sentinels, for a test. */
import { createHash } from 'node:crypto';
import { TandemError } from '../../errors.ts';
import { until } from '../until.ts';
import { freePorts } from './free-ports.ts';
import { untilReplicasOnline } from './online-replicas.ts';
import { ServerGroup, type ServerOptions, type ServerPlace, type TestScope } from './server-group.ts';
import type { ServerProcess } from './server-process.ts';

export interface SentinelOptions extends ServerOptions {
  /** Default 1. */
  readonly replicas?: number;
  /** Default 3; the quorum is a majority of them. */
  readonly sentinels?: number;
  /** Default 1000. At 300 a busy machine makes Sentinels believe in faults that there are not. */
  readonly downAfterMs?: number;
  /** Default 3000. A failover that failed is tried again after twice as long. */
  readonly failoverTimeoutMs?: number;
}

export interface StartedSentinel {
  readonly url: string;
  readonly masterName: string;
  /** Those that hold data: the first master first. */
  readonly servers: readonly ServerProcess[];
  readonly sentinels: readonly ServerProcess[];
  /** Whom all Sentinels name, if that one runs and says that it is master; else rejects. */
  master(): Promise<ServerProcess>;
  /**
   * Resolves when there is such a master and all other running servers are its replicas, online; or rejects after `boundMs`. Sentinels
   * take some 10 s to make a replica of a former master that was started again.
   */
  settled(boundMs?: number): Promise<ServerProcess>;
  /** Ends them and removes what they stored. Idempotent. */
  stop(): Promise<void>;
}

const MASTER_NAME = 'main';

/** Ready for a failover when it resolves. With a test it ends with it; without one call `stop`. */
export async function startSentinel(test?: TestScope, options: SentinelOptions = {}): Promise<StartedSentinel> {
  const { replicas: replicaCount = 1, sentinels: sentinelCount = 3 } = options;
  const group = new ServerGroup(options, test);
  try {
    const ports = await freePorts(1 + replicaCount + sentinelCount);
    const places = ports.map((port, index) => ({ index, port, host: group.hostAt(index).address }));
    const place: Place = {
      master: places[0] as PlacedServer,
      replicas: places.slice(1, 1 + replicaCount),
      sentinels: places.slice(1 + replicaCount),
    };
    const master = await group.startServer(place.master);
    const replicaOf = [`replicaof ${master.host} ${master.port}`];
    const replicas = await Promise.all(place.replicas.map((replica) => group.startServer(replica, replicaOf)));
    await untilReplicasOnline(master, replicaCount);
    const sentinels = await Promise.all(
      place.sentinels.map((one) => group.startSentinel(one, sentinelConfig(one, place, options))),
    );
    const servers = [master, ...replicas];
    await until('the Sentinels know everybody', async () =>
      (await Promise.all(sentinels.map((sentinel) => knowsAll(sentinel, place)))).every(Boolean),
    );
    const hosts = sentinels.map(({ address }) => address).join(',');
    return {
      url: `${group.scheme}+sentinel://${group.userInfo}${hosts}/${MASTER_NAME}`,
      masterName: MASTER_NAME,
      servers,
      sentinels,
      master: () => namedMaster(servers, sentinels),
      settled: (boundMs) => settledMaster(servers, sentinels, boundMs),
      stop: () => group.stop(),
    };
  } catch (error) {
    await group.stop();
    throw error;
  }
}

interface PlacedServer extends ServerPlace {
  readonly host: string;
}

interface Place {
  readonly master: PlacedServer;
  readonly replicas: readonly PlacedServer[];
  readonly sentinels: readonly PlacedServer[];
}

const idOf = (port: number): string => createHash('sha1').update(String(port)).digest('hex');

/** Replicas and Sentinels are named beforehand: finding each other would take them seconds. */
function sentinelConfig(
  own: PlacedServer,
  { master, replicas, sentinels }: Place,
  { downAfterMs = 1000, failoverTimeoutMs = 3000, password }: SentinelOptions,
): string[] {
  const quorum = Math.floor(sentinels.length / 2) + 1;
  return [
    `sentinel myid ${idOf(own.port)}`,
    `sentinel monitor ${MASTER_NAME} ${master.host} ${master.port} ${quorum}`,
    `sentinel down-after-milliseconds ${MASTER_NAME} ${downAfterMs}`,
    `sentinel failover-timeout ${MASTER_NAME} ${failoverTimeoutMs}`,
    ...(password === undefined ? [] : [`sentinel auth-pass ${MASTER_NAME} ${password}`]),
    ...replicas.map(({ host, port }) => `sentinel known-replica ${MASTER_NAME} ${host} ${port}`),
    ...sentinels
      .filter((one) => one !== own)
      .map(({ host, port }) => `sentinel known-sentinel ${MASTER_NAME} ${host} ${port} ${idOf(port)}`),
  ];
}

/** It has heard of each replica from the master, and has connections to the other Sentinels. */
async function knowsAll(sentinel: ServerProcess, known: Place): Promise<boolean> {
  const replicas = await listOf(sentinel, 'REPLICAS');
  const others = await listOf(sentinel, 'SENTINELS');
  const isLinked = (fields: ReadonlyMap<string, string>): boolean =>
    fields.get('flags') === 'slave' && fields.get('master-link-status') === 'ok';
  return (
    replicas.filter(isLinked).length === known.replicas.length &&
    others.filter((fields) => fields.get('flags') === 'sentinel').length === known.sentinels.length - 1
  );
}

async function listOf(sentinel: ServerProcess, what: string): Promise<ReadonlyMap<string, string>[]> {
  const reply = (await sentinel.call('SENTINEL', what, MASTER_NAME)) as readonly (readonly string[])[];
  return reply.map(
    (texts) => new Map(texts.flatMap((name, at) => (at % 2 === 0 ? [[name, texts[at + 1] ?? '']] : []))),
  );
}

async function namedMaster(
  servers: readonly ServerProcess[],
  sentinels: readonly ServerProcess[],
): Promise<ServerProcess> {
  const running = sentinels.filter(({ isRunning }) => isRunning);
  const named = await Promise.all(running.map((one) => one.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', MASTER_NAME)));
  const ports = new Set(named.map((address) => (Array.isArray(address) ? Number(address[1]) : 0)));
  const master = servers.find(({ port }) => ports.size === 1 && ports.has(port));
  if (master === undefined || (await master.role()) !== 'master')
    throw new TandemError('TANDEM_STORE_UNREACHABLE', { detail: `no master; named: ${[...ports].join(', ')}` });
  return master;
}

async function settledMaster(
  servers: readonly ServerProcess[],
  sentinels: readonly ServerProcess[],
  boundMs: number | undefined,
): Promise<ServerProcess> {
  const find = async (): Promise<ServerProcess | undefined> => {
    const master = await namedMaster(servers, sentinels).catch(() => undefined);
    const others = servers.filter((server) => server !== master && server.isRunning);
    const online = String((await master?.call('INFO', 'replication').catch(() => '')) ?? '');
    const isOnline = ({ port }: ServerProcess): boolean => new RegExp(`port=${port},state=online`).test(online);
    return others.every(isOnline) ? master : undefined;
  };
  const master = await until('there is a master with all replicas', find, boundMs);
  return master as ServerProcess;
}
