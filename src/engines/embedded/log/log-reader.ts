/**
 * Reads batches of a partition from its segments. Every batch is checked against its checksums and its place on every read. What is
 * in a recent segment is read at once (it is in memory anyway), older data on a thread.
 */
import type { Logger } from '../../../core/contracts/telemetry.ts';
import { TandemError } from '../../../core/errors.ts';
import type { RecordSet, StoredBatch } from '../../../core/record-set.ts';
import type { BatchHeader } from './batch-format.ts';
import { isBodyIntact, LONGEST_BATCH_HEAD_BYTES, readBatchHeader, recordSetAt } from './batch-format.ts';
import type { ExtentEntries, ExtentSummary } from './extent.ts';
import { entryAt, entryBytes } from './extent.ts';
import type { PartitionLog } from './partition-log.ts';
import type { EntriesCache, Extent, OpenFiles, Segment } from './segment.ts';
import { decodeEntries } from './sidecar-format.ts';

/** Batches so close together are read in one piece, with what is between them. */
const HOLE_BYTES_MAX = 4096;

/** What to read of one segment. */
interface Plan {
  readonly log: PartitionLog;
  readonly segment: Segment;
  readonly entries: ExtentEntries;
  readonly summary: ExtentSummary;
  readonly offset: number;
  readonly first: number;
  /** After the last. */
  readonly end: number;
}

export interface LogReaderOptions {
  readonly files: OpenFiles;
  readonly cache: EntriesCache;
  readonly logger: Logger;
  /** The segment that is being written. */
  readonly activeSegment: () => Segment;
  /** Entries of a segment whose sidecar cannot be read any more. */
  readonly rebuildEntries: (segment: Segment, topic: string, partition: number) => ExtentEntries;
}

export class LogReader {
  readonly #options: LogReaderOptions;
  damagedReads = 0;

  constructor(options: LogReaderOptions) {
    this.#options = options;
  }

  /** `offset` lies in [firstOffset, nextOffset). At least one batch. Errors: TANDEM_LOG_CORRUPT, TANDEM_STORE_FAILED. */
  read(log: PartitionLog, offset: number, bytesMax: number): StoredBatch[] | Promise<StoredBatch[]> {
    const plan = this.#plan(log, offset, bytesMax);
    const batches: StoredBatch[] = [];
    if (!plan.segment.isWarm) return this.#readLater(plan, batches);
    for (let from = plan.first; from < plan.end; ) {
      const { end, position, bytes } = nextPiece(plan, from);
      const target = Buffer.allocUnsafeSlow(bytes);
      const read = this.#options.files.readSync(plan.segment.path, target, position);
      if (!this.#take(plan, { from, end, position }, target.subarray(0, read), batches)) break;
      from = end;
    }
    return batches;
  }

  /** The time of the batch that holds `offset`; undefined if it cannot be read. */
  timeAt(log: PartitionLog, offset: number): number | undefined {
    const { segment, entries, first } = this.#plan(log, offset, 0);
    const bytes = Buffer.alloc(LONGEST_BATCH_HEAD_BYTES);
    const read = this.#options.files.readSync(segment.path, bytes, entries.positions[first] as number);
    return readBatchHeader(bytes.subarray(0, read), 0, segment.id)?.timeMs;
  }

  /** Where in the segment the batch with `offset` begins, or the next one. */
  entriesOf(extent: Extent): ExtentEntries {
    if (extent.entries !== undefined) return extent.entries;
    const { segment, topic, partition } = extent;
    if (segment.index !== undefined) return segment.index.entries(topic, partition);
    const key = `${segment.path}/${topic}/${partition}`;
    const cached = this.#options.cache.get(key);
    if (cached !== undefined) return cached;
    const entries = this.#loadEntries(segment, topic, partition);
    this.#options.cache.put(key, entries);
    return entries;
  }

  async #readLater(plan: Plan, batches: StoredBatch[]): Promise<StoredBatch[]> {
    for (let from = plan.first; from < plan.end; ) {
      const { end, position, bytes } = nextPiece(plan, from);
      const target = Buffer.allocUnsafeSlow(bytes);
      const read = await this.#options.files.read(plan.segment.path, target, position);
      if (!this.#take(plan, { from, end, position }, target.subarray(0, read), batches)) break;
      from = end;
    }
    return batches;
  }

  #plan(log: PartitionLog, offset: number, bytesMax: number): Plan {
    const { active } = log;
    if (active !== undefined && offset >= active.firstOffset)
      return planOf(log, this.#options.activeSegment(), active, active, offset, bytesMax);
    const index = lastAtOrBefore(log.extents, offset);
    const extent = log.extents[index];
    const following = log.extents[index + 1] ?? active;
    if (extent === undefined || extent.nextOffset <= offset) {
      const segment = extent?.segment ?? log.extents[0]?.segment ?? this.#options.activeSegment();
      throw this.#damage(log, segment, 0, offset, following?.firstOffset ?? log.nextOffset);
    }
    return planOf(log, extent.segment, this.entriesOf(extent), extent, offset, bytesMax);
  }

  /** Adds the batches of a piece; false: the rest must not be read now. Throws if already the first batch is damaged. */
  #take(
    plan: Plan,
    piece: { readonly from: number; readonly end: number; readonly position: number },
    bytes: Buffer,
    batches: StoredBatch[],
  ): boolean {
    const { entries, log, segment, summary } = plan;
    for (let i = piece.from; i < piece.end; i++) {
      const position = entries.positions[i] as number;
      const firstOffset = entries.firstOffsets[i] as number;
      const at = position - piece.position;
      const nextOffset = i + 1 < entries.count ? (entries.firstOffsets[i + 1] as number) : summary.nextOffset;
      const header = readBatchHeader(bytes, at, segment.id);
      const isWhole =
        header !== undefined &&
        header.firstOffset === firstOffset &&
        header.partition === log.partition &&
        header.topic === log.topic &&
        isBodyIntact(bytes, at, header);
      const before = batches.at(-1);
      const isGap = before !== undefined && before.firstOffset + before.set.count !== firstOffset;
      if (!isWhole || isGap) {
        if (before !== undefined) return false;
        throw this.#damage(log, segment, position, Math.max(plan.offset, firstOffset), nextOffset);
      }
      if (firstOffset + header.count <= plan.offset)
        throw this.#damage(log, segment, position + header.totalBytes, plan.offset, nextOffset);
      batches.push(batchOf(log, header, recordSetAt(bytes, at, header)));
    }
    return true;
  }

