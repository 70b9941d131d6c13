/**
 * Opening a journal: every segment that is not sealed is scanned, cut at its end, indexed and sealed, so that afterwards the folder
 * holds sealed segments only and the journal goes on in a new one. Damage is logged with file, place and the offsets that are lost;
 * the file is left as it is, reads that come upon it answer TANDEM_LOG_CORRUPT.
 *
 * A segment without a batch is deleted, and so is one in whose place compaction has put another one. A missing or damaged sidecar is
 * made again. If the segment belongs to another state database
 * than the present one (that was lost), its topics are created again and its producers remembered again.
 */
import { join } from 'node:path';
import type { Logger } from '../../core/contracts/telemetry.ts';
import { TandemError } from '../../core/errors.ts';
import type { Disk } from '../../core/ports/disk.ts';
import { partitionKey } from '../../core/record.ts';
import type { BatchHeader } from './log/batch-format.ts';
import { LONGEST_BATCH_HEAD_BYTES, readBatchHeader, segmentIdAt } from './log/batch-format.ts';
import { GrowingExtent } from './log/extent.ts';
import type { ProducerWindow } from './log/producer-window.ts';
import { advanceWindow, EMPTY_WINDOW } from './log/producer-window.ts';
import type { ScanResult, SegmentDamage } from './log/recovery-scan.ts';
import { scanSegment } from './log/recovery-scan.ts';
import type { Segment } from './log/segment.ts';
import { segmentAt } from './log/segment.ts';
import type { SegmentHeader, SegmentName } from './log/segment-format.ts';
import {
  decodeSegmentHeader,
  isWhole,
  namesInForce,
  parseFileName,
  replaces,
  SEGMENT_HEADER_BYTES,
  SEGMENT_VERSION,
  segmentFileName,
  sidecarFileName,
} from './log/segment-format.ts';
import type { SidecarFacts } from './log/sidecar-format.ts';
import { encodeSidecar, SIDECAR_HEADER_BYTES, SidecarDirectory } from './log/sidecar-format.ts';
import { ownerSlot } from './ownership.ts';
import type { ProducerRow, ProducerStates } from './producers.ts';
import type { StateDatabase } from './state-database.ts';
import type { Topics } from './topics.ts';

export interface RecoveryOptions {
  readonly disk: Disk;
  readonly logger: Logger;
  readonly state: StateDatabase;
  readonly topics: Topics;
  readonly producers: ProducerStates;
  readonly slots: number;
}

export interface RecoveryReport {
  scannedSegments: number;
  tornTails: number;
  damages: number;
}

/** What a scan finds. */
export interface SegmentContents {
  readonly extents: ReadonlyMap<string, GrowingExtent>;
  readonly producers: readonly ProducerRow[];
  readonly result: ScanResult;
}

interface Found {
  readonly segment: Segment;
  readonly header: SegmentHeader;
  readonly isFollowed: boolean;
}

/** Recovers a journal's folder. Returns its highest sequence (0: none). Errors: TANDEM_DATA_VERSION, TANDEM_DISK_FULL, TANDEM_STORE_FAILED. */
export function recoverJournal(
  options: RecoveryOptions,
  folder: string,
  journal: number,
  report: RecoveryReport,
): number {
  const { disk } = options;
  const files = disk.listSync(folder);
  for (const file of files) {
    const name = parseFileName(file, 'idx');
    const isStray = name !== undefined && !files.includes(segmentFileName(name));
    if (isStray || file.endsWith('.draft')) disk.removeSync(join(folder, file));
  }
  const names = files.flatMap((file) => parseFileName(file, 'seg') ?? []);
  const inUse = names.filter((name) => holdsBatch(disk, folder, files, name));
  const lastInUse = Math.max(0, ...inUse.map(({ last }) => last));
  recoverNames(options, { folder, journal, lastInUse }, names, report);
  return Math.max(0, ...names.map(({ last }) => last));
}

