/** Checks of the data folder: rights, space, how long the disk takes to make a write durable, and every stored batch. */
import { constants, existsSync } from 'node:fs';
import { access, open, rm, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { TandemConfig } from '../config/tandem-config.ts';
import { verifyStoredData } from '../topology/verify.ts';
import { startProgress } from './progress.ts';
import { bytesText, countText, durationText } from './terminal.ts';

export interface Check {
  readonly name: string;
  /** Which server it is about. */
  readonly server?: string;
  readonly result: 'ok' | 'warning' | 'failed';
  readonly finding: string;
  /** What to do, unless it is ok. */
  readonly advice?: string;
}

const FREE_BYTES_MIN = 1024 ** 3;
const FREE_FRACTION_MIN = 0.05;
const SYNC_ROUNDS = 32;
const SYNC_BYTES = 4096;
const SYNC_SLOW_MS = 10;

export async function* checkData(config: TandemConfig): AsyncGenerator<Check> {
  if (config.engine.kind === 'memory') {
    yield {
      name: 'data',
      result: 'warning',
      finding: 'engine: memory',
      advice: 'Records are lost when the process ends.',
    };
    return;
  }
  const folder = nearestFolder(config.dataFolder);
  const rights = await checkRights(config.dataFolder, folder);
  yield rights;
  if (rights.result === 'failed') return;
  yield await checkSpace(folder, config);
  yield await checkSync(folder);
  if (folder === config.dataFolder) yield await checkRecords(config);
}

/** The folder itself, or the nearest one above it that exists. */
function nearestFolder(folder: string): string {
  let at = folder;
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  return at;
}

async function checkRights(wanted: string, folder: string): Promise<Check> {
  try {
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    const finding = folder === wanted ? wanted : `${wanted} (does not exist yet; will be created)`;
    return { name: 'data folder', result: 'ok', finding };
  } catch (error) {
    return {
      name: 'data folder',
      result: 'failed',
      finding: `${folder}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`,
      advice:
        'Give the user that runs Tandem the right to read and write it, or name another folder (data: in the config).',
    };
  }
}

async function checkSpace(folder: string, { engine }: TandemConfig): Promise<Check> {
  const { bavail, blocks, bsize } = await statfs(folder);
  const freeBytes = bavail * bsize;
  const finding = `${bytesText(freeBytes)} of ${bytesText(blocks * bsize)}`;
  const spoolBytesMax = engine.kind === 'redis' && engine.ack === 'flushed' ? engine.spool.bytesMax : 0;
  if (freeBytes < spoolBytesMax)
    return {
      name: 'free space',
      result: 'warning',
      finding: `${finding}; the spool may take ${bytesText(spoolBytesMax)}`,
      advice: 'Free space, or lower engine.spool.bytesMax; when the disk is full, records are refused.',
    };
  const isLittle = freeBytes < FREE_BYTES_MIN || bavail / blocks < FREE_FRACTION_MIN;
  return {
    name: 'free space',
    result: isLittle ? 'warning' : 'ok',
    finding,
    advice: 'Free space or lower the retention; when the disk is full, records are refused.',
  };
}

async function checkSync(folder: string): Promise<Check> {
  const path = join(folder, `.tandem-doctor-${process.pid}`);
  const file = await open(path, 'wx');
  try {
    const times: number[] = [];
    for (let round = 0; round < SYNC_ROUNDS; round++) {
      await file.write(Buffer.alloc(SYNC_BYTES, round), 0, SYNC_BYTES, round * SYNC_BYTES);
      const startMs = performance.now();
      await file.datasync();
      times.push(performance.now() - startMs);
    }
    const median = times.sort((a, b) => a - b)[SYNC_ROUNDS / 2] ?? 0;
    return {
      name: 'fdatasync',
      result: median > SYNC_SLOW_MS ? 'warning' : 'ok',
      finding: `${durationText(median)} (median of ${SYNC_ROUNDS}, the slowest ${durationText(times.at(-1) ?? 0)})`,
      advice: 'Every acknowledgement waits for one: use a faster disk, or more connections and records in flight.',
    };
  } finally {
    await file.close();
    await rm(path, { force: true });
  }
}

async function checkRecords(config: TandemConfig): Promise<Check> {
  const progress = startProgress('segments checked');
  const { batches, records, bytes, problems } = await verifyStoredData(config, (done, total) =>
    progress.update(done, total),
  );
  progress.end();
  const finding = `${countText(records)} records in ${countText(batches)} batches, ${bytesText(bytes)}`;
  if (problems.length === 0) return { name: 'records', result: 'ok', finding: `${finding}: every checksum is right` };
  return {
    name: 'records',
    result: 'failed',
    finding: [finding, ...problems].join('\n'),
    advice: 'The records named are lost here; restore them from a backup or another node. All others can be read.',
  };
}
