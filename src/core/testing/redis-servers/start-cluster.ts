/** A cluster for a test. */
import { createHash } from 'node:crypto';
import { TandemError } from '../../errors.ts';
import { until } from '../until.ts';
import { freePorts } from './free-ports.ts';
import { writesShardIds } from './installed.ts';
import { ServerGroup, type ServerOptions, type TestScope } from './server-group.ts';
import type { ServerProcess } from './server-process.ts';

export interface ClusterOptions extends ServerOptions {
  /** Default 3. */
  readonly masters?: number;
  /** Default 1. */
  readonly replicasPerMaster?: number;
  /** Default 1000. */
  readonly nodeTimeoutMs?: number;
}

export interface StartedCluster {
  readonly url: string;
  /** First those that begin as masters, with equal shares of the slots in order, then those that begin as replicas. */
  readonly servers: readonly ServerProcess[];
  readonly slotCount: number;
  /** Who serves this slot, as most of the running nodes see it, if that one runs and says that it is master; else rejects. */
  ownerOf(slot: number): Promise<ServerProcess>;
  /** The id of a node. */
  idOf(server: ServerProcess): string;
  /** Resolves when all running nodes say that the cluster is well and `count` replicas are in sync; or rejects after `boundMs`. */
  settled(replicas?: number, boundMs?: number): Promise<void>;
  /** Moves all of a slot, empty or not, to the master `to`. Resolves when all nodes know. */
  migrate(slot: number, to: ServerProcess): Promise<void>;
  /** Ends them and removes what they stored. Idempotent. */
  stop(): Promise<void>;
}

const SLOTS = 16_384;

/** A busy machine makes nodes suspect each other for a while. */
const SETTLED_WITHIN_MS = 60_000;

/** Ready for a failover when it resolves, which takes Redis 2 s. With a test it ends with it; without one call `stop`. */
export async function startCluster(test?: TestScope, options: ClusterOptions = {}): Promise<StartedCluster> {
  const { masters = 3, replicasPerMaster = 1, nodeTimeoutMs = 1000 } = options;
  const group = new ServerGroup(options, test);
  try {
    const count = masters * (1 + replicasPerMaster);
    const ports = await freePorts(2 * count);
    const nodes = Array.from({ length: count }, (_, index) => ({
      ...nodeAt(index, ports, masters),
      host: group.hostAt(index).address,
    }));
    const servers = await Promise.all(
      nodes.map((node) => {
        const config = [
          'cluster-enabled yes',
          'cluster-config-file nodes.conf',
          `cluster-port ${node.busPort}`,
          `cluster-node-timeout ${nodeTimeoutMs}`,
        ];
        return group.startServer(node, config, { 'nodes.conf': nodesFile(node, nodes, masters) });
      }),
    );
    const cluster = new RunningCluster(group, servers, nodes);
    await cluster.settled(masters * replicasPerMaster);
    return cluster;
  } catch (error) {
    await group.stop();
    throw error;
  }
}

interface Node {
  readonly id: string;
  readonly index: number;
  readonly host: string;
  readonly port: number;
  readonly busPort: number;
  /** Index of its master; its own if it is one. */
  readonly master: number;
}

const nodeAt = (index: number, ports: readonly number[], masters: number): Omit<Node, 'host'> => {
  const port = ports[2 * index] ?? 0;
  return {
    id: createHash('sha1').update(String(port)).digest('hex'),
    index,
    port,
    busPort: ports[2 * index + 1] ?? 0,
    master: index % masters,
  };
};

/** What the nodes would write themselves after they were introduced to each other, which would take them seconds. */
function nodesFile(own: Node, nodes: readonly Node[], masters: number): string {
  const hasShards = writesShardIds();
  const lines = nodes.map((node) => {
    const { id, index, host, port, busPort, master } = node;
    const shard = hasShards ? `,,shard-id=${nodes[master]?.id}` : '';
    const flags = `${node === own ? 'myself,' : ''}${master === index ? 'master' : 'slave'}`;
    const first = Math.floor((index * SLOTS) / masters);
    const last = Math.floor(((index + 1) * SLOTS) / masters) - 1;
    const slots = master === index ? ` ${first}-${last}` : '';
    const masterId = master === index ? '-' : nodes[master]?.id;
    return `${id} ${host}:${port}@${busPort}${shard} ${flags} ${masterId} 0 0 ${master + 1} connected${slots}`;
  });
  return `${lines.join('\n')}\nvars currentEpoch ${masters} lastVoteEpoch 0\n`;
}