/** Whether the segment was written to, as far as its first bytes tell. */
function holdsBatch(disk: Disk, folder: string, files: readonly string[], name: SegmentName): boolean {
  if (files.includes(sidecarFileName(name))) return true;
  const path = join(folder, segmentFileName(name));
  const bytes = readStart(disk, path, SEGMENT_HEADER_BYTES + LONGEST_BATCH_HEAD_BYTES);
  const id = segmentIdAt(bytes, SEGMENT_HEADER_BYTES);
  return id !== undefined && readBatchHeader(bytes, SEGMENT_HEADER_BYTES, id) !== undefined;
}

/** The sealed segments of a journal: those with a sidecar. Others are being written by their own slot just now. */
export function sealedSegments(disk: Disk, folder: string, journal: number): Segment[] {
  const segments: Segment[] = [];
  const files = new Set(disk.listSync(folder));
  const names = [...files].flatMap((file) => parseFileName(file, 'seg') ?? []);
  for (const name of namesInForce(names.filter((each) => files.has(sidecarFileName(each))))) {
    const directory = readDirectory(disk, join(folder, sidecarFileName(name)));
    if (directory === undefined) continue;
    segments.push({ ...segmentAt(folder, journal, name, directory.facts.segmentId), directory });
  }
  return segments;
}

interface JournalPlace {
  readonly folder: string;
  readonly journal: number;
  /** The last sequence that holds something. */
  readonly lastInUse: number;
}

/**
 * Oldest first. Where compaction died between putting a segment in the place of others and removing those, the new one is read whole
 * and its name made durable (by its sidecar) before they go.
 */
function recoverNames(
  options: RecoveryOptions,
  place: JournalPlace,
  names: readonly SegmentName[],
  report: RecoveryReport,
): void {
  for (const name of namesInForce(names)) {
    const replaced = names.filter((other) => replaces(name, other));
    const stands = recoverSegment(options, place, name, replaced.length > 0, report);
    if (!stands) {
      recoverNames(options, place, replaced, report);
      continue;
    }
    for (const old of replaced) {
      options.disk.removeSync(join(place.folder, sidecarFileName(old)));
      options.disk.removeSync(join(place.folder, segmentFileName(old)));
    }
  }
}

/** false: there is no such segment any more. `isDoubtful`: do not rely on its sidecar. */
function recoverSegment(
  options: RecoveryOptions,
  { folder, journal, lastInUse }: JournalPlace,
  name: SegmentName,
  isDoubtful: boolean,
  report: RecoveryReport,
): boolean {
  const { disk, state, topics } = options;
  const path = join(folder, segmentFileName(name));
  const directory = isDoubtful ? undefined : readDirectory(disk, join(folder, sidecarFileName(name)));
  const header = readSegmentHeader(disk, path) ?? damagedHeader(options, path, journal, name.last, report);
  if (header === undefined) {
    setAside(options, path, journal);
    return false;
  }
  if (header.version !== SEGMENT_VERSION)
    throw new TandemError('TANDEM_DATA_VERSION', { detail: `${path} has version ${header.version}` });
  if (directory?.facts.storeId === state.storeId && directory.facts.segmentId.low === header.id.low) {
    ensureTopics(topics, directoryTopics(directory, topics));
    return true;
  }
  const segment = segmentAt(folder, journal, name, header.id);
  return sealFound(options, { segment, header, isFollowed: name.last < lastInUse }, report);
}

