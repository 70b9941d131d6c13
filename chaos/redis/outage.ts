/**
 * Redis away for minutes, under load: memory and disk of the nodes stay bounded, acknowledgements go on, and afterwards everything is drained and the
 * disk is given back.
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { NodeUnderTest } from '../node-under-test.ts';
import { pause } from '../producers/producer.ts';
import { type NodeWatch, residentBytes } from './node-watch.ts';
import { REPEATED_PER_MS, untilNone } from './redis-episode.ts';
import type { RedisWorld } from './redis-fault.ts';

const SAMPLE_EVERY_MS = 2000;
const BLOCK_BYTES = 512;
/** Beside what the spool may hold: files that are made beforehand, the state's database, logs. */
const DISK_EXTRA_BYTES = 512 * 1024 * 1024;
/** From the middle of the outage to its end, by process: what is collected late, not what grows with what is spooled. */
const GROWTH_BYTES_MAX = 100 * 1024 * 1024;
const DRAIN_MS_PER_MINUTE = 30_000;
/** What is confirmed is trimmed a while after its window. */
const TRIM_MS_MAX = 60_000;
const TRIMMED_BYTES_MAX = 32 * 1024 * 1024;

export interface OutageOptions {
  readonly minutes: number;
  readonly windowMs: number;
  readonly bytesMax: number;
}

export interface OutageReport {
  readonly minutes: number;
  readonly spooledRecords: number;
  readonly drainSeconds: number;
  /** Of the largest process: in the middle of the outage, and the most in its second half. */
  readonly middleMiB: number;
  readonly endMiB: number;
  /** Of the node that took most. */
  readonly diskMiB: number;
  readonly diskAfterMiB: number;
  readonly breaches: readonly string[];
}

interface Sample {
  /** By pid. */
  readonly resident: ReadonlyMap<number, number>;
  /** Of the node that takes most. */
  readonly diskBytes: number;
}

export async function runOutage(
  { site, nodes: { nodes }, clients }: RedisWorld,
  watch: NodeWatch,
  { minutes, windowMs, bytesMax }: OutageOptions,
): Promise<OutageReport> {
  await Promise.all(site.all.map((server) => server.kill()));
  const endMs = performance.now() + minutes * 60_000;
  const samples: Sample[] = [];
  while (performance.now() < endMs) {
    samples.push(sampleOf(nodes));
    await pause(SAMPLE_EVERY_MS);
  }
  const spooledRecords = watch.spoolRecordsMax;
  await site.heal();
  const backMs = performance.now();
  const drained = await untilCaughtUp(watch, backMs + minutes * DRAIN_MS_PER_MINUTE + 60_000);
  const breaches = typeof drained === 'number' ? [] : [`NOT DRAINED: ${drained.join(', ')} after the outage`];
  // Only now readers get what was acknowledged meanwhile.
  const readMs = spooledRecords / REPEATED_PER_MS;
  const served = await clients.served(performance.now(), performance.now() + 30_000 + readMs);
  if (typeof served !== 'number') breaches.push(`NOT BACK: ${served.join(', ')} not served after the outage`);
  await pause(windowMs);
  await untilNone(() => untrimmed(watch), performance.now() + TRIM_MS_MAX);
  const left = await untrimmed(watch);
  if (left.length > 0) breaches.push(`NOT TRIMMED: ${left.join(', ')}`);
  return {
    ...{ minutes, spooledRecords, breaches: [...breaches, ...checkSamples(samples, bytesMax)] },
    drainSeconds: ((typeof drained === 'number' ? drained : performance.now()) - backMs) / 1000,
    ...figuresOf(samples),
    diskAfterMiB: mib(sampleOf(nodes).diskBytes),
  };
}

/** Under load there is always something on its way: few records are as good as none. */
const FEW_RECORDS = 1000;

async function untilCaughtUp(watch: NodeWatch, deadlineMs: number): Promise<number | string[]> {
  return untilNone(async () => {
    const samples = await watch.samples();
    return samples.flatMap(({ node, sample }) => {
      const records = sample?.records ?? Number.POSITIVE_INFINITY;
      return records < FEW_RECORDS ? [] : [`${node.name}: ${sample?.records ?? 'no answer'}`];
    });
  }, deadlineMs);
}

async function untrimmed(watch: NodeWatch): Promise<string[]> {
  const samples = await watch.samples();
  return samples.flatMap(({ node, sample }) => {
    const bytes = sample?.bytes ?? Number.POSITIVE_INFINITY;
    return bytes < TRIMMED_BYTES_MAX ? [] : [`${node.name}: ${sample?.bytes ?? 'no answer'} bytes`];
  });
}

function checkSamples(samples: readonly Sample[], bytesMax: number): string[] {
  const breaches: string[] = [];
  const middle = samples[Math.floor(samples.length / 2)];
  const last = samples.at(-1);
  for (const [pid, bytes] of last?.resident ?? []) {
    const before = middle?.resident.get(pid);
    if (before !== undefined && bytes - before > GROWTH_BYTES_MAX)
      breaches.push(
        `MEMORY: process ${pid} grew from ${mib(before)} to ${mib(bytes)} MiB in the second half of the outage`,
      );
  }
  const diskBytes = Math.max(0, ...samples.map((sample) => sample.diskBytes));
  if (diskBytes > bytesMax + DISK_EXTRA_BYTES) breaches.push(`DISK: ${mib(diskBytes)} MiB in the folder of a node`);
  return breaches;
}

function figuresOf(samples: readonly Sample[]) {
  const half = Math.floor(samples.length / 2);
  const largest = (some: readonly Sample[]): number =>
    mib(Math.max(0, ...some.flatMap(({ resident }) => [...resident.values()])));
  return {
    middleMiB: largest(samples.slice(half, half + 1)),
    endMiB: largest(samples.slice(half)),
    diskMiB: mib(Math.max(0, ...samples.map(({ diskBytes }) => diskBytes))),
  };
}

const mib = (bytes: number): number => Math.round(bytes / 1048576);

function sampleOf(nodes: readonly NodeUnderTest[]): Sample {
  const pids = nodes.flatMap((node) => [node.keeperPid, ...node.workerPids()]);
  return {
    resident: new Map(pids.map((pid) => [pid, residentBytes(pid)])),
    diskBytes: Math.max(...nodes.map((node) => diskBytes(join(node.folder, `data-${node.name}`)))),
  };
}

/** What it takes on the medium. */
function diskBytes(folder: string): number {
  let sum = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile())
      sum += (statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.blocks ?? 0) * BLOCK_BYTES;
  return sum;
}
