/** Runs the load in a process of its own, so that client and server do not share an event loop. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { LoadArguments } from './load-main.ts';
import type { LoadResult } from './pipelined-load.ts';

const LOAD_MAIN = fileURLToPath(new URL('./load-main.ts', import.meta.url));

export async function runLoadProcess(options: LoadArguments): Promise<LoadResult> {
  const { stdout } = await promisify(execFile)(process.execPath, [LOAD_MAIN, JSON.stringify(options)]);
  return JSON.parse(stdout) as LoadResult;
}
