/** A real `tandem up` that can be killed or stopped in part or whole and started again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ServerHost, THIS_HOST } from '../src/core/testing/redis-servers/server-process.ts';
import { until } from '../src/core/testing/until.ts';
import { childPids, isAlive, type ProcessId, processId, signal } from './processes.ts';

/** This checkout's sources, unless the environment names another (`npm run bench`: what is published). */
const launcher = (): string =>
  process.env['TANDEM_LAUNCHER'] ?? fileURLToPath(new URL('../bin/tandem.js', import.meta.url));
const START_TIMEOUT_MS = 30_000;

export interface DataPorts {
  readonly http: number;
  readonly lines: number;
  readonly frames: number;
  readonly udp: number;
}

export interface Ports extends DataPorts {
  readonly admin: number;
}

export interface NodeParts {
  readonly name: string;
  /** Where its config, its output and the files of its handlers are. */
  readonly folder: string;
  readonly ports: Ports;
  readonly configFile: string;
  readonly outputFile: string;
  /** Default: this machine. */
  readonly host?: ServerHost;
}

/** What a drill looks at of a node's status. */
export interface NodeStatus {
  readonly role: 'active' | 'standby';
  readonly isReady: boolean;
  readonly cluster: {
    readonly peers: readonly {
      readonly facts: { readonly name: string; readonly role: string; readonly isReady: boolean };
      readonly isLost: boolean;
    }[];
  };
}

/** One life of a node. Monotonic ms. */
export interface NodeLife {
  readonly node: string;
  readonly keeper: ProcessId;
  /** What was seen of it and may live: the keeper, workers, spares. */
  readonly processes: Map<number, ProcessId>;
  readonly startedMs: number;
  endedMs?: number;
  /** It was killed or told to stop from here, or hung on purpose. */
  wasHarmed: boolean;
  exitCode?: number | null;
}

export class NodeUnderTest {
  readonly name: string;
  readonly folder: string;
  readonly ports: Ports;
  readonly host: ServerHost;
  readonly lives: NodeLife[] = [];
  readonly #parts: NodeParts;
  #keeper: ChildProcess | undefined;

  /** A node alone, with ports and a config file of its own in `folder`. */
  static async create(folder: string, workers: number, extraConfig = ''): Promise<NodeUnderTest> {
    const [http, lines, frames, udp, admin] = (await freePorts(5)) as [number, number, number, number, number];
    const ports = { http, lines, frames, udp, admin };
    const workersConfig = `{ count: ${workers}, restartCountMax: 1000, heartbeatTimeoutMs: 2000 }`;
    const text = configText({ data: './data', ports, workers: workersConfig, more: extraConfig });
    writeFileSync(join(folder, 'tandem.yaml'), text);
    return new NodeUnderTest({
      name: 'drill',
      folder,
      ports,
      configFile: 'tandem.yaml',
      outputFile: 'output.txt',
    });
  }

  constructor(parts: NodeParts) {
    this.#parts = parts;
    this.name = parts.name;
    this.folder = parts.folder;
    this.ports = parts.ports;
    this.host = parts.host ?? THIS_HOST;
  }

  /** Starts it and waits until it gets traffic. */
  async start(): Promise<void> {
    const life = this.spawn();
    await until(
      () => `the node is ready:\n${this.output()}`,
      async () => {
        if (life.endedMs !== undefined)
          throw new RangeError(`tandem up ended with ${life.exitCode}:\n${this.output()}`);
        return this.isReady();
      },
      START_TIMEOUT_MS,
    );
  }

