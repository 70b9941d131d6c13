/** Starts keepers for tests, in this process or in one of their own; everything they started dies with the test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { silentLogger } from '../../core/contracts/telemetry.ts';
import { Keeper } from '../keeper.ts';
import type { KeeperPlan, ListenAddress, WorkerLimits } from '../plan.ts';
import type { StubConfig } from './stub-worker.ts';

const WAIT_MS = 15_000;

export const streamOn = (port = 0): ListenAddress => {
  return { transport: 'stream', host: '127.0.0.1', port, url: `tcp://127.0.0.1:${port}` };
};
export const datagramOn = (port = 0): ListenAddress => {
  return { transport: 'datagram', host: '127.0.0.1', port, url: `udp://127.0.0.1:${port}` };
};

export function planOf(
  workers: Partial<WorkerLimits> = {},
  config: StubConfig = { label: 'a' },
  listen: readonly ListenAddress[] = [streamOn()],
): KeeperPlan {
  const limits = {
    count: 1,
    heartbeatTimeoutMs: 600,
    restartCountMax: 10,
    restartWindowMs: 60_000,
    drainTimeoutMs: 1000,
  };
  return { hasFronts: false, listen, workers: { ...limits, ...workers }, config };
}

/** A keeper in this process. */
export function createKeeper(
  t: TestContext,
  plan: KeeperPlan,
  pausedConsumers: () => readonly string[] = () => [],
): Keeper {
  const keeper = new Keeper({
    plan,
    workerEntry: new URL('./stub-worker.ts', import.meta.url),
    logger: silentLogger,
    pausedConsumers,
  });
  t.after(() => keeper.stopNow('the test is over'));
  return keeper;
}

let terms = 0;
/** Starts it and makes it active. */
export function activate(keeper: Keeper): Promise<void> {
  keeper.start();
  return keeper.activate(++terms, { issueTerm: () => ++terms });
}

export async function startKeeper(t: TestContext, plan: KeeperPlan): Promise<Keeper> {
  const keeper = createKeeper(t, plan);
  await activate(keeper);
  return keeper;
}

export const portOf = (keeper: Keeper, listener = 0): number => keeper.status.listeners[listener]?.port ?? 0;

/** Polls until `probe` gives something; fails after WAIT_MS. */
export async function until<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const deadlineMs = performance.now() + WAIT_MS;
  for (;;) {
    const found = await probe();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadlineMs) throw new Error(`waited in vain until ${what}`);
    await pause(5);
  }
}

export interface Identity {
  readonly pid: number;
  readonly slot: number;
  readonly term: number;
  readonly label: string;
  readonly listener: number;
}

/** One connection to a stub worker: asks a line, gets a line. */
export class StubClient {
  readonly socket: Socket;
  readonly #lines: AsyncIterator<string>;

  constructor(t: TestContext, port: number, host = '127.0.0.1') {
    this.socket = connect(port, host);
    this.socket.setNoDelay(true);
    this.socket.on('error', () => {});
    t.after(() => this.socket.destroy());
    this.#lines = createInterface({ input: this.socket })[Symbol.asyncIterator]();
  }

  /** undefined: the connection ended without an answer. */
  async ask(word: string): Promise<string | undefined> {
    this.socket.write(`${word}\n`);
    const { value } = await this.#lines.next().catch(() => ({ value: undefined }));
    return value as string | undefined;
  }

  async who(): Promise<Identity> {
    const [pid, slot, term, label, listener] = ((await this.ask('who')) ?? '').split(' ');
    return { pid: Number(pid), slot: Number(slot), term: Number(term), label: label ?? '', listener: Number(listener) };
  }
}

/** A zombie, which an orphan may be for a while, is dead. */
export const isAlive = (pid: number): boolean => {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

interface LoggedEvent {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** A keeper in a process of its own. */
export class StubNode {
  readonly child: ChildProcess;
  readonly events: LoggedEvent[] = [];
  readonly #planPath: string;

  private constructor(child: ChildProcess, planPath: string) {
    this.child = child;
    this.#planPath = planPath;
    if (child.stdout === null) throw new Error('no stdout');
    createInterface({ input: child.stdout }).on('line', (line) => this.events.push(JSON.parse(line) as LoggedEvent));
  }

  static async start(t: TestContext, plan: KeeperPlan): Promise<StubNode> {
    const folder = await mkdtemp(join(tmpdir(), 'tandem-supervisor-'));
    const planPath = join(folder, 'plan.json');
    await writeFile(planPath, JSON.stringify(plan));
    const entry = fileURLToPath(new URL('./stub-node.ts', import.meta.url));
    const child = spawn(process.execPath, [entry, planPath], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(async () => {
      child.kill('SIGKILL');
      await rm(folder, { recursive: true, force: true });
    });
    return new StubNode(child, planPath);
  }

  async rewrite(plan: unknown): Promise<void> {
    await writeFile(this.#planPath, JSON.stringify(plan));
  }

  /** The first such event, waiting for it if need be. */
  event(name: string): Promise<LoggedEvent> {
    return until(`the keeper logs ${name}`, () => this.events.find(({ event }) => event === name));
  }

  async ready(): Promise<{ readonly ports: readonly number[]; readonly pids: readonly number[] }> {
    const { status } = (await this.event('ready')) as unknown as { status: Keeper['status'] };
    return {
      ports: status.listeners.map(({ port }) => port),
      pids: [...status.slots.flatMap(({ pid }) => pid ?? []), ...status.sparePids],
    };
  }

  exitCode(): Promise<number> {
    return until('the keeper exits', () => this.child.exitCode ?? undefined);
  }
}