/** false: it was empty, and is deleted. */
function sealFound(options: RecoveryOptions, { segment, header, isFollowed }: Found, report: RecoveryReport): boolean {
  const { disk, logger, producers, topics } = options;
  const { extents, producers: rows, result } = readSegment(options, segment, header, isFollowed);
  report.scannedSegments++;
  if (result.isTorn) {
    report.tornTails++;
    logger.info('torn_tail_cut', { file: segment.path, bytePosition: result.end });
  }
  for (const { from, to, header: lost } of result.damages) {
    report.damages++;
    const what = lost === undefined ? {} : lostRecords(lost);
    logger.error('log_damaged', { file: segment.path, bytePosition: from, nextBytePosition: to, ...what });
  }
  if (extents.size === 0 && result.damages.length === 0) {
    disk.removeSync(segment.path);
    disk.removeSync(segment.sidecarPath);
    return false;
  }
  ensureTopics(topics, extentTopics(extents));
  if (result.hasUnknownLoss)
    renewEpochs(
      options,
      header,
      extents,
      result.damages.findLast((damage) => damage.header === undefined),
    );
  const file = disk.openSync(segment.path, 'write');
  try {
    file.truncateSync(result.end);
    file.dataSyncSync();
  } finally {
    file.close();
  }
  producers.persistRows(rows);
  const facts = { ...result, slot: header.slot, storeId: options.state.storeId };
  disk.replaceSync(segment.sidecarPath, sidecarOf(segment, facts, extents));
  return true;
}

export function sidecarOf(
  segment: Segment,
  facts: Omit<SidecarFacts, 'segmentId'>,
  extents: ReadonlyMap<string, GrowingExtent>,
): Buffer[] {
  return encodeSidecar({ ...facts, segmentId: segment.id }, extents.values());
}

const lostRecords = ({ topic, partition, firstOffset, count }: BatchHeader) => ({
  topic,
  partition,
  fromOffset: firstOffset,
  nextOffset: firstOffset + count,
});

/** The whole contents of a segment, by scanning it. */
export function readSegment(
  options: Pick<RecoveryOptions, 'disk' | 'producers'>,
  segment: Segment,
  header: Pick<SegmentHeader, 'id'>,
  isFollowed: boolean = false,
): SegmentContents {
  const bytes = readStart(options.disk, segment.path, Number.POSITIVE_INFINITY);
  const extents = new Map<string, GrowingExtent>();
  const producers = new Map<string, ProducerRow>();
  const visit = (batch: BatchHeader, position: number): void => {
    const key = partitionKey(batch.topic, batch.partition);
    let extent = extents.get(key);
    if (extent === undefined) {
      extent = new GrowingExtent(batch.topic, batch.partition, batch.firstOffset, batch.timeMs);
      extents.set(key, extent);
    }
    extent.add(position, batch.totalBytes, batch.firstOffset, batch.count, batch.timeMs);
    if (batch.producerId !== '') followProducer(options.producers, producers, `${key}/${batch.producerId}`, batch);
  };
  const result = scanSegment(bytes, header.id, visit, isFollowed || isWhole(segment.name));
  return { extents, producers: [...producers.values()], result };
}

function followProducer(states: ProducerStates, rows: Map<string, ProducerRow>, key: string, batch: BatchHeader): void {
  const { topic, partition, producerId, sequence, firstOffset, count, timeMs } = batch;
  const before: ProducerWindow = rows.get(key)?.window ?? states.load(topic, partition, producerId) ?? EMPTY_WINDOW;
  // The database may already have this batch: then it also has all before it.
  const window = sequence > before.lastSequence ? advanceWindow(before, sequence, firstOffset, count) : before;
  rows.set(key, { topic, partition, producerId, window, seenMs: timeMs });
}

function readSegmentHeader(disk: Disk, path: string): SegmentHeader | undefined {
  const file = disk.openSync(path, 'read');
  try {
    const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
    file.readSync(bytes, 0);
    return decodeSegmentHeader(bytes);
  } finally {
    file.close();
  }
}

function readStart(disk: Disk, path: string, bytesMax: number): Buffer {
  const file = disk.openSync(path, 'read');
  try {
    const bytes = Buffer.allocUnsafeSlow(Math.min(bytesMax, file.sizeSync()));
    return bytes.subarray(0, file.readSync(bytes, 0));
  } finally {
    file.close();
  }
}

