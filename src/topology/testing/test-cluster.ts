/** Starts clusters of whole nodes that share a data folder; they die with the test. */
import { readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import type { ClusterMode } from '../../core/contracts/cluster.ts';
import { freePort, LineClient, makeFolder, TestNode, until } from './test-node.ts';

export interface Status {
  readonly role: string;
  readonly term: number;
  readonly isReady: boolean;
  readonly keeperPid: number;
  readonly sparePids: readonly number[];
  readonly slots: readonly { readonly pid: number | null; readonly state: string }[];
  readonly fronts: readonly { readonly pid: number | null; readonly state: string }[];
  readonly cluster: {
    readonly peers: readonly { readonly facts: { readonly name: string; readonly isReady: boolean } }[];
  };
}

interface ClusterNode {
  readonly name: string;
  readonly admin: string;
  /** Of its line listener. */
  readonly lines: number;
  readonly config: object;
  node: TestNode;
}

/** Nodes of one folder. The first is active. */
export class Cluster {
  readonly lines: number;
  readonly nodes: readonly ClusterNode[];
  readonly #t: TestContext;

  /** In active-standby all would listen on the same port, in active-active each has its own. */
  static async start(
    t: TestContext,
    names: readonly string[],
    extra: object = {},
    mode: ClusterMode = 'active-standby',
  ): Promise<Cluster> {
    const shared = await freePort();
    const data = makeFolder(t);
    const nodes: ClusterNode[] = [];
    for (const name of names) {
      const admin = `http://127.0.0.1:${await freePort()}`;
      const lines = mode === 'active-standby' ? shared : await freePort();
      const listen = [`tcp://127.0.0.1:${lines}?topic=data_queue`];
      const cluster = { mode, minTenureMs: 0, heartbeatTimeoutMs: 500 };
      const config = { name, data, workers: 2, listen, admin, cluster, ...extra };
      const node = new TestNode(t, makeFolder(t), config);
      await node.event('node_ready');
      nodes.push({ name, admin, lines, config, node });
    }
    return new Cluster(t, shared, nodes);
  }

  constructor(t: TestContext, lines: number, nodes: readonly ClusterNode[]) {
    this.#t = t;
    this.lines = lines;
    this.nodes = nodes;
  }

  async get(name: string, path = '/admin/v1/status'): Promise<{ status: number; body: unknown }> {
    const response = await fetch(`${this.of(name).admin}${path}`);
    return { status: response.status, body: await response.json() };
  }

  async status(name: string): Promise<Status> {
    return (await this.get(name)).body as Status;
  }

  async switchover(name: string, body: object = {}): Promise<{ status: number; body: { [field: string]: unknown } }> {
    const response = await fetch(`${this.of(name).admin}/admin/v1/switchover`, {
      method: 'POST',
      body: JSON.stringify(body),
    });
    return { status: response.status, body: (await response.json()) as { [field: string]: unknown } };
  }

  of(name: string): ClusterNode {
    return this.nodes.find((each) => each.name === name) as ClusterNode;
  }

  async signalAll(name: string, signal: NodeJS.Signals): Promise<readonly number[]> {
    const { keeperPid, slots, fronts, sparePids } = await this.status(name);
    const pids = [keeperPid, ...[...slots, ...fronts].flatMap(({ pid }) => pid ?? []), ...sparePids];
    for (const pid of pids) process.kill(pid, signal);
    return pids;
  }

  async restart(name: string): Promise<void> {
    const node = this.of(name);
    await node.node.exitCode();
    node.node = new TestNode(this.#t, node.node.folder, node.config);
    await node.node.event('node_ready');
  }

  async isReadyAsSeenBy(name: string, peer: string): Promise<boolean> {
    const { peers } = (await this.status(name)).cluster;
    return peers.some(({ facts }) => facts.name === peer && facts.isReady);
  }

  /** Until `name` is active and serves. */
  activated(name: string): Promise<Status> {
    return until(`${name} is active`, async () => {
      const status = await this.status(name);
      return status.role === 'active' && status.isReady ? status : undefined;
    });
  }

  /** The place at which the record was stored, by whoever is active by then. */
  store(text: string): Promise<string> {
    return until(`${text} is acked`, async () => {
      const answer = await new LineClient(this.#t, this.lines).send(text);
      return answer?.startsWith('OK ') === true ? answer : undefined;
    });
  }

  /** A node serves some milliseconds before it says that it is active. */
  records(): Promise<number> {
    return until('a node is active', async () => {
      for (const { name } of this.nodes) {
        const answer = await this.get(name, '/admin/v1/topics').catch(() => undefined);
        if (answer?.status !== 200) continue;
        const topics = answer.body as { partitions: { nextOffset: number }[] }[];
        return topics.flatMap(({ partitions }) => partitions).reduce((sum, { nextOffset }) => sum + nextOffset, 0);
      }
      return undefined;
    });
  }
}

export const isGone = (pid: number): boolean => {
  try {
    return /^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return true;
  }
};