  /** Starts it. Does nothing if it runs. */
  spawn(): NodeLife {
    const running = this.lives.at(-1);
    if (running !== undefined && this.isRunning) return running;
    const output = openSync(this.#outputPath, 'a');
    const config = join(this.folder, this.#parts.configFile);
    const tandem = [process.execPath, launcher(), 'up', '--config', config, '--name', this.name];
    const [command, ...args] = [...this.host.launcher, ...tandem] as [string, ...string[]];
    const keeper = spawn(command, args, { stdio: ['ignore', output, output] });
    closeSync(output);
    this.#keeper = keeper;
    const pid = keeper.pid as number;
    const id = processId(pid) ?? { pid, startTime: '' };
    const startedMs = performance.now();
    const processes = new Map([[pid, id]]);
    const life: NodeLife = { node: this.name, keeper: id, processes, startedMs, wasHarmed: false };
    this.lives.push(life);
    keeper.once('exit', (code) => {
      life.endedMs = performance.now();
      life.exitCode = code;
    });
    return life;
  }

  get adminUrl(): string {
    return `http://${this.host.address}:${this.ports.admin}`;
  }

  async isReady(): Promise<boolean> {
    try {
      return (await fetch(`${this.adminUrl}/readyz`)).status === 200;
    } catch {
      return false;
    }
  }

  /** As it answers at its admin address. Rejects if it does not. */
  async status(): Promise<NodeStatus> {
    const response = await fetch(`${this.adminUrl}/admin/v1/status`);
    return (await response.json()) as NodeStatus;
  }

  get isRunning(): boolean {
    return this.#keeper !== undefined && this.#keeper.exitCode === null && this.#keeper.signalCode === null;
  }

  get keeperPid(): number {
    return this.#keeper?.pid ?? -1;
  }

  /** The keeper's children now: workers and the spare. */
  workerPids(): number[] {
    const pids = this.isRunning ? childPids(this.keeperPid) : [];
    const life = this.lives.at(-1);
    for (const pid of pids) {
      const id = life?.processes.has(pid) === true ? undefined : processId(pid);
      if (id !== undefined) life?.processes.set(pid, id);
    }
    return pids;
  }

  /** One of the keeper's children, chosen by `fraction` in [0, 1). */
  pickWorker(fraction: number): number | undefined {
    const pids = this.workerPids();
    return pids[Math.floor(fraction * pids.length)];
  }

  killWorker(fraction: number): void {
    const pid = this.pickWorker(fraction);
    if (pid !== undefined) signal(pid, 'SIGKILL');
  }

  /** SIGKILLs the keeper alone; its workers must go by themselves. */
  async killKeeper(): Promise<void> {
    const keeper = this.#keeper;
    if (keeper === undefined || !this.isRunning) return;
    this.harm();
    const exited = once(keeper, 'exit');
    signal(keeper.pid as number, 'SIGKILL');
    await exited;
  }

  /** SIGKILLs everything at once. */
  async killAll(): Promise<void> {
    const pids = this.workerPids();
    const killed = this.killKeeper();
    for (const pid of pids) signal(pid, 'SIGKILL');
    await killed;
  }

  /** SIGSTOPs everything: it keeps its sockets and its locks, and does nothing. The keeper first, so that it forks no more. */
  hang(): void {
    this.harm();
    signal(this.keeperPid, 'SIGSTOP');
    for (const pid of this.workerPids()) signal(pid, 'SIGSTOP');
  }

  /** SIGCONTs everything. */
  wake(): void {
    for (const pid of this.workerPids()) signal(pid, 'SIGCONT');
    if (this.isRunning) signal(this.keeperPid, 'SIGCONT');
  }

  /** SIGTERM; waits for the end. Returns the exit code. */
  async stop(): Promise<number | null> {
    const keeper = this.#keeper;
    if (keeper === undefined || !this.isRunning) return keeper?.exitCode ?? null;
    this.harm();
    const exited = once(keeper, 'exit');
    keeper.kill('SIGTERM');
    await exited;
    return keeper.exitCode;
  }

  /** What happens to this life from now on was not its own fault. */
  harm(): void {
    const life = this.lives.at(-1);
    if (life !== undefined && this.isRunning) life.wasHarmed = true;
  }

  /** Of earlier lives and of this one's end: processes that live, though their keeper is dead. */
  survivors(): ProcessId[] {
    const dead = this.lives.filter(({ endedMs }) => endedMs !== undefined);
    return dead.flatMap(({ processes }) => [...processes.values()].filter(isAlive));
  }

  output(): string {
    return readFileSync(this.#outputPath, 'utf8');
  }

  get #outputPath(): string {
    return join(this.folder, this.#parts.outputFile);
  }
}

export interface ConfigParts {
  readonly data: string;
  readonly ports: Ports;
  readonly workers: string;
  readonly more: string;
  readonly host?: ServerHost;
}

/** Of a node in a drill. A drill kills more often than any budget allows. */
export function configText({ data, ports, workers, more, host = THIS_HOST }: ConfigParts): string {
  const { http, lines, frames, udp, admin } = ports;
  const at = (url: string): string => (host === THIS_HOST ? url : `{ url: '${url}', insecure: true }`);
  const { address } = host;
  return `data: ${data}
workers: ${workers}
listen:
  - ${at(`http://${address}:${http}`)}
  - ${at(`tcp://${address}:${lines}?topic=data_queue`)}
  - ${at(`tcp://${address}:${frames}?topic=data_queue&framing=length`)}
  - ${at(`udp://${address}:${udp}?topic=data_queue&ack=offset`)}
admin: ${at(`http://${address}:${admin}`)}
${more}`;
}

/** Ports that are free for TCP now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(servers.map((server) => once(server.listen(0, '127.0.0.1'), 'listening')));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
