/**
 * Makes a process quick at taking a slot before it has to be: does the whole of it several times, with small slots in a folder of its own that
 * goes afterwards, so that the code which recovers, appends, reads and talks to other slots is compiled when a slot falls vacant. Code
 * that runs for the first time costs ten times as much and more.
 */
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemDisk } from '../../core/ports/disk.ts';
import { settleHeap } from '../../core/ports/heap.ts';
import { recordSetOf } from '../../core/record-set.ts';
import type { EmbeddedEngine } from './embedded-engine.ts';
import { prepareEmbeddedEngine } from './embedded-engine.ts';
import { journalFolder } from './journal-folders.ts';
import { segmentAt } from './log/segment.ts';
import { parseFileName } from './log/segment-format.ts';
import { readSegmentHeader } from './sealed-segments.ts';
import { readUnsealed, type SegmentContents } from './unsealed-segment.ts';

const SLOTS = 2;
const PARTITIONS = 4;
const TAKES = 3;
const FLUSHES = 150;
const BATCHES_PER_FLUSH = 100;
const PAUSE_MS = 4;
const TOPIC = 'warm-up';
const FOLDER_PREFIX = 'tandem-warm-up-';
/** What the compiler knows of a kind of objects it forgets when the last one of them is collected: so one of each stays. */
let specimens: unknown;
/** Frames often, so that both ways are gone: reading a trail, and scanning what comes after it. */
const TRAIL_PACE = { batches: 2500, bytes: 1 << 30 };

/**
 * Takes some hundred milliseconds of a processor, in pieces, over a second or two. `signal`: there are better things to do now. Never rejects: without it everything works, only
 * slower.
 */
export async function warmUp(signal: AbortSignal): Promise<void> {
  let folder: string | undefined;
  try {
    removeLeftOvers();
    folder = mkdtempSync(join(tmpdir(), `${FOLDER_PREFIX}${process.pid}-`));
    await takeSlots(folder, signal);
  } catch {
    // A full or read-only folder for temporary files.
  } finally {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    // What is thrown away here would otherwise be collected when a slot is taken.
    if (specimens !== undefined && !signal.aborted) settleHeap();
  }
}

/** Of processes that were killed while they warmed up. */
function removeLeftOvers(): void {
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith(FOLDER_PREFIX)) continue;
    const pid = Number.parseInt(name.slice(FOLDER_PREFIX.length), 10);
    if (!isAlive(pid)) rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function takeSlots(folder: string, signal: AbortSignal): Promise<void> {
  const first = join(folder, 'first');
  const engines = await openSlots(first);
  try {
    for (let flush = 0; flush < FLUSHES && !signal.aborted; flush++) await appendSome(engines, flush);
    for (let take = 0; take < TAKES && !signal.aborted; take++) {
      // What kill -9 would leave.
      const copy = join(folder, `copy-${take}`);
      cpSync(first, copy, { recursive: true, filter: (path) => !path.endsWith('.sock') });
      specimens = [unsealedOf(copy), await useSlots(await openSlots(copy), take)];
    }
  } finally {
    await closeAll(engines);
  }
}

function openSlots(dataDir: string): Promise<EmbeddedEngine[]> {
  const settings = { dataDir, trailPace: TRAIL_PACE, sealDelayMs: 0 };
  const open = async (slot: number): Promise<EmbeddedEngine> => {
    const prepared = await prepareEmbeddedEngine(settings);
    return prepared.take({ slot: { slot, slots: SLOTS, slotTerm: 1 } });
  };
  return Promise.all(Array.from({ length: SLOTS }, (_, slot) => open(slot)));
}

/** As recovery reads it. */
function unsealedOf(dataDir: string): SegmentContents[] {
  const folder = journalFolder(dataDir, 0);
  return systemDisk.listSync(folder).flatMap((file) => {
    const name = parseFileName(file, 'seg');
    if (name === undefined) return [];
    const header = readSegmentHeader(systemDisk, join(folder, file));
    return header === undefined ? [] : [readUnsealed(systemDisk, segmentAt(folder, 0, name, header.id), false)];
  });
}

async function useSlots(engines: readonly EmbeddedEngine[], take: number): Promise<unknown> {
  try {
    for (const engine of engines)
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const place = { topic: TOPIC, partition };
        const stop = engine.store.watch(place, () => {});
        const { nextOffset } = await engine.store.state(place);
        await engine.store.read(place, { epoch: '', offset: nextOffset >> 1 }, 4096);
        stop();
      }
    await appendSome(engines, FLUSHES + take);
    return engines;
  } finally {
    await closeAll(engines);
  }
}

/** One batch of each producer to each slot, from its own process and from another one. */
async function appendSome([a, b]: readonly EmbeddedEngine[], flush: number): Promise<void> {
  if (a === undefined || b === undefined) return;
  if (flush === 0)
    await a.topics.ensure({ name: TOPIC, partitions: PARTITIONS, retentionMs: null, retentionBytes: null });
  const set = recordSetOf([{ data: Buffer.alloc(100, 'w') }]);
  const appends: Promise<unknown>[] = [];
  for (let i = 0; i < BATCHES_PER_FLUSH; i++) {
    const place = { topic: TOPIC, partition: i % PARTITIONS, set };
    const engine = i < 10 ? b : i % 2 === 0 ? a : b;
    const producer = { id: `producer-${i % 50}-${i % PARTITIONS}`, sequence: flush * 2 + (i < 50 ? 1 : 2) };
    appends.push(engine.store.append(i % 10 === 9 ? place : { ...place, producer }));
  }
  await Promise.all(appends);
  // What the process does besides, and the other processes of the machine, come first.
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
}

async function closeAll(engines: readonly EmbeddedEngine[]): Promise<void> {
  await Promise.all(engines.map((engine) => engine.close()));
}
