/** Nodes on one Redis server, each with ports and data of its own, as if on hosts of their own. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { configText, freePorts, NodeUnderTest } from '../../chaos/node-under-test.ts';
import { signal } from '../../chaos/processes.ts';

export interface RedisNodesOptions {
  readonly url: string;
  readonly nodes: number;
  readonly workers: number;
  /** Further lines of each config. */
  readonly config: string;
}

export class RedisNodes {
  readonly nodes: readonly NodeUnderTest[];
  readonly #folder: string;

  static async create({ url, nodes: count, workers, config }: RedisNodesOptions): Promise<RedisNodes> {
    const folder = mkdtempSync(join(tmpdir(), 'tandem-bench-'));
    const nodes: NodeUnderTest[] = [];
    for (let i = 0; i < count; i++) {
      const name = `node-${i}`;
      const [http, lines, frames, udp, admin] = (await freePorts(5)) as [number, number, number, number, number];
      const ports = { http, lines, frames, udp, admin };
      const configFile = `${name}.yaml`;
      const more = `engine: { url: '${url}' }\n${config}`;
      const text = configText({ data: `./data-${name}`, ports, workers: `${workers}`, more });
      writeFileSync(join(folder, configFile), text);
      nodes.push(new NodeUnderTest({ name, folder, ports, configFile, outputFile: `${name}.log` }));
    }
    return new RedisNodes(nodes, folder);
  }

  constructor(nodes: readonly NodeUnderTest[], folder: string) {
    this.nodes = nodes;
    this.#folder = folder;
  }

  /** Ends all processes, stopped ones too, and removes what they stored. */
  async discard(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.killAll()));
    for (const { pid } of this.nodes.flatMap((node) => node.survivors())) signal(pid, 'SIGKILL');
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