function readDirectory(disk: Disk, path: string): SidecarDirectory | undefined {
  try {
    const file = disk.openSync(path, 'read');
    try {
      const head = Buffer.alloc(SIDECAR_HEADER_BYTES);
      file.readSync(head, 0);
      const bytes = Buffer.alloc(SidecarDirectory.bytesOf(head) ?? 0);
      file.readSync(bytes, 0);
      return SidecarDirectory.decode(bytes);
    } finally {
      file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** What the header of a segment said, told from its first batch. undefined: there is none either. */
function damagedHeader(
  { disk, logger, state, slots }: RecoveryOptions,
  path: string,
  slot: number,
  sequence: number,
  report: RecoveryReport,
): SegmentHeader | undefined {
  const bytes = readStart(disk, path, SEGMENT_HEADER_BYTES + LONGEST_BATCH_HEAD_BYTES);
  if (bytes.every((byte) => byte === 0)) return undefined;
  report.damages++;
  logger.error('log_damaged', { file: path, bytePosition: 0, consequence: 'the header of the segment is damaged' });
  const id = segmentIdAt(bytes, SEGMENT_HEADER_BYTES);
  if (id === undefined || readBatchHeader(bytes, SEGMENT_HEADER_BYTES, id) === undefined) return undefined;
  return { version: SEGMENT_VERSION, slot, slots, sequence, id, storeId: state.storeId, createdMs: 0 };
}

/** A file that is no segment: all zeros if its maker died while making it, otherwise damaged beyond reading. */
function setAside(options: RecoveryOptions, path: string, slot: number): void {
  const { disk, logger, slots } = options;
  if (readStart(disk, path, Number.POSITIVE_INFINITY).every((byte) => byte === 0)) {
    disk.removeSync(path);
    return;
  }
  disk.renameSync(path, `${path}.damaged`);
  logger.error('segment_set_aside', { file: `${path}.damaged`, consequence: 'none of its records can be read' });
  renewEpochs(options, { slot, slots }, new Map(), undefined);
}

function ensureTopics(topics: Topics, partitions: ReadonlyMap<string, number>): void {
  for (const [name, count] of partitions) {
    const known = topics.lookUp(name);
    if (known !== undefined && known.partitions >= count) continue;
    const { retentionMs, retentionBytes } = known ?? { retentionMs: null, retentionBytes: null };
    topics.ensureNow({ name, partitions: count, retentionMs, retentionBytes });
  }
}

function extentTopics(extents: ReadonlyMap<string, GrowingExtent>): Map<string, number> {
  const partitions = new Map<string, number>();
  for (const { topic, partition } of extents.values())
    partitions.set(topic, Math.max(partitions.get(topic) ?? 0, partition + 1));
  return partitions;
}

/** Only topics of which a partition was not met before in this process: names are the costly part of a large directory. */
function directoryTopics(directory: SidecarDirectory, topics: Topics): Map<string, number> {
  const partitions = new Map<string, number>();
  for (let row = 0; row < directory.rows; row++) {
    const hash = directory.hashOf(row);
    if (topics.metHashes.has(hash)) continue;
    topics.metHashes.add(hash);
    const { topic, partition } = directory.summary(row);
    partitions.set(topic, Math.max(partitions.get(topic) ?? 0, partition + 1));
  }
  return partitions;
}

/**
 * Batches are lost of which not even the partition is known. Whoever of this journal's partitions has nothing after the place may have
 * lost its last records: its offsets will be given again, so it gets a new epoch and old positions are refused.
 */
function renewEpochs(
  { topics, logger }: RecoveryOptions,
  writer: { readonly slot: number; readonly slots: number },
  extents: ReadonlyMap<string, GrowingExtent>,
  damage: SegmentDamage | undefined,
): void {
  topics.refresh();
  let renewed = 0;
  for (const topic of topics.known()) {
    for (let partition = 0; partition < topic.partitions; partition++) {
      if (ownerSlot(topic.name, topic.initialPartitions, partition, writer.slots) !== writer.slot) continue;
      const positions = extents.get(partitionKey(topic.name, partition))?.positions;
      if (damage !== undefined && (positions?.at(-1) ?? -1) > damage.from) continue;
      topics.renewEpoch(topic.name, partition);
      renewed++;
    }
  }
  logger.error('epochs_renewed', {
    partitions: renewed,
    reason: 'records at the ends of these partitions may be lost',
  });
}
