/**
 * Opening a journal: finds the end of every segment that is not sealed, so that the journal can go on in a new one. What the segment's
 * trail tells is taken from there, what comes after is scanned (unsealed-segment.ts). Of the segments that this slot's own processes have
 * left without damage an index is kept in memory, and they are sealed later, when nobody waits (late-seals.ts); the others are sealed at
 * once. Before that, what was scanned is forced: the process that wrote it may have died before it had done so.
 *
 * Damage is logged with file, place and the offsets that are lost; the file is left as it is, reads that come upon it answer
 * TANDEM_LOG_CORRUPT.
 *
 * A segment without a batch is deleted, and so is one in whose place compaction has put another one; later, what is surely of no use. A
 * missing or damaged sidecar is made again. If the segment belongs to another state database than the present one (that was lost), its topics are created again and its
 * producers remembered again.
 */
import { join } from 'node:path';
import type { Logger } from '../../core/contracts/telemetry.ts';
import { TandemError } from '../../core/errors.ts';
import type { Disk } from '../../core/ports/disk.ts';
import type { BatchHeader } from './log/batch-format.ts';
import { LONGEST_BATCH_HEAD_BYTES, readBatchHeader, segmentIdAt } from './log/batch-format.ts';
import type { SegmentDamage } from './log/recovery-scan.ts';
import { isZero } from './log/recovery-scan.ts';
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
  trailFileName,
} from './log/segment-format.ts';
import { encodeSidecar } from './log/sidecar-format.ts';
import type { ProducerStates } from './producers.ts';
import { ensureTopics, renewEpochs } from './recovered-topics.ts';
import { readDirectory, readSegmentHeader, type SealedSegments } from './sealed-segments.ts';
import type { StateDatabase } from './state-database.ts';
import type { Topics } from './topics.ts';
import { readUnsealed, type SegmentContents } from './unsealed-segment.ts';

export interface RecoveryOptions {
  readonly disk: Disk;
  readonly logger: Logger;
  readonly state: StateDatabase;
  readonly topics: Topics;
  readonly producers: ProducerStates;
  readonly sealed: SealedSegments;
  readonly slot: number;
  readonly slots: number;
}

export interface RecoveryReport {
  /** Without a sidecar. */
  segments: number;
  /** Found in them. */
  batches: number;
  scannedBytes: number;
  tornTails: number;
  damages: number;
}

/** A segment that is read but not sealed: its `index` is set. */
export interface UnsealedSegment {
  readonly segment: Segment;
  readonly end: number;
}

/** What can be done when the slot serves again (late-seals.ts). */
export interface LeftToDo {
  /** Oldest first. */
  readonly unsealed: readonly UnsealedSegment[];
  /** Files that mean nothing any more. */
  readonly leftOvers: readonly string[];
}

interface Found {
  readonly segment: Segment;
  readonly header: SegmentHeader;
  readonly contents: SegmentContents;
}

/** The header of a segment takes no more than that of the medium. */
const PAGE_BYTES = 4096;

export class JournalRecovery {
  readonly #options: RecoveryOptions;
  readonly #folder: string;
  readonly #journal: number;
  readonly #report: RecoveryReport;
  readonly #files: ReadonlySet<string>;
  readonly #names: readonly SegmentName[];
  readonly #unsealed: UnsealedSegment[] = [];
  readonly #leftOvers: string[] = [];
  /** The last sequence that holds something. */
  #lastInUse = 0;

  /** The caller holds the journal's lock. `report` is added to. */
  constructor(options: RecoveryOptions, folder: string, journal: number, report: RecoveryReport) {
    this.#options = options;
    this.#folder = folder;
    this.#journal = journal;
    this.#report = report;
    this.#files = new Set(options.disk.listSync(folder));
    this.#names = [...this.#files].flatMap((file) => parseFileName(file, 'seg') ?? []);
  }

  /** The highest that there is; 0: none. */
  get lastSequence(): number {
    return this.#names.reduce((highest, { last }) => Math.max(highest, last), 0);
  }

