/** One real server process, and the faults that can be done to it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TandemError } from '../../errors.ts';
import type { CertificateFiles } from '../certificate.ts';
import { until } from '../until.ts';
import { SERVER_PROGRAM } from './installed.ts';
import { leftovers } from './leftovers.ts';
import { type RawReply, rawCall } from './raw-call.ts';

export type ServerRole = 'master' | 'replica' | 'sentinel';

/** Where a server runs: on this machine, or as if on a machine of its own. */
export interface ServerHost {
  readonly address: string;
  /** What its programs are started by, e.g. `nsenter --net=/run/netns/NAME`; it must become the program itself. */
  readonly launcher: readonly string[];
}

export const THIS_HOST: ServerHost = { address: '127.0.0.1', launcher: [] };

export interface ServerSpec {
  /** Default: this machine. */
  readonly host?: ServerHost | undefined;
  readonly folder: string;
  readonly port: number;
  /** Lines of redis.conf. */
  readonly config: readonly string[];
  /** What else stands in its folder before it starts. */
  readonly files?: { readonly [name: string]: string };
  readonly isSentinel?: boolean;
  readonly password?: string | undefined;
  readonly program?: string | undefined;
  /** All its connections are TLS. */
  readonly tls?: CertificateFiles | undefined;
}

const READY_BOUND_MS = 10_000;

const tlsConfig = (port: number, { certPath, keyPath }: CertificateFiles): string[] => [
  ...['port 0', `tls-port ${port}`],
  ...[`tls-cert-file ${certPath}`, `tls-key-file ${keyPath}`, `tls-ca-cert-file ${certPath}`],
  ...['tls-auth-clients no', 'tls-replication yes', 'tls-cluster yes'],
];

export class ServerProcess {
  readonly host: string;
  readonly port: number;
  readonly folder: string;
  readonly #spec: ServerSpec;
  #child: ChildProcess | undefined;

  private constructor(spec: ServerSpec) {
    this.#spec = spec;
    this.host = (spec.host ?? THIS_HOST).address;
    this.port = spec.port;
    this.folder = spec.folder;
  }

  /** Resolves when it answers. */
  static async start(spec: ServerSpec): Promise<ServerProcess> {
    mkdirSync(spec.folder, { recursive: true });
    const { folder, port, config, files = {}, host = THIS_HOST, tls } = spec;
    const protection = host === THIS_HOST ? [] : ['protected-mode no'];
    const lines = [
      ...(tls === undefined ? [`port ${port}`] : tlsConfig(port, tls)),
      `bind ${host.address}`,
      ...protection,
      `dir ${folder}`,
      `logfile ${join(folder, 'log')}`,
      ...config,
    ];
    // Sentinels and demoted masters write into their own.
    writeFileSync(join(folder, 'server.conf'), `${lines.join('\n')}\n`);
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const server = new ServerProcess(spec);
    await server.#run();
    return server;
  }

  get address(): string {
    return `${this.host}:${this.port}`;
  }
  get pid(): number {
    return this.#child?.pid ?? 0;
  }
  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** As the server says. */
  async role(): Promise<ServerRole> {
    const reply = await this.call('ROLE');
    const name = Array.isArray(reply) ? reply[0] : undefined;
    return name === 'slave' ? 'replica' : (name as ServerRole);
  }

  /** One field of INFO. */
  async info(section: string, field: string): Promise<string | undefined> {
    const text = String(await this.call('INFO', section));
    return new RegExp(`^${field}:(.*?)\r?$`, 'm').exec(text)?.[1];
  }

  /** Over a connection of its own; rejects after 3 s if the server hangs. */
  call(...args: readonly string[]): Promise<RawReply> {
    const { password, tls } = this.#spec;
    return rawCall({ host: this.host, port: this.port, password, caPath: tls?.certPath }, args);
  }

  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  /** SIGTERM: as an operator stops it. */
  terminate(): Promise<void> {
    return this.#end('SIGTERM');
  }

  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  /** Kills it if it runs. `empty`: what it had stored is gone; its config (of a replica or cluster node: whose) stays. Resolves when it answers. */
  async restart({ empty = false }: { readonly empty?: boolean } = {}): Promise<void> {
    await this.kill();
    if (empty)
      for (const name of ['dump.rdb', 'appendonlydir'])
        rmSync(join(this.folder, name), { recursive: true, force: true });
    await this.#run();
  }

  log(): string {
    try {
      return readFileSync(join(this.folder, 'log'), 'utf8');
    } catch {
      return '';
    }
  }

  async #run(): Promise<void> {
    const { folder, isSentinel = false, program = SERVER_PROGRAM, host = THIS_HOST } = this.#spec;
    const config = [join(folder, 'server.conf'), ...(isSentinel ? ['--sentinel'] : [])];
    const [command, ...args] = [...host.launcher, program, ...config] as [string, ...string[]];
    const child = spawn(command, args, { stdio: 'ignore' });
    this.#child = child;
    let spawnError: Error | undefined;
    child.on('error', (error) => {
      spawnError = error;
    });
    // A test that forgets it must end all the same: leftovers.ts ends the server then.
    child.unref();
    const { pid } = child;
    if (pid !== undefined) {
      leftovers.noteProcess(pid);
      child.once('exit', () => leftovers.forgetProcess(pid));
    }
    await until(
      `${program} at ${this.address} answers`,
      () => {
        if (spawnError !== undefined || !this.isRunning)
          throw new TandemError('TANDEM_STORE_FAILED', {
            detail: `${program} did not start: ${spawnError?.message ?? this.log().slice(-2000)}`,
          });
        return this.call('PING').then(
          (reply) => reply === 'PONG',
          () => false,
        );
      },
      READY_BOUND_MS,
    );
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.isRunning) return;
    const exited = once(child, 'exit');
    child.ref();
    child.kill(signal);
    await exited;
  }
}
