/** Nodes of one data folder, each with ports of its own, as a load balancer on the same machine needs them. */
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { until } from '../../src/core/testing/until.ts';
import { freePorts, NodeUnderTest } from '../node-under-test.ts';
import { signal } from '../processes.ts';

const NAMES = ['a', 'b', 'c'] as const;
const PORTS_PER_NODE = 5;

/** The load balancer's own. */
export interface FrontPorts {
  readonly http: number;
  readonly lines: number;
  readonly udp: number;
}

const PATIENCE_MS = 30_000;
const HEARTBEAT_TIMEOUT_MS = 1000;

interface SwitchoverReport {
  readonly pauseMs: number;
  readonly recordsLost: number;
}

export interface ClusterOptions {
  readonly count: 1 | 3;
  /** The listeners want the PROXY protocol. */
  readonly isProxied: boolean;
}

type ClusterParts = Pick<BalancedCluster, 'nodes' | 'configPaths' | 'agentPorts' | 'front'>;

export class BalancedCluster {
  readonly nodes: readonly NodeUnderTest[];
  /** Of the nodes' agent-checks. */
  readonly agentPorts: readonly number[];
  readonly configPaths: readonly string[];
  /** Free ports for a load balancer. */
  readonly front: FrontPorts;

  static async create(folder: string, { count, isProxied }: ClusterOptions): Promise<BalancedCluster> {
    const names = NAMES.slice(0, count);
    const [configPaths, agentPorts]: [string[], number[]] = [[], []];
    const nodes: NodeUnderTest[] = [];
    // All at once, or some would come twice.
    const free = await freePorts(3 + PORTS_PER_NODE * names.length);
    const [http = 0, lines = 0, udp = 0] = free.splice(0, 3);
    const front = { http, lines, udp };
    for (const name of names) {
      const [http = 0, lines = 0, udp = 0, admin = 0, agent = 0] = free.splice(0, PORTS_PER_NODE);
      const configFile = `node-${name}.yaml`;
      agentPorts.push(agent);
      configPaths.push(join(folder, configFile));
      const on = isProxied ? 'proxy=on' : 'proxy=off';
      const config = `name: ${name}
data: ./data
workers: { count: 1, restartCountMax: 1000 }
listen:
  - http://127.0.0.1:${http}?${on}
  - tcp://127.0.0.1:${lines}?topic=data_queue&${on}
  - udp://127.0.0.1:${udp}?topic=data_queue&ack=offset&${on}
admin: { url: 'http://127.0.0.1:${admin}', agentCheck: '127.0.0.1:${agent}' }
cluster: { mode: active-standby, heartbeatTimeoutMs: ${HEARTBEAT_TIMEOUT_MS}, minTenureMs: 100, takeoversMax: 1000 }
`;
      writeFileSync(join(folder, configFile), config);
      const ports = { http, lines, udp, admin, frames: 0 };
      nodes.push(new NodeUnderTest({ name, folder, ports, configFile, outputFile: `node-${name}.log` }));
    }
    return new BalancedCluster({ nodes, configPaths, agentPorts, front });
  }

  constructor({ nodes, configPaths, agentPorts, front }: ClusterParts) {
    this.nodes = nodes;
    this.configPaths = configPaths;
    this.agentPorts = agentPorts;
    this.front = front;
  }

  /** Starts those that do not run; resolves with the active one when the others are ready to take over. */
  async settle(): Promise<NodeUnderTest> {
    for (const node of this.nodes) node.spawn();
    return until(
      () => `one node is active and the others are ready:\n${this.#outputs()}`,
      async () => {
        const statuses = await Promise.all(this.nodes.map(statusOf));
        return this.nodes.find((_, i) => isSettled(statuses[i], this.nodes.length - 1));
      },
      PATIENCE_MS,
    ) as Promise<NodeUnderTest>;
  }

  /** What each node tells a load balancer: the status of /readyz, the role in it, and the line of the agent-check. */
  told(): Promise<string[]> {
    return Promise.all(
      this.nodes.map(async ({ ports }, i) => {
        const response = await fetch(`http://127.0.0.1:${ports.admin}/readyz`);
        const { role } = (await response.json()) as { readonly role: string };
        const agent = await connect(this.agentPorts[i] as number, '127.0.0.1').toArray();
        return `${response.status} ${role}, ${Buffer.concat(agent as Buffer[])}`;
      }),
    );
  }

  /**
   * Asks the nodes for a planned switchover; resolves with its report. On a machine that is busy with other things a node may be taken for
   * hung, or lose the other: it is asked again then, as an operator would.
   */
  async switchOver(): Promise<SwitchoverReport> {
    const [node] = this.nodes;
    let answer = '';
    const report = await until(
      () => `the switchover is done: ${answer}`,
      async () => {
        const response = await fetch(`http://127.0.0.1:${node?.ports.admin}/admin/v1/switchover`, { method: 'POST' });
        answer = await response.text();
        if (response.status === 200) return JSON.parse(answer) as SwitchoverReport;
        if (response.status !== 503 && response.status !== 409) throw new RangeError(`switchover: ${answer}`);
        return undefined;
      },
      PATIENCE_MS,
    );
    return report as SwitchoverReport;
  }

  async end(): Promise<void> {
    for (const node of this.nodes) node.wake();
    await Promise.all(this.nodes.map((node) => node.killAll()));
    for (const { pid } of this.nodes.flatMap((node) => node.survivors())) signal(pid, 'SIGKILL');
  }

  #outputs(): string {
    return this.nodes.map((node) => `${node.name}: ${node.output().slice(-2000)}`).join('\n');
  }
}

interface Status {
  readonly role: string;
  readonly isReady: boolean;
  readonly cluster: {
    readonly peers: readonly {
      readonly isLost: boolean;
      readonly facts: { readonly role: string; readonly isReady: boolean };
    }[];
  };
}

/** undefined: no answer. */
async function statusOf({ ports }: NodeUnderTest): Promise<Status | undefined> {
  try {
    return (await (await fetch(`http://127.0.0.1:${ports.admin}/admin/v1/status`)).json()) as Status;
  } catch {
    return undefined;
  }
}

/** It is active, and knows so many standbys that could take over. */
function isSettled(status: Status | undefined, standbys: number): boolean {
  if (status?.role !== 'active' || !status.isReady) return false;
  const ready = status.cluster.peers.filter(
    ({ isLost, facts }) => !isLost && facts.role === 'standby' && facts.isReady,
  );
  return ready.length === standbys;
}
