/** Nodes on a store of Redis servers, each on a host of its own with a folder of its own. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../../src/core/testing/redis-servers/free-ports.ts';
import { until } from '../../src/core/testing/until.ts';
import { configText, NodeUnderTest } from '../node-under-test.ts';
import { isAlive, signal } from '../processes.ts';
import type { Hosts } from './hosts.ts';

export type RedisMode = 'active-active' | 'active-standby';

const NAMES = ['a', 'b', 'c', 'd', 'e'] as const;
export const nodeNames = (count: number): readonly string[] => NAMES.slice(0, count);

const START_TIMEOUT_MS = 60_000;

export interface RedisNodesOptions {
  /** For configs, outputs, handlers and data. */
  readonly folder: string;
  readonly hosts: Hosts;
  readonly url: string;
  readonly mode: RedisMode;
  readonly nodes: number;
  /** Of each node. */
  readonly workers: number;
  readonly workerHeartbeatTimeoutMs: number;
  readonly spool: { readonly bytesMax: number; readonly windowMs: number };
  /** Further lines of each config. */
  readonly extraConfig: string;
}

export class RedisNodes {
  readonly nodes: readonly NodeUnderTest[];
  readonly mode: RedisMode;

  static async create(options: RedisNodesOptions): Promise<RedisNodes> {
    const { folder, hosts, url, mode, workers: count, workerHeartbeatTimeoutMs } = options;
    const nodes: NodeUnderTest[] = [];
    for (const name of nodeNames(options.nodes)) {
      const [http, lines, frames, udp, admin] = (await freePorts(5)) as [number, number, number, number, number];
      const ports = { http, lines, frames, udp, admin };
      const host = hosts.canPart ? hosts.of(name) : undefined;
      const configFile = `node-${name}.yaml`;
      const { bytesMax, windowMs } = options.spool;
      const more = `engine: { url: '${url}', spool: { bytesMax: ${bytesMax}, windowMs: ${windowMs} } }
cluster: { mode: ${mode}, minTenureMs: 100, takeoversMax: 1000 }
${options.extraConfig}`;
      const workers = `{ count: ${count}, restartCountMax: 1000, heartbeatTimeoutMs: ${workerHeartbeatTimeoutMs} }`;
      const where = host === undefined ? {} : { host };
      writeFileSync(join(folder, configFile), configText({ data: `./data-${name}`, ports, workers, more, ...where }));
      nodes.push(new NodeUnderTest({ name, folder, ports, configFile, outputFile: `node-${name}.log`, ...where }));
    }
    return new RedisNodes(nodes, mode);
  }

  private constructor(nodes: readonly NodeUnderTest[], mode: RedisMode) {
    this.nodes = nodes;
    this.mode = mode;
  }

  async start(): Promise<void> {
    for (const node of this.nodes) node.spawn();
    await until(
      () => `all nodes are ready:\n${this.outputs()}`,
      async () => {
        const dead = this.nodes.find(({ isRunning }) => !isRunning);
        if (dead !== undefined) throw new RangeError(`node ${dead.name} has ended:\n${this.outputs()}`);
        return (await this.unready()).length === 0;
      },
      START_TIMEOUT_MS,
    );
  }

  /** Those that do not what they should: all get traffic, or one does and the others stand by, ready. */
  async unready(): Promise<string[]> {
    const states = await Promise.all(
      this.nodes.map(async (node) => ({
        name: node.name,
        isReady: await node.isReady(),
        role: (await node.status().catch(() => undefined))?.role,
      })),
    );
    if (this.mode === 'active-active') return states.filter(({ isReady }) => !isReady).map(({ name }) => name);
    const actives = states.filter(({ isReady, role }) => isReady && role === 'active');
    const others = states.filter(({ role }) => role !== 'standby' && role !== 'active');
    return [...others.map(({ name }) => name), ...(actives.length === 1 ? [] : [`${actives.length} actives`])];
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
