/** The nodes of the demo: one data folder, the same data ports for whoever is active, an admin port for each. */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { TandemError } from '../../core/errors.ts';
import { DemoNode, type UnaskedEnd } from './demo-node.ts';
import { ProcessGuard } from './process-guard.ts';
import { waitUntil } from './wait-until.ts';

export const TOPIC = 'demo';
const NAMES = ['a', 'b', 'c', 'd', 'e'] as const;
const PARTITIONS = 4;
const WORKERS = 1;
const END_TIMEOUT_MS = 10_000;

/**
 * Faults every few seconds for minutes: that is what the protection against flapping (takeoversMax) and the least time between switchovers
 * (minTenureMs) are there to slow down. Here they would be in the way.
 */
const PROTECTIONS = 'minTenureMs: 0, takeoversMax: 1000000';

export interface DemoClusterOptions {
  /** The program `tandem`. */
  readonly program: string;
  /** For configs and logs, and `data/` in it. */
  readonly folder: string;
  readonly nodes: number;
  /** A node ended that nobody here had harmed. It is started again. */
  readonly onEndedUnasked: (node: string, end: UnaskedEnd) => void;
}

export class DemoCluster {
  readonly nodes: readonly DemoNode[];
  readonly url: string;
  readonly linesPort: number;
  #isEnding = false;

  /** Nothing runs yet. */
  static async create(options: DemoClusterOptions): Promise<DemoCluster> {
    const [httpPort, linesPort, ...adminPorts] = await freePorts(2 + options.nodes);
    return new DemoCluster(options, httpPort as number, linesPort as number, adminPorts);
  }

  constructor(options: DemoClusterOptions, httpPort: number, linesPort: number, adminPorts: readonly number[]) {
    const { program, folder, onEndedUnasked } = options;
    const guard = new ProcessGuard();
    this.url = `http://127.0.0.1:${httpPort}`;
    this.linesPort = linesPort;
    this.nodes = adminPorts.map((adminPort, i) => {
      const name = NAMES[i] as string;
      const configFile = join(folder, `${name}.yaml`);
      writeFileSync(configFile, configText(httpPort, linesPort, adminPort));
      const node: DemoNode = new DemoNode({
        ...{ program, name, configFile, logFile: join(folder, `${name}.log`), adminPort, guard },
        onEndedUnasked: (end) => {
          if (this.#isEnding) return;
          onEndedUnasked(name, end);
          node.start();
        },
      });
      return node;
    });
  }

  start(): void {
    for (const node of this.nodes) node.start();
  }

  /** SIGKILLs everything; resolves when it is gone. */
  async end(): Promise<void> {
    this.killNow();
    await waitUntil(() => this.nodes.every(({ condition }) => condition === 'down'), END_TIMEOUT_MS);
  }

  /** The same for the end of this process, without waiting. */
  killNow(): void {
    this.#isEnding = true;
    for (const node of this.nodes) node.kill();
  }
}

const configText = (httpPort: number, linesPort: number, adminPort: number): string => `data: ./data
workers: ${WORKERS}
listen: [http://127.0.0.1:${httpPort}, "tcp://127.0.0.1:${linesPort}?topic=${TOPIC}"]
admin: http://127.0.0.1:${adminPort}
topics: { ${TOPIC}: { partitions: ${PARTITIONS} } }
cluster: { mode: active-standby, ${PROTECTIONS} }
`;

/** Errors: TANDEM_LISTEN_FAILED. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  try {
    await Promise.all(servers.map((server) => once(server, 'listening')));
    return servers.map((server) => (server.address() as { readonly port: number }).port);
  } catch (error) {
    throw new TandemError('TANDEM_LISTEN_FAILED', { detail: 'no free ports on 127.0.0.1', cause: error });
  } finally {
    for (const server of servers) server.close();
  }
}
