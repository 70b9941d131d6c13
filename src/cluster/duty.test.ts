import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LeaseGrant } from '../core/contracts/engine.ts';
import { silentLogger } from '../core/contracts/telemetry.ts';
import { type Random, seededRandom } from '../core/ports/random.ts';
import { Duty } from './duty.ts';
import { KernelLeases } from './simulation/kernel-leases.fixture.ts';
import { Scheduler, SimProcess } from './simulation/scheduler.fixture.ts';
import { QUIET, TimedLeases } from './simulation/timed-leases.fixture.ts';

const TIMERS = { ttlMs: 1500, renewMs: 300, marginMs: 300, pollMs: 250 };
const END_MS = 20;

class Bench {
  readonly scheduler = new Scheduler();
  readonly random: Random = seededRandom(3);
  readonly leases: KernelLeases | TimedLeases;
  readonly running: { name: string; term: number }[] = [];
  readonly runs: string[] = [];
  runningMax = 0;
  /** What the function does after its start; by default it waits for the signal. */
  body: () => Promise<void> = () => new Promise(() => {});

  constructor(provesDeath: boolean) {
    this.leases = provesDeath
      ? new KernelLeases(this.scheduler, this.random, 2)
      : new TimedLeases(this.scheduler, this.random, 1);
  }

  node(name: string): { duty: Duty; process: SimProcess } {
    const { scheduler, random, leases } = this;
    const process = new SimProcess(name, `${name}/1`, scheduler, random, 1, 0);
    const duty = new Duty({
      ...{ name: 'retention', holder: process.holder, leases: leases.of(process), timers: TIMERS, random },
      ...{ provesDeath: leases instanceof KernelLeases, clock: process.clock, logger: silentLogger },
      run: (grant, signal) => this.#run(process, grant, signal),
    });
    return { duty, process };
  }

  async #run(process: SimProcess, { term }: LeaseGrant, signal: AbortSignal): Promise<void> {
    const run = { name: process.name, term };
    this.running.push(run);
    this.runs.push(process.name);
    this.runningMax = Math.max(this.runningMax, this.running.length);
    const aborted = new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => process.clock.after(END_MS, resolve), { once: true });
    });
    try {
      await Promise.race([aborted, this.body()]);
    } finally {
      this.running.splice(this.running.indexOf(run), 1);
    }
  }

  async run(durationMs: number): Promise<void> {
    await this.scheduler.advance(durationMs);
  }
}

for (const provesDeath of [true, false])
  test(`runs on one node at a time, on another when that gives it up; proof of death: ${provesDeath}`, async () => {
    const bench = new Bench(provesDeath);
    const nodes = ['a', 'b', 'c'].map((name) => bench.node(name));
    for (const { duty } of nodes) duty.start();
    await bench.run(3000);
    assert.equal(bench.running.length, 1);
    const [{ name, term }] = bench.running as [{ name: string; term: number }];
    const { duty } = nodes.find(({ process }) => process.name === name) as { duty: Duty };
    assert.equal(duty.grant?.term, term);
    const stopped = duty.stop();
    await bench.run(500);
    await stopped;
    assert.equal(duty.grant, undefined);
    assert.equal(bench.running.length, 1);
    assert.notEqual(bench.running[0]?.name, name);
    assert.ok((bench.running[0]?.term ?? 0) > term);
    assert.deepEqual([bench.runningMax, bench.runs.length], [1, 2]);
  });

test('the holder dies: another runs it when the kernel has released the lease', async () => {
  const bench = new Bench(true);
  const [a, b] = [bench.node('a'), bench.node('b')];
  a.duty.start();
  await bench.run(100);
  b.duty.start();
  await bench.run(1000);
  a.process.isAlive = false;
  bench.leases.died(a.process);
  await bench.run(400);
  assert.deepEqual(bench.runs, ['a', 'b']);
});

test('the lease is lost: the function is told and has ended before another begins', async () => {
  const bench = new Bench(false);
  const [a, b] = [bench.node('a'), bench.node('b')];
  a.duty.start();
  await bench.run(100);
  b.duty.start();
  await bench.run(1000);
  (bench.leases as TimedLeases).trouble('a', { ...QUIET, requestLoss: 1 });
  await bench.run(4000);
  assert.deepEqual(bench.runs, ['a', 'b']);
  assert.equal(bench.runningMax, 1);
  (bench.leases as TimedLeases).heal();
  await bench.run(2000);
  assert.deepEqual(bench.runs, ['a', 'b'], 'it does not come back by itself');
});

test('a function that fails or returns gives the lease up and is tried again with growing waits', async () => {
  for (const body of [() => Promise.reject(new Error('broken')), () => Promise.resolve()]) {
    const bench = new Bench(true);
    bench.body = body;
    bench.node('a').duty.start();
    await bench.run(10_000);
    assert.ok(bench.runs.length >= 5 && bench.runs.length <= 9, `${bench.runs.length} runs in 10 s`);
    assert.equal(bench.running.length, 0);
  }
});