  #loadEntries(segment: Segment, topic: string, partition: number): ExtentEntries {
    const { directory } = segment;
    const row = directory?.find(topic, partition) ?? -1;
    if (directory !== undefined && row >= 0) {
      const place = directory.entriesPlace(row);
      const bytes = Buffer.alloc(place.bytes);
      const read = this.#options.files.readSync(segment.sidecarPath, bytes, place.position);
      const entries = decodeEntries(bytes.subarray(0, read), place);
      if (entries !== undefined) return entries;
    }
    this.#options.logger.warn('sidecar_damaged', { file: segment.sidecarPath });
    return this.#options.rebuildEntries(segment, topic, partition);
  }

  #damage(
    log: PartitionLog,
    segment: Segment,
    bytePosition: number,
    fromOffset: number,
    nextOffset: number,
  ): TandemError {
    this.damagedReads++;
    const { topic, partition } = log;
    const data = { file: segment.path, bytePosition, fromOffset, nextOffset };
    this.#options.logger.error('log_damaged', { topic, partition, ...data });
    const detail = `${segment.path} at byte ${bytePosition}: offsets ${fromOffset} to ${nextOffset - 1} of ${topic}/${partition} are lost`;
    return new TandemError('TANDEM_LOG_CORRUPT', { detail, data });
  }
}

function planOf(
  log: PartitionLog,
  segment: Segment,
  entries: ExtentEntries,
  summary: ExtentSummary,
  offset: number,
  bytesMax: number,
): Plan {
  const first = Math.max(0, entryAt(entries, offset));
  let end = first + 1;
  let bytes = entryBytes(entries, first, summary.bytes);
  while (end < entries.count) {
    bytes += entryBytes(entries, end, summary.bytes);
    if (bytes > bytesMax) break;
    end++;
  }
  return { log, segment, entries, summary, offset, first, end };
}

function batchOf({ topic, partition }: PartitionLog, header: BatchHeader, set: RecordSet): StoredBatch {
  const { firstOffset, timeMs, term, producerId, sequence } = header;
  const batch = { topic, partition, firstOffset, timeMs, term, set };
  return producerId === '' ? batch : { ...batch, producer: { id: producerId, sequence } };
}

/** Entries from `from` on that stand close together. */
function nextPiece(
  { entries, summary, end: last }: Plan,
  from: number,
): { end: number; position: number; bytes: number } {
  const position = entries.positions[from] as number;
  let stop = position + entryBytes(entries, from, summary.bytes);
  let end = from + 1;
  while (end < last && (entries.positions[end] as number) - stop <= HOLE_BYTES_MAX) {
    stop = (entries.positions[end] as number) + entryBytes(entries, end, summary.bytes);
    end++;
  }
  return { end, position, bytes: stop - position };
}

function lastAtOrBefore(extents: readonly Extent[], offset: number): number {
  let low = 0;
  let high = extents.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((extents[middle] as Extent).firstOffset <= offset) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
