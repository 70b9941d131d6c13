/**
 * Reads every batch in a data folder and checks it against its checksums, for `tandem doctor`. Only reads; a node may be running: the
 * unfinished end of a segment that is being written is no damage, and segments in whose place compaction has put another one (they go
 * at the next start at the latest) do not count.
 *
 * Finds: flipped bits, overwritten and cut batches, files that are no segments. Does not find a file that is missing as a whole.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BatchHeader } from './log/batch-format.ts';
import { type SegmentDamage, scanSegment } from './log/recovery-scan.ts';
import {
  decodeSegmentHeader,
  isWhole,
  namesInForce,
  parseFileName,
  SEGMENT_VERSION,
  type SegmentName,
  segmentFileName,
  sidecarFileName,
} from './log/segment-format.ts';

export interface DataFolderReport {
  segments: number;
  batches: number;
  records: number;
  bytes: number;
  /** Each names the file, the place and what is lost. */
  readonly problems: string[];
}

const JOURNAL_FOLDER = /^journal-\d+$/;

/** `onProgress` is told after each segment. Errors: what the system answers when a folder or file cannot be read. */
export async function verifyDataFolder(
  dataFolder: string,
  onProgress?: (segments: number, total: number) => void,
): Promise<DataFolderReport> {
  const report: DataFolderReport = { segments: 0, batches: 0, records: 0, bytes: 0, problems: [] };
  const segments = await segmentsOf(dataFolder);
  for (const segment of segments) {
    await verifySegment(segment, report);
    onProgress?.(++report.segments, segments.length);
  }
  return report;
}

interface FoundSegment {
  readonly path: string;
  readonly name: SegmentName;
  readonly isSealed: boolean;
}

async function segmentsOf(dataFolder: string): Promise<FoundSegment[]> {
  const folders = (await readdir(dataFolder)).filter((name) => JOURNAL_FOLDER.test(name)).sort();
  const found = folders.map(async (folder) => {
    const files = await readdir(join(dataFolder, folder));
    return namesInForce(files.flatMap((file) => parseFileName(file, 'seg') ?? [])).map((name) => ({
      path: join(dataFolder, folder, segmentFileName(name)),
      name,
      isSealed: isWhole(name) || files.includes(sidecarFileName(name)),
    }));
  });
  return (await Promise.all(found)).flat();
}

async function verifySegment({ path, name, isSealed }: FoundSegment, report: DataFolderReport): Promise<void> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    // Retention or compaction of a running node may have removed it since it was listed.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  const header = decodeSegmentHeader(bytes);
  if (header === undefined) {
    if (isSealed || bytes.some((byte) => byte !== 0)) report.problems.push(`${path}: the segment's header is damaged`);
    return;
  }
  if (header.version !== SEGMENT_VERSION) {
    report.problems.push(`${path}: written by another version (${header.version})`);
    return;
  }
  const count = (batch: BatchHeader): void => {
    report.batches++;
    report.records += batch.count;
  };
  const { end, isTorn, damages } = scanSegment(bytes, header.id, count, { isFollowed: isWhole(name) });
  report.bytes += end;
  for (const damage of damages) report.problems.push(damageText(path, damage));
  if (isTorn && isSealed) report.problems.push(`${path}: bytes ${end} to ${bytes.length} are damaged`);
}

function damageText(path: string, { from, to, header }: SegmentDamage): string {
  const place = `${path}: bytes ${from} to ${to} are damaged`;
  if (header === undefined) return `${place}; which records are lost cannot be read`;
  const { topic, partition, firstOffset, count } = header;
  return `${place}; lost: ${topic} partition ${partition} offsets ${firstOffset} to ${firstOffset + count - 1}`;
}
