/** What the servers of one test have in common: a folder, and an end. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CertificateFiles } from '../certificate.ts';
import { leftovers } from './leftovers.ts';
import { type ServerHost, ServerProcess, type ServerSpec, THIS_HOST } from './server-process.ts';

/** Of node:test's TestContext. */
export interface TestScope {
  after(stop: () => Promise<void>): void;
}

export interface ServerOptions {
  /** Further lines of redis.conf, e.g. `appendonly yes`. */
  readonly config?: readonly string[];
  readonly password?: string;
  /** E.g. `valkey-server`; default: installed.ts. */
  readonly program?: string;
  /** Where they run, in their order: those with data, then Sentinels. Default: all on this machine. */
  readonly hosts?: readonly ServerHost[];
  /** They speak TLS, and nothing else. */
  readonly tls?: CertificateFiles;
}

/** Which of the servers of a group. */
export interface ServerPlace {
  readonly index: number;
  readonly port: number;
}

/** Quick to start and to sync; stores nothing unless asked to. */
const BASE_CONFIG = [
  'save ""',
  'repl-diskless-sync-delay 0',
  'repl-ping-replica-period 1',
  'enable-debug-command local',
];

export class ServerGroup {
  readonly folder = mkdtempSync(join(tmpdir(), 'tandem-redis-'));
  readonly #processes: ServerProcess[] = [];
  readonly #options: ServerOptions;

  /** With a test: it ends the servers, whatever becomes of it. Without one, call `stop`. */
  constructor(options: ServerOptions, test: TestScope | undefined) {
    this.#options = options;
    leftovers.noteFolder(this.folder);
    test?.after(() => this.stop());
  }

  hostAt(index: number): ServerHost {
    const { hosts = [THIS_HOST] } = this.#options;
    return hosts[index % hosts.length] ?? THIS_HOST;
  }

  async startServer(
    { index, port }: ServerPlace,
    config: readonly string[] = [],
    files: { readonly [name: string]: string } = {},
  ): Promise<ServerProcess> {
    const { config: asked = [], password } = this.#options;
    const auth = password === undefined ? [] : [`requirepass ${password}`, `masterauth ${password}`];
    return this.#start({
      port,
      host: this.hostAt(index),
      config: [...BASE_CONFIG, ...auth, ...config, ...asked],
      files,
    });
  }

  async startSentinel({ index, port }: ServerPlace, config: readonly string[]): Promise<ServerProcess> {
    return this.#start({ port, host: this.hostAt(index), config, isSentinel: true });
  }

  /** Ends all processes by SIGKILL and removes the folder. Idempotent. */
  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((server) => server.kill()));
    rmSync(this.folder, { recursive: true, force: true });
    leftovers.forgetFolder(this.folder);
  }

  /** What URLs of them begin with. */
  get scheme(): 'redis' | 'rediss' {
    return this.#options.tls === undefined ? 'redis' : 'rediss';
  }

  /** `user:password@` of a URL, or nothing. */
  get userInfo(): string {
    const { password } = this.#options;
    return password === undefined ? '' : `:${encodeURIComponent(password)}@`;
  }

  async #start(spec: Omit<ServerSpec, 'folder' | 'password' | 'program' | 'tls'>): Promise<ServerProcess> {
    const { password, program, tls } = this.#options;
    const server = await ServerProcess.start({
      ...spec,
      folder: join(this.folder, String(spec.port)),
      password: spec.isSentinel === true ? undefined : password,
      program,
      tls,
    });
    this.#processes.push(server);
    return server;
  }
}