  /** Errors: TANDEM_DATA_VERSION, TANDEM_DISK_FULL, TANDEM_STORE_FAILED (or what the disk throws). */
  run(): LeftToDo {
    this.#clearStrays();
    const used: SegmentName[] = [];
    for (const name of this.#names) {
      const use = this.#files.has(sidecarFileName(name)) ? 'batch' : this.#lookInto(name);
      if (use === 'nothing') this.#leftOvers.push(join(this.#folder, segmentFileName(name)));
      else used.push(name);
      if (use === 'batch') this.#lastInUse = Math.max(this.#lastInUse, name.last);
    }
    this.#recover(used);
    return { unsealed: this.#unsealed, leftOvers: this.#leftOvers };
  }

  /** Drafts at once: whoever makes the next one of the name must not meet them. */
  #clearStrays(): void {
    for (const file of this.#files) {
      const path = join(this.#folder, file);
      const name = parseFileName(file, 'idx');
      const isStray = name !== undefined && !this.#files.has(segmentFileName(name));
      if (isStray || file.endsWith('.draft')) this.#options.disk.removeSync(path);
      const trail = parseFileName(file, 'trail');
      if (trail === undefined) continue;
      const isUseful = this.#files.has(segmentFileName(trail)) && !this.#files.has(sidecarFileName(trail));
      if (!isUseful) this.#leftOvers.push(path);
    }
  }

  /** What was written to the segment: a batch, certainly nothing (it was made ahead of need), or what only a scan tells. */
  #lookInto(name: SegmentName): 'batch' | 'nothing' | 'unclear' {
    const file = this.#options.disk.openSync(join(this.#folder, segmentFileName(name)), 'read');
    try {
      const bytes = Buffer.alloc(PAGE_BYTES);
      const start = bytes.subarray(0, file.readSync(bytes, 0));
      const id = segmentIdAt(start, SEGMENT_HEADER_BYTES);
      if (id !== undefined && readBatchHeader(start, SEGMENT_HEADER_BYTES, id) !== undefined) return 'batch';
      const isUnused =
        decodeSegmentHeader(start)?.version === SEGMENT_VERSION &&
        isZero(start.subarray(SEGMENT_HEADER_BYTES)) &&
        file.allocatedBytesSync() <= PAGE_BYTES;
      return isUnused && !this.#files.has(trailFileName(name)) ? 'nothing' : 'unclear';
    } finally {
      file.close();
    }
  }

