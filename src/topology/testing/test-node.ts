/** Starts whole nodes, each in a process and a folder of its own; both die with the test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const WAIT_MS = 20_000;

export interface LoggedEvent {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** Polls until `probe` gives something; fails after WAIT_MS. */
export async function until<T>(what: string, probe: () => T | Promise<T>): Promise<Exclude<T, undefined | false>> {
  const deadlineMs = performance.now() + WAIT_MS;
  for (;;) {
    const found = await probe();
    if (found !== undefined && found !== false) return found as Exclude<T, undefined | false>;
    if (performance.now() > deadlineMs) throw new Error(`waited in vain until ${what}`);
    await pause(5);
  }
}

/** The nodes that run in it end before it is removed; their workers may still be on their way out, hence the retries. */
export function makeFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-node-'));
  t.after(async () => {
    for (const node of nodes.filter((each) => each.folder === folder)) {
      node.child.kill('SIGKILL');
      await node.exitCode();
    }
    await rm(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 20 });
  });
  return folder;
}

const nodes: TestNode[] = [];

const ENTRY = fileURLToPath(new URL('./node.ts', import.meta.url));

export class TestNode {
  readonly folder: string;
  readonly child: ChildProcess;
  readonly events: LoggedEvent[] = [];

  /** `config` is written to the folder as it is; JSON is YAML. */
  constructor(t: TestContext, folder: string, config: object) {
    this.folder = folder;
    this.configure(config);
    this.child = spawn(process.execPath, [ENTRY, join(folder, 'tandem.yaml')], { stdio: ['ignore', 'pipe', 'pipe'] });
    t.after(() => this.child.kill('SIGKILL'));
    nodes.push(this);
    for (const input of [this.child.stdout, this.child.stderr])
      if (input !== null) createInterface({ input }).on('line', (line) => this.#record(line));
  }

  configure(config: object): void {
    writeFileSync(join(this.folder, 'tandem.yaml'), JSON.stringify(config));
  }

  #record(line: string): void {
    if (line.startsWith('{')) this.events.push(JSON.parse(line) as LoggedEvent);
  }

  /** The first such event after `from` events. */
  event(name: string, from = 0): Promise<LoggedEvent> {
    return until(`the node logs ${name}; it logged ${JSON.stringify(this.events.slice(-3))}`, () =>
      this.#find(name, from),
    );
  }

  #find(name: string, from: number): LoggedEvent | undefined {
    const found = this.events.slice(from).find(({ event }) => event === name);
    if (found === undefined && this.child.exitCode !== null && this.child.stdout?.readableEnded !== false)
      throw new Error(`the node ended with ${this.child.exitCode} before it logged ${name}`);
    return found;
  }

  /** Resolves with the bound ports of `listen`. */
  async ready(): Promise<number[]> {
    const { listeners } = (await this.event('node_ready')) as unknown as { listeners: { port: number }[] };
    return listeners.map(({ port }) => port);
  }

  async exitCode(): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null)
      await once(this.child, 'exit', { signal: AbortSignal.timeout(WAIT_MS) });
    return this.child.exitCode;
  }
}

/** Any free port, for addresses that must be known beforehand. */
export async function freePort(): Promise<number> {
  const { createServer } = await import('node:net');
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

/** Lines in, answers out. */
export class LineClient {
  readonly socket: Socket;
  readonly answers: string[] = [];

  constructor(t: TestContext, port: number) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.setNoDelay(true);
    this.socket.on('error', () => {});
    t.after(() => this.socket.destroy());
    const lines = createInterface({ input: this.socket }).on('line', (line) => this.answers.push(line));
    // It passes the socket's errors on.
    lines.on('error', () => {});
  }

  /** undefined: the connection ended without an answer. */
  async send(line: string): Promise<string | undefined> {
    const before = this.answers.length;
    this.socket.write(`${line}\n`);
    await until('an answer or the end', () => this.answers.length > before || this.socket.destroyed);
    return this.answers[before];
  }
}
