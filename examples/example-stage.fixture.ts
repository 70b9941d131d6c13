/**
 * Runs what the examples with Redis say (commands of a compose file, ExecStart of units) with the programs that are installed here. Each machine or
 * container is an address of this machine's loopback network, 127.R.0.N for 10.77.0.N, so that ports and configuration files stay as they are.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { parse } from 'yaml';
import { loadConfig } from '../src/config/load.ts';
import { leftovers } from '../src/core/testing/redis-servers/leftovers.ts';
import { until } from '../src/core/testing/until.ts';

export interface Program {
  /** What is run; `sh` does, with `exec`, so that the process is the program's. */
  readonly script: string;
  readonly environment: { readonly [name: string]: string };
}

export class Stage {
  readonly folder: string;
  readonly #network: string;
  readonly #children = new Map<string, ChildProcess>();
  #output = '';

  constructor(t: TestContext) {
    this.folder = mkdtempSync(join(tmpdir(), 'tandem-example-'));
    this.#network = `127.${10 + Math.floor(Math.random() * 200)}.${Math.floor(Math.random() * 250)}.`;
    leftovers.noteFolder(this.folder);
    t.after(async () => {
      await Promise.all([...this.#children.keys()].map((name) => this.kill(name)));
      rmSync(this.folder, { recursive: true, force: true });
      leftovers.forgetFolder(this.folder);
    });
  }

  /** With this network's addresses. */
  moved(text: string): string {
    return text.replaceAll(/\b10\.7\d\.0\./g, this.#network);
  }

  /** A file of an example, where the program of this name finds it. */
  put(name: string, path: string, target: string, edit: (text: string) => string = (text) => text): string {
    const folder = join(this.folder, name);
    mkdirSync(folder, { recursive: true });
    const to = join(folder, target);
    const text = this.moved(readFileSync(join(import.meta.dirname, path), 'utf8'));
    writeFileSync(to, edit(text.replace(/^dir \/.*$/m, `dir ${folder}`)));
    return to;
  }

  start(name: string, { script, environment }: Program): void {
    const child = spawn('sh', ['-c', this.moved(script)], {
      cwd: this.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...Object.fromEntries(Object.entries(environment).map(([k, v]) => [k, this.moved(v)])) },
    });
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk) => {
        this.#output += `${name}: ${chunk}`;
      });
    this.#children.set(name, child);
    const { pid } = child;
    if (pid === undefined) return;
    leftovers.noteProcess(pid);
    child.once('exit', () => leftovers.forgetProcess(pid));
  }

  async kill(name: string, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#children.get(name);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  }

  /** What the programs said last. */
  get output(): string {
    return this.#output.slice(-4000);
  }

  /** As `until`, and if it is in vain what the programs said. */
  async until(what: string, condition: () => Promise<unknown>, boundMs: number = 30_000): Promise<void> {
    try {
      await until(what, condition, boundMs);
    } catch (error) {
      assert.fail(`${String(error)}\n${this.output}`);
    }
  }
}

export interface ComposeService {
  readonly command?: readonly string[];
  readonly environment?: { readonly [name: string]: string };
  readonly volumes?: readonly string[];
  readonly networks: { readonly [name: string]: { readonly ipv4_address?: string } };
  readonly depends_on?: readonly string[];
  readonly image?: string;
}

export interface ComposeFile {
  readonly services: { readonly [name: string]: ComposeService };
  readonly volumes: { readonly [name: string]: null };
  readonly networks: { readonly [name: string]: { readonly ipam: { readonly config: { readonly subnet: string }[] } } };
}

export const readCompose = (path: string): ComposeFile =>
  parse(readFileSync(join(import.meta.dirname, path), 'utf8'), { merge: true }) as ComposeFile;

/** What compose makes of `$$` and `${NAME:-default}`. */
const interpolated = (text: string): string => text.replaceAll(/\$\{\w+:-([^}]*)\}/g, '$1').replaceAll('$$', '$');

/** The command of a service, with the folders that stand for /config and /data. */
export function programOf({ command = [], environment = {} }: ComposeService, folder: string): Program {
  const [shell, flag, script = ''] = command;
  assert.deepEqual([shell, flag], ['sh', '-c']);
  return {
    script: interpolated(script).replaceAll('/config/', `${folder}/config-`).replaceAll('/data', folder),
    environment: Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, interpolated(value)])),
  };
}

/** On one machine every server needs its own address for what it binds and for what it connects from. */
export const boundTo =
  (address: string) =>
  (text: string): string =>
    text.replace(/^bind \* .*$/m, `bind ${address}\nbind-source-addr ${address}`);

/** What its nodes are told by their environment. */
export function environmentOf(example: string): { [name: string]: string } {
  if (example === 'systemd')
    return Object.fromEntries(
      readFileSync(join(import.meta.dirname, 'systemd/tandem.env'), 'utf8')
        .split('\n')
        .filter((line) => /^[A-Z]/.test(line))
        .map((line) => /^(\w+)=(.*)$/.exec(line)?.slice(1) as [string, string]),
    );
  const { environment = {} } = readCompose(`${example}/docker-compose.yml`).services['tandem-a'] ?? {};
  return Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, interpolated(value)]));
}

export const configOf = (example: string, edit: (text: string) => string = (text) => text) =>
  loadConfig({
    configPath: join(import.meta.dirname, example, 'tandem.yaml'),
    environment: Object.fromEntries(Object.entries(environmentOf(example)).map(([name, value]) => [name, edit(value)])),
  });