  /**
   * Oldest first. Where compaction died between putting a segment in the place of others and removing those, the new one is read whole
   * and its name made durable (by its sidecar) before they go.
   */
  #recover(names: readonly SegmentName[]): void {
    for (const name of namesInForce(names)) {
      const replaced = isWhole(name) ? names.filter((other) => replaces(name, other)) : [];
      const isDoubtful = replaced.length > 0;
      if (!isDoubtful && this.#options.sealed.find(this.#folder, this.#journal, name) !== undefined) continue;
      if (this.#recoverSegment(name, isDoubtful)) for (const old of replaced) this.#remove(old);
      else this.#recover(replaced);
    }
  }

  #remove(name: SegmentName): void {
    for (const file of [sidecarFileName(name), trailFileName(name), segmentFileName(name)])
      if (this.#files.has(file)) this.#options.disk.removeSync(join(this.#folder, file));
  }

  /** false: there is no such segment any more. `isDoubtful`: do not rely on its sidecar. */
  #recoverSegment(name: SegmentName, isDoubtful: boolean): boolean {
    const { disk, state } = this.#options;
    const path = join(this.#folder, segmentFileName(name));
    const header = readSegmentHeader(disk, path) ?? this.#damagedHeader(path, name.last);
    if (header === undefined) {
      this.#setAside(path);
      return false;
    }
    if (header.version !== SEGMENT_VERSION)
      throw new TandemError('TANDEM_DATA_VERSION', { detail: `${path} has version ${header.version}` });
    const segment = segmentAt(this.#folder, this.#journal, name, header.id);
    const facts = isDoubtful ? undefined : readDirectory(disk, segment.sidecarPath)?.facts;
    if (facts?.storeId === state.storeId && facts.segmentId.low === header.id.low) return true;
    const contents = readUnsealed(disk, segment, name.last < this.#lastInUse);
    this.#note(segment, contents);
    if (contents.index.rows === 0 && contents.result.damages.length === 0) {
      this.#remove(name);
      return false;
    }
    ensureTopics(this.#options.topics, contents.index.topics());
    const found = { segment, header, contents };
    if (this.#mayWait(found)) this.#keep(found);
    else this.#seal(found);
    return true;
  }

  #note({ path }: Segment, { index, result, scannedFrom }: SegmentContents): void {
    const { logger } = this.#options;
    const report = this.#report;
    report.segments++;
    report.batches += index.rows;
    report.scannedBytes += result.end - scannedFrom;
    if (result.isTorn) {
      report.tornTails++;
      logger.info('torn_tail_cut', { file: path, bytePosition: result.end });
    }
    for (const { from, to, header: lost } of result.damages) {
      report.damages++;
      const what = lost === undefined ? {} : lostRecords(lost);
      logger.error('log_damaged', { file: path, bytePosition: from, nextBytePosition: to, ...what });
    }
  }

  /** Nothing is wrong with it, and no other slot may look for its records. */
  #mayWait({ segment, header, contents }: Found): boolean {
    const { slot, slots, state } = this.#options;
    return (
      segment.journal === slot &&
      header.slots === slots &&
      header.storeId === state.storeId &&
      contents.result.damages.length === 0 &&
      !isWhole(segment.name)
    );
  }

  #keep({ segment, contents: { index, result } }: Found): void {
    // Zeros after the end mean nothing; anything else would be damage as soon as the journal goes on.
    this.#force(segment, result.isTorn ? result.end : undefined);
    segment.index = index;
    this.#options.producers.addIndex(index);
    this.#unsealed.push({ segment, end: result.end });
  }

  #seal({ segment, header, contents: { index, result } }: Found): void {
    const { disk, producers, state } = this.#options;
    if (result.hasUnknownLoss) {
      const isUnknown = (damage: SegmentDamage): boolean => damage.header === undefined;
      renewEpochs(this.#options, header, index, result.damages.findLast(isUnknown));
    }
    this.#force(segment, result.end);
    producers.persistRows([...producers.rowsOf(index)]);
    const facts = { ...result, slot: header.slot, storeId: state.storeId, segmentId: segment.id };
    disk.replaceSync(segment.sidecarPath, encodeSidecar(facts, index.extents()));
    disk.removeSync(segment.trailPath);
  }

  #force(segment: Segment, cutAt: number | undefined): void {
    const file = this.#options.disk.openSync(segment.path, 'write');
    try {
      if (cutAt !== undefined) file.truncateSync(cutAt);
      file.dataSyncSync();
    } finally {
      file.close();
    }
  }

  /** What the header of a segment said, told from its first batch. undefined: there is none either. */
  #damagedHeader(path: string, sequence: number): SegmentHeader | undefined {
    const { disk, logger, state, slots } = this.#options;
    const bytes = readStart(disk, path, SEGMENT_HEADER_BYTES + LONGEST_BATCH_HEAD_BYTES);
    if (isZero(bytes)) return undefined;
    this.#report.damages++;
    logger.error('log_damaged', { file: path, bytePosition: 0, consequence: 'the header of the segment is damaged' });
    const id = segmentIdAt(bytes, SEGMENT_HEADER_BYTES);
    if (id === undefined || readBatchHeader(bytes, SEGMENT_HEADER_BYTES, id) === undefined) return undefined;
    const { storeId } = state;
    return { version: SEGMENT_VERSION, slot: this.#journal, slots, sequence, id, storeId, createdMs: 0 };
  }

  /** A file that is no segment: all zeros if its maker died while making it, otherwise damaged beyond reading. */
  #setAside(path: string): void {
    const { disk, logger, slots } = this.#options;
    if (isZero(readStart(disk, path, Number.POSITIVE_INFINITY))) {
      disk.removeSync(path);
      return;
    }
    disk.renameSync(path, `${path}.damaged`);
    logger.error('segment_set_aside', { file: `${path}.damaged`, consequence: 'none of its records can be read' });
    renewEpochs(this.#options, { slot: this.#journal, slots }, undefined, undefined);
  }
}

const lostRecords = ({ topic, partition, firstOffset, count }: BatchHeader) => ({
  topic,
  partition,
  fromOffset: firstOffset,
  nextOffset: firstOffset + count,
});

function readStart(disk: Disk, path: string, bytesMax: number): Buffer {
  const file = disk.openSync(path, 'read');
  try {
    const bytes = Buffer.allocUnsafeSlow(Math.min(bytesMax, file.sizeSync()));
    return bytes.subarray(0, file.readSync(bytes, 0));
  } finally {
    file.close();
  }
}
