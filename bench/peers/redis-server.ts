/** The peer of the ingest benches: a Redis server of its own, every write on disk before its answer (appendfsync always). */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../chaos/node-under-test.ts';
import { until } from '../../src/core/testing/until.ts';

const START_TIMEOUT_MS = 10_000;

export class RedisServer {
  readonly port: number;
  readonly #folder: string;
  readonly #process: ChildProcess;

  /** undefined: no redis-server on this machine. */
  static async start(): Promise<RedisServer | undefined> {
    const [port] = (await freePorts(1)) as [number];
    const folder = mkdtempSync(join(tmpdir(), 'tandem-bench-redis-'));
    const options = [
      '--port',
      `${port}`,
      '--dir',
      folder,
      '--save',
      '',
      '--appendonly',
      'yes',
      '--appendfsync',
      'always',
    ];
    const child = spawn('redis-server', [...options, '--auto-aof-rewrite-percentage', '0'], { stdio: 'ignore' });
    const isMissing = await new Promise<boolean>((resolve) => {
      child.once('error', () => resolve(true));
      child.once('spawn', () => resolve(false));
    });
    if (isMissing) return undefined;
    const server = new RedisServer(port, folder, child);
    await until('redis-server answers', () => server.#answers(), START_TIMEOUT_MS);
    return server;
  }

  constructor(port: number, folder: string, child: ChildProcess) {
    this.port = port;
    this.#folder = folder;
    this.#process = child;
  }

  /** Empties it, so that each round begins alike. */
  async flush(): Promise<void> {
    await this.#command('FLUSHALL\r\n');
  }

  stop(): void {
    this.#process.kill('SIGKILL');
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #answers(): Promise<boolean> {
    try {
      return (await this.#command('PING\r\n')).startsWith('+PONG');
    } catch {
      return false;
    }
  }

  #command(text: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect(this.port, '127.0.0.1', () => socket.write(text));
      socket.once('data', (answer) => {
        resolve(answer.toString());
        socket.destroy();
      });
      socket.once('error', reject);
    });
  }
}
