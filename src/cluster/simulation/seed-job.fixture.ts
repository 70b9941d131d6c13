/** Runs seeds in a thread. */
import { Worker } from 'node:worker_threads';
import type { SeedJob, SeedSummary } from './seed-summary.fixture.ts';

const SEED_WORKER = new URL('./seed-worker.fixture.ts', import.meta.url);

export function runSeeds(job: SeedJob, entry: URL = SEED_WORKER): Promise<SeedSummary> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(entry, { workerData: job });
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new Error(`the thread ended with ${code} and without a result`)));
  });
}
