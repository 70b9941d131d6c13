/** Starts and steers a process with lanes. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Phase } from './lane-log.ts';
import type { LoadOrder, LoadReport, LoadResult, LoadSpec } from './load-main.ts';

const LOAD_MAIN = fileURLToPath(new URL('./load-main.ts', import.meta.url));
/** For what is acknowledged late, after the last failover. */
const STOP_WITHIN_MS = 30_000;

export class FailoverLoad {
  readonly #process: ChildProcess;
  /** Rejects when it ends. */
  readonly #died: Promise<never>;

  constructor(spec: LoadSpec) {
    this.#process = fork(LOAD_MAIN, [JSON.stringify(spec)], { serialization: 'advanced' });
    this.#died = once(this.#process, 'exit').then(() => {
      throw new RangeError("the load's process died");
    });
    this.#died.catch(() => {});
  }

  /** Resolves when the load knows. */
  async enter(phase: Phase): Promise<void> {
    await this.#ask({ phase });
  }

  async stop(): Promise<LoadResult> {
    return (await this.#ask({ stopWithinMs: STOP_WITHIN_MS })) as LoadResult;
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }

  async #ask(order: LoadOrder): Promise<LoadReport> {
    const answered = once(this.#process, 'message') as Promise<[LoadReport]>;
    this.#process.send(order);
    return (await Promise.race([answered, this.#died]))[0];
  }
}
