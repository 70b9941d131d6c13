/** Several nodes on one data folder, with the same data ports: whoever is active binds them. Each has an admin port of its own. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../src/core/testing/until.ts';
import { configText, type DataPorts, freePorts, NodeUnderTest } from './node-under-test.ts';
import { isAlive, signal } from './processes.ts';

const NAMES = ['a', 'b', 'c', 'd', 'e'] as const;
const START_TIMEOUT_MS = 60_000;

export interface ClusterOptions {
  /** For configs and outputs. */
  readonly folder: string;
  readonly dataFolder: string;
  readonly nodes: number;
  /** Of each node. */
  readonly workers: number;
  /** An active node that is silent for so long is ended. */
  readonly heartbeatTimeoutMs: number;
  readonly workerHeartbeatTimeoutMs: number;
  readonly extraConfig: string;
}

export class ClusterUnderTest {
  readonly nodes: readonly NodeUnderTest[];
  readonly ports: DataPorts;

  static async create(options: ClusterOptions): Promise<ClusterUnderTest> {
    const { folder, nodes: count, workers, heartbeatTimeoutMs, workerHeartbeatTimeoutMs } = options;
    const [http, lines, frames, udp, ...adminPorts] = await freePorts(4 + count);
    const ports = { http, lines, frames, udp } as DataPorts;
    const mode = count === 1 ? 'single' : 'active-standby';
    const more = `cluster: { mode: ${mode}, heartbeatTimeoutMs: ${heartbeatTimeoutMs}, minTenureMs: 100, takeoversMax: 1000 }
${options.extraConfig}`;
    const nodes = NAMES.slice(0, count).map((name, i) => {
      const nodePorts = { ...ports, admin: adminPorts[i] as number };
      const workersConfig = `{ count: ${workers}, restartCountMax: 1000, heartbeatTimeoutMs: ${workerHeartbeatTimeoutMs} }`;
      const configFile = `node-${name}.yaml`;
      const parts = { data: options.dataFolder, ports: nodePorts, workers: workersConfig, more };
      writeFileSync(join(folder, configFile), configText(parts));
      return new NodeUnderTest({ name, folder, ports: nodePorts, configFile, outputFile: `node-${name}.log` });
    });
    return new ClusterUnderTest(nodes, ports);
  }

  constructor(nodes: readonly NodeUnderTest[], ports: DataPorts) {
    this.nodes = nodes;
    this.ports = ports;
  }

  /** Starts all nodes; resolves when one of them gets traffic. */
  async start(): Promise<void> {
    for (const node of this.nodes) node.spawn();
    await until(
      () => `one of the nodes is ready:\n${this.outputs()}`,
      async () => {
        if (!this.nodes.some(({ isRunning }) => isRunning)) throw new RangeError(`no node runs:\n${this.outputs()}`);
        return (await Promise.all(this.nodes.map((node) => node.isReady()))).some(Boolean);
      },
      START_TIMEOUT_MS,
    );
  }

  /** Those that do not what they should: one gets traffic, the others could take over, as it sees them. */
  async unready(active: NodeUnderTest | undefined): Promise<string[]> {
    const names = this.nodes.map(({ name }) => name);
    const status = await active?.status().catch(() => undefined);
    if (active === undefined || status?.role !== 'active' || !status.isReady) return names;
    const ready = status.cluster.peers.filter(
      ({ facts, isLost }) => facts.role === 'standby' && facts.isReady && !isLost,
    );
    return names.filter((name) => name !== active.name && !ready.some(({ facts }) => facts.name === name));
  }

  async killAll(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.killAll()));
    for (const { pid } of this.nodes.flatMap((node) => node.survivors())) signal(pid, 'SIGKILL');
  }

  /** At once, for the end of this process. */
  killAllNow(): void {
    for (const { lives } of this.nodes)
      for (const { processes } of lives)
        for (const each of processes.values()) if (isAlive(each)) signal(each.pid, 'SIGKILL');
  }

  /** The end of what each node has written. */
  outputs(): string {
    return this.nodes.map((node) => `${node.name}: ${node.output().slice(-2000)}`).join('\n');
  }
}
