/** A real HAProxy or NGINX with a configuration that `tandem lb` has printed. It ends with the test. */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { until } from '../../src/core/testing/until.ts';

export type BalancerKind = 'haproxy' | 'nginx';

const LAUNCHER = fileURLToPath(new URL('../../bin/tandem.js', import.meta.url));
const PROGRAMS = { haproxy: '/usr/sbin/haproxy', nginx: '/usr/sbin/nginx' } as const;
const STREAM_MODULES = ['/usr/lib/nginx/modules/ngx_stream_module.so'];

/** For `skip`; false: it is there. */
export function missing(kind: BalancerKind): string | false {
  if (!existsSync(PROGRAMS[kind])) return `no ${kind} at ${PROGRAMS[kind]}: install the package ${kind}`;
  if (kind === 'haproxy' || STREAM_MODULES.some((path) => existsSync(path))) return false;
  const isBuiltIn = execFileSync('sh', ['-c', `${PROGRAMS.nginx} -V 2>&1`], { encoding: 'utf8' });
  return / --with-stream( |$)/.test(isBuiltIn) ? false : 'NGINX without streams: install libnginx-mod-stream';
}

/** What `tandem lb` prints. */
export async function printedConfig(kind: BalancerKind, args: readonly string[]): Promise<string> {
  const run = promisify(execFile);
  return (await run(process.execPath, [LAUNCHER, 'lb', kind, ...args])).stdout;
}

/** What the program itself says of a configuration: '' or its complaints. */
export async function judged(kind: BalancerKind, folder: string, config: string): Promise<string> {
  const path = join(folder, `${kind}.conf`);
  writeFileSync(path, config);
  const { checkArgs } = commandLine(kind, folder, path);
  const child = spawn(PROGRAMS[kind], checkArgs, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const output of [child.stdout, child.stderr]) output.on('data', (chunk) => (said += chunk));
  const [code] = (await once(child, 'close')) as [number | null];
  // Warnings count: what is printed should have none.
  return code === 0 && !/warn/i.test(said) ? '' : said;
}

function commandLine(kind: BalancerKind, folder: string, path: string) {
  if (kind === 'haproxy') return { checkArgs: ['-c', '-f', path], runArgs: ['-db', '-f', path] };
  // Where it writes is its own business on a server; here it must not touch the machine's.
  const places = `pid ${join(folder, 'nginx.pid')}; error_log ${join(folder, 'nginx.log')} warn;`;
  const paths = ['-e', join(folder, 'nginx.log'), '-c', path, '-g'];
  return { checkArgs: [...paths, places, '-t'], runArgs: [...paths, `${places} daemon off; master_process off;`] };
}

export class BalancerUnderTest {
  readonly #child: ChildProcess;
  #said = '';

  /** Resolves when it takes connections on `port`. */
  static async start(kind: BalancerKind, folder: string, config: string, port: number): Promise<BalancerUnderTest> {
    const path = join(folder, `${kind}.conf`);
    writeFileSync(path, config);
    const balancer = new BalancerUnderTest(PROGRAMS[kind], commandLine(kind, folder, path).runArgs);
    await until(
      () => `${kind} listens: ${balancer.#said}`,
      () => canConnect(port),
    );
    return balancer;
  }

  constructor(program: string, args: readonly string[]) {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    for (const output of [child.stdout, child.stderr]) output?.on('data', (chunk) => (this.#said += chunk));
  }

  /** What it wrote on its output. */
  get said(): string {
    return this.#said;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }
}

async function canConnect(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
