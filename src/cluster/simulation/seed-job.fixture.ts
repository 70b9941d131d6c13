/** Seeds to run in a thread, and what came of them. */
import { Worker } from 'node:worker_threads';
import type { StoreKind } from './world.fixture.ts';

export interface SeedJob {
  readonly kind: StoreKind;
  readonly first: number;
  readonly count: number;
  /** Patterns of lines of the traces: ends when each has come up. */
  readonly occurrences: readonly string[];
}

export interface SeedSummary {
  readonly seeds: number;
  readonly events: number;
  /** Of nodes, under a term. */
  readonly starts: number;
  readonly refusedWrites: number;
  readonly recoveryMsMax: number;
  readonly cpuMs: number;
  /** The first seed that broke an invariant; none were run after it. */
  readonly failure: { readonly seed: number; readonly invariant: number; readonly message: string } | undefined;
  /** Those of `occurrences` that did not come up. */
  readonly missing: readonly string[];
}

export const SEED_WORKER = new URL('./seed-worker.fixture.ts', import.meta.url);

export function runSeeds(job: SeedJob, entry: URL = SEED_WORKER): Promise<SeedSummary> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(entry, { workerData: job });
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new Error(`the thread ended with ${code} and without a result`)));
  });
}
