/**
 * A thread that runs seeds one after the other, up to the first that fails. In the main thread of a test every promise is followed by the
 * test runner, which makes it several times slower.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { runSeed } from './run-seed.fixture.ts';
import type { SeedJob, SeedSummary } from './seed-summary.fixture.ts';

/** Errors are made by the thousand here; nobody reads where. */
Error.stackTraceLimit = 0;

const { kind, first, count, focus = [], occurrences = [] } = workerData as SeedJob;
const before = process.threadCpuUsage();
const sum = { seeds: 0, events: 0, starts: 0, refusedWrites: 0, recoveryMsMax: 0 };
let failure: SeedSummary['failure'];
let missing = occurrences;
for (let seed = first; seed < first + count && failure === undefined; seed++) {
  const trace: string[] = [];
  const result = await runSeed(kind, seed, missing.length === 0 ? undefined : (line) => trace.push(line), focus);
  sum.seeds++;
  sum.events += result.events;
  sum.starts += result.starts;
  sum.refusedWrites += result.refusedWrites;
  sum.recoveryMsMax = Math.max(sum.recoveryMsMax, Math.round(result.recoveryMs));
  const { violation } = result;
  if (violation !== undefined) failure = { seed, invariant: violation.invariant, message: violation.message };
  if (missing.length === 0) continue;
  const text = trace.join('\n');
  missing = missing.filter((pattern) => !new RegExp(pattern).test(text));
  // Asked for what occurs: all has.
  if (missing.length === 0) break;
}
const { user, system } = process.threadCpuUsage(before);
parentPort?.postMessage({ ...sum, cpuMs: (user + system) / 1000, failure, missing } satisfies SeedSummary);
