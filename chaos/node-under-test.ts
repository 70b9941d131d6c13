/** A real `tandem up` in a folder of its own, with fixed ports, that can be killed in part or whole and started again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from '../src/core/testing/until.ts';

const LAUNCHER = fileURLToPath(new URL('../bin/tandem.js', import.meta.url));
const START_TIMEOUT_MS = 30_000;

export interface Ports {
  readonly http: number;
  readonly lines: number;
  readonly frames: number;
  readonly udp: number;
  readonly admin: number;
}

export class NodeUnderTest {
  readonly folder: string;
  readonly ports: Ports;
  #keeper: ChildProcess | undefined;

  static async create(folder: string, workers: number, extraConfig = ''): Promise<NodeUnderTest> {
    const [http, lines, frames, udp, admin] = (await freePorts(5)) as [number, number, number, number, number];
    const config = `name: drill
data: ./data
# A drill kills more often than any budget allows.
workers: { count: ${workers}, restartCountMax: 1000, heartbeatTimeoutMs: 2000 }
listen:
  - http://127.0.0.1:${http}
  - tcp://127.0.0.1:${lines}?topic=data_queue
  - tcp://127.0.0.1:${frames}?topic=data_queue&framing=length
  - udp://127.0.0.1:${udp}?topic=data_queue&ack=offset
admin: http://127.0.0.1:${admin}
${extraConfig}`;
    writeFileSync(join(folder, 'tandem.yaml'), config);
    return new NodeUnderTest(folder, { http, lines, frames, udp, admin });
  }

  constructor(folder: string, ports: Ports) {
    this.folder = folder;
    this.ports = ports;
  }

  /** Starts it and waits until it is ready. */
  async start(): Promise<void> {
    const output = openSync(this.#outputPath, 'a');
    const keeper = spawn(process.execPath, [LAUNCHER, 'up', '--config', join(this.folder, 'tandem.yaml')], {
      stdio: ['ignore', output, output],
    });
    closeSync(output);
    this.#keeper = keeper;
    await until(
      () => `the node is ready:\n${this.output()}`,
      async () => {
        if (keeper.exitCode !== null)
          throw new RangeError(`tandem up ended with ${keeper.exitCode}:\n${this.output()}`);
        return this.isReady();
      },
      START_TIMEOUT_MS,
    );
  }

  async isReady(): Promise<boolean> {
    try {
      return (await fetch(`http://127.0.0.1:${this.ports.admin}/readyz`)).status === 200;
    } catch {
      return false;
    }
  }

  get isRunning(): boolean {
    return this.#keeper !== undefined && this.#keeper.exitCode === null && this.#keeper.signalCode === null;
  }

  get keeperPid(): number {
    return this.#keeper?.pid ?? -1;
  }

  /** The keeper's children now: workers and the spare. */
  workerPids(): number[] {
    try {
      const pid = this.keeperPid;
      return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
    } catch {
      return [];
    }
  }

  /** SIGKILLs one of the keeper's children, chosen by `fraction` in [0, 1). */
  killWorker(fraction: number): void {
    const pids = this.workerPids();
    const pid = pids[Math.floor(fraction * pids.length)];
    if (pid !== undefined) kill(pid);
  }

  /** Stops one of the keeper's children (SIGSTOP): it keeps its sockets and its locks, and does nothing. */
  hangWorker(fraction: number): void {
    const pids = this.workerPids();
    const pid = pids[Math.floor(fraction * pids.length)];
    if (pid !== undefined) signal(pid, 'SIGSTOP');
  }

  /** SIGKILLs the keeper alone; its workers must go by themselves. */
  async killKeeper(): Promise<void> {
    const keeper = this.#keeper;
    if (keeper === undefined || !this.isRunning) return;
    const exited = once(keeper, 'exit');
    kill(keeper.pid as number);
    await exited;
  }

  /** SIGKILLs everything at once. */
  async killAll(): Promise<void> {
    const pids = this.workerPids();
    const killed = this.killKeeper();
    for (const pid of pids) kill(pid);
    await killed;
  }

  /** SIGTERM; waits for the end. Returns the exit code. */
  async stop(): Promise<number | null> {
    const keeper = this.#keeper;
    if (keeper === undefined || !this.isRunning) return keeper?.exitCode ?? null;
    const exited = once(keeper, 'exit');
    keeper.kill('SIGTERM');
    await exited;
    return keeper.exitCode;
  }

  output(): string {
    return readFileSync(this.#outputPath, 'utf8');
  }

  get #outputPath(): string {
    return join(this.folder, 'output.txt');
  }
}

const kill = (pid: number): void => signal(pid, 'SIGKILL');

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // Gone already.
  }
}

/** Ports that are free for TCP now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(servers.map((server) => once(server.listen(0, '127.0.0.1'), 'listening')));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
