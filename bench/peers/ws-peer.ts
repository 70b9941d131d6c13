/** Starts and stops the `ws` broadcast server as a process. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const SERVER = fileURLToPath(new URL('./ws-broadcast-server.ts', import.meta.url));

export interface WsPeer {
  readonly port: number;
  readonly control: number;
  readonly pid: number;
  stop(): void;
}

export async function startWsPeer(): Promise<WsPeer> {
  const child: ChildProcess = spawn(process.execPath, [SERVER], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
  const { port, control } = JSON.parse(line.toString()) as { port: number; control: number };
  return { port, control, pid: child.pid as number, stop: () => child.kill('SIGKILL') };
}