class RunningCluster implements StartedCluster {
  readonly url: string;
  readonly servers: readonly ServerProcess[];
  readonly slotCount = SLOTS;
  readonly #group: ServerGroup;
  readonly #nodes: readonly Node[];

  constructor(group: ServerGroup, servers: readonly ServerProcess[], nodes: readonly Node[]) {
    this.#group = group;
    this.servers = servers;
    this.#nodes = nodes;
    this.url = `${group.scheme}+cluster://${group.userInfo}${servers.map(({ address }) => address).join(',')}`;
  }

  idOf(server: ServerProcess): string {
    return this.#nodes.find(({ port }) => port === server.port)?.id ?? '';
  }

  async ownerOf(slot: number): Promise<ServerProcess> {
    const views = await Promise.all(this.#running().map((server) => ownerPort(server, slot).catch(() => 0)));
    const ports = views.filter((port) => port !== 0);
    const isMost = (port: number): boolean => 2 * ports.filter((other) => other === port).length > ports.length;
    const owner = this.servers.find(({ port }) => isMost(port));
    if (owner === undefined || (await owner.role()) !== 'master')
      throw new TandemError('TANDEM_STORE_UNREACHABLE', { detail: `slot ${slot} is served by nobody` });
    return owner;
  }

  async settled(replicas = 0, boundMs = SETTLED_WITHIN_MS): Promise<void> {
    const isWell = async (): Promise<boolean> => {
      const states = await Promise.all(this.#running().map((server) => server.info('replication', 'role')));
      const wells = await Promise.all(this.#running().map((server) => server.call('CLUSTER', 'INFO')));
      const linked = await Promise.all(
        this.#running().map((server) => server.info('replication', 'master_link_status')),
      );
      const known = await Promise.all(this.#running().map((server) => server.call('CLUSTER', 'NODES')));
      return (
        states.includes('master') &&
        wells.every((info) => String(info).includes('cluster_state:ok')) &&
        known.every((text) => !/ (disconnected|fail)|handshake/.test(String(text)) || this.#isPartial()) &&
        linked.filter((status) => status === 'up').length >= replicas
      );
    };
    await until('the cluster is well', () => isWell().catch(() => false), boundMs);
  }

  async migrate(slot: number, to: ServerProcess): Promise<void> {
    const from = await this.ownerOf(slot);
    const number = String(slot);
    await to.call('CLUSTER', 'SETSLOT', number, 'IMPORTING', this.idOf(from));
    await from.call('CLUSTER', 'SETSLOT', number, 'MIGRATING', this.idOf(to));
    for (;;) {
      const keys = (await from.call('CLUSTER', 'GETKEYSINSLOT', number, '100')) as readonly string[];
      if (keys.length === 0) break;
      await from.call('MIGRATE', to.host, String(to.port), '', '0', '5000', 'KEYS', ...keys);
    }
    // The target first: it raises its epoch, and so the others believe it.
    for (const server of [to, from]) await server.call('CLUSTER', 'SETSLOT', number, 'NODE', this.idOf(to));
    await until('all nodes know', async () => {
      const views = await Promise.all(this.#running().map((server) => ownerPort(server, slot)));
      return views.every((port) => port === to.port);
    });
  }

  stop(): Promise<void> {
    return this.#group.stop();
  }

  #running(): ServerProcess[] {
    return this.servers.filter(({ isRunning }) => isRunning);
  }

  #isPartial(): boolean {
    return this.#running().length < this.servers.length;
  }
}

/** 0: nobody's. */
async function ownerPort(server: ServerProcess, slot: number): Promise<number> {
  const ranges = (await server.call('CLUSTER', 'SLOTS')) as readonly (readonly [
    number,
    number,
    readonly [string, number],
  ])[];
  return ranges.find(([first, last]) => first <= slot && slot <= last)?.[2][1] ?? 0;
}
