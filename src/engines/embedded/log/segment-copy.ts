/**
 * Copies the live batches of sealed segments, oldest first and in the order of their places, into the draft of a new segment.
 *
 * A batch is copied only if both its checksums hold and it is the one that the sidecar says; its body stays byte for byte with its
 * checksum, its header gets the new segment's id and place and a new checksum. So a copy is checked on every read exactly as what was
 * written first, and every batch says that a flush began with it: a scan never takes one for a torn end.
 *
 * Nothing here holds up the event loop: reading and forcing are done on threads, and between writes of 256 KiB and every few hundred
 * batches others get their turn. The pace is the caller's.
 */
import type { LogFields } from '../../../core/contracts/telemetry.ts';
import type { Clock } from '../../../core/ports/clock.ts';
import type { Disk, DiskFile } from '../../../core/ports/disk.ts';
import { partitionKey } from '../../../core/record.ts';
import type { BatchHeader, SegmentId } from './batch-format.ts';
import { isBodyIntact, moveBatch, readBatchHeader } from './batch-format.ts';
import type { ExtentEntries, ExtentSummary } from './extent.ts';
import { entryAt, entryBytes, GrowingExtent } from './extent.ts';
import type { Segment } from './segment.ts';
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES } from './segment-format.ts';
import type { SidecarDirectory } from './sidecar-format.ts';
import { decodeEntries } from './sidecar-format.ts';

const WINDOW_BYTES = 512 * 1024;
const WRITE_BYTES = 256 * 1024;
const BATCHES_PER_TURN = 256;
const ENTRIES_PER_TURN = 20_000;
/** Little is left for the last force, and appends' forces do not wait behind a large one. */
const SYNC_EVERY_BYTES = 4 * 1024 * 1024;

export interface CopyInput {
  readonly segment: Segment;
  readonly directory: SidecarDirectory;
  /** What lives of it; not empty for all inputs. */
  readonly rows: readonly LiveRow[];
}

export interface LiveRow {
  readonly row: number;
  /** Of the partition: batches that end before it are left out. */
  readonly firstOffset: number;
}

export interface CopyOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  /** Resolves when so many bytes more may be read and written; rejects when copying must stop. */
  readonly spend: (bytes: number) => Promise<void>;
}

/** Why inputs cannot become one segment. */
export interface CopyRefusal {
  /** `damaged`: it must stay as it is; `apart`: it cannot be joined to the one before it. */
  readonly kind: 'damaged' | 'apart';
  readonly segment: Segment;
  readonly fields: LogFields;
}

export interface LiveExtents {
  /** How many slots there were when the inputs were written. */
  readonly slots: number;
  readonly sources: readonly Source[];
}

interface Source {
  readonly segment: Segment;
  readonly end: number;
  readonly liveBytes: number;
  readonly extents: readonly LiveExtent[];
}

interface LiveExtent {
  readonly key: string;
  readonly summary: ExtentSummary;
  readonly entries: ExtentEntries;
  /** The entry to copy next. */
  next: number;
}

interface LiveBatch {
  readonly extent: LiveExtent;
  readonly index: number;
  readonly position: number;
}

class Refused extends Error {
  readonly refusal: CopyRefusal;

  constructor(kind: CopyRefusal['kind'], segment: Segment, fields: LogFields) {
    super(kind);
    this.refusal = { kind, segment, fields };
  }
}

/** The refusal that an error of this file stands for; undefined for other errors. */
export const refusalOf = (error: unknown): CopyRefusal | undefined =>
  error instanceof Refused ? error.refusal : undefined;

/** Finds where the live batches are. Rejects with a refusal or the disk's error. */
export async function findLiveBatches(options: CopyOptions, inputs: readonly CopyInput[]): Promise<LiveExtents> {
  const sources: Source[] = [];
  const ends = new Map<string, number>();
  let slots: number | undefined;
  for (const input of inputs) {
    const { segment, directory } = input;
    const found = await slotsOf(options, segment);
    slots ??= found;
    if (slots !== found) throw new Refused('apart', segment, { reason: 'the number of slots has changed' });
    const extents = await loadExtents(options, input, ends);
    const liveBytes = extents.reduce((sum, extent) => sum + bytesFromNext(extent), 0);
    sources.push({ segment, end: directory.facts.end, liveBytes, extents });
  }
  return { slots: slots ?? 1, sources };
}

async function slotsOf({ disk }: CopyOptions, segment: Segment): Promise<number> {
  const bytes = await readPart(disk, segment.path, 0, SEGMENT_HEADER_BYTES);
  const header = decodeSegmentHeader(bytes);
  if (header === undefined) throw new Refused('damaged', segment, { file: segment.path, bytePosition: 0 });
  return header.slots;
}

/** `ends` has where each partition ended in the inputs before. */
async function loadExtents(
  { disk, clock, spend }: CopyOptions,
  { segment, directory, rows }: CopyInput,
  ends: Map<string, number>,
): Promise<LiveExtent[]> {
  if (rows.length === 0) return [];
  const places = rows.map(({ row }) => directory.entriesPlace(row));
  const start = places.reduce((least, { position }) => Math.min(least, position), Number.POSITIVE_INFINITY);
  const stop = places.reduce((most, { position, bytes }) => Math.max(most, position + bytes), 0);
  await spend(stop - start);
  const bytes = await readPart(disk, segment.sidecarPath, start, stop - start);
  const extents: LiveExtent[] = [];
  let decoded = 0;
  for (const [i, { row, firstOffset }] of rows.entries()) {
    const place = places[i] as (typeof places)[number];
    const at = place.position - start;
    const entries = decodeEntries(bytes.subarray(at, at + place.bytes), place);
    if (entries === undefined) throw new Refused('damaged', segment, { file: segment.sidecarPath });
    const summary = directory.summary(row);
    const key = partitionKey(summary.topic, summary.partition);
    const end = ends.get(key);
    if (end !== undefined && end !== summary.firstOffset)
      throw new Refused('apart', segment, { reason: `offsets of ${key} between them are elsewhere` });
    ends.set(key, summary.nextOffset);
    extents.push({ key, summary, entries, next: Math.max(0, entryAt(entries, firstOffset)) });
    decoded += place.count;
    if (decoded < ENTRIES_PER_TURN) continue;
    decoded = 0;
    await turn(clock);
  }
  return extents;
}

const bytesFromNext = ({ summary, entries, next }: LiveExtent): number =>
  summary.bytes - (entries.bytesBefore[next] as number);

/** Copies them into `file` behind its header. */
export class SegmentCopy {
  readonly #options: CopyOptions;
  readonly #file: DiskFile;
  readonly #id: SegmentId;
  readonly #buffer = Buffer.allocUnsafeSlow(WRITE_BYTES);
  #buffered = 0;
  #written = SEGMENT_HEADER_BYTES;
  #unforced = 0;
  #batchesOfTurn = 0;
  readonly extents = new Map<string, GrowingExtent>();

  constructor(options: CopyOptions, file: DiskFile, id: SegmentId) {
    this.#options = options;
    this.#file = file;
    this.#id = id;
  }

  /** Where the next batch goes. */
  get end(): number {
    return this.#written + this.#buffered;
  }

  /** All is durable at return. Rejects with a refusal, the disk's error, or what `spend` rejects with. */
  async run(sources: readonly Source[]): Promise<void> {
    for (const source of sources)
      for (let from = SEGMENT_HEADER_BYTES; from < source.end; from += WINDOW_BYTES) {
        const batches = takeBatches(source, from + WINDOW_BYTES);
        if (batches.length > 0) await this.#copyWindow(source.segment, batches);
      }
    await this.#flush();
    await this.#force();
  }

  async #copyWindow(segment: Segment, batches: readonly LiveBatch[]): Promise<void> {
    const { disk, spend } = this.#options;
    const start = (batches[0] as LiveBatch).position;
    const last = batches.at(-1) as LiveBatch;
    const span = last.position + entryBytes(last.extent.entries, last.index, last.extent.summary.bytes) - start;
    await spend(span);
    const bytes = await readPart(disk, segment.path, start, span);
    for (const batch of batches) {
      const at = batch.position - start;
      const header = checked(segment, bytes, at, batch);
      this.#index(batch.extent, header);
      if (header.totalBytes > WRITE_BYTES - this.#buffered) await this.#flush();
      if (header.totalBytes > WRITE_BYTES) await this.#writeLarge(bytes, at, header);
      else this.#add(bytes, at, header);
      if (++this.#batchesOfTurn < BATCHES_PER_TURN) continue;
      this.#batchesOfTurn = 0;
      await turn(this.#options.clock);
    }
  }

  #index({ key, summary }: LiveExtent, { totalBytes, firstOffset, count, timeMs }: BatchHeader): void {
    let extent = this.extents.get(key);
    if (extent === undefined) {
      extent = new GrowingExtent(summary.topic, summary.partition, firstOffset, timeMs);
      this.extents.set(key, extent);
    }
    extent.add(this.end, totalBytes, firstOffset, count, timeMs);
  }

  #add(bytes: Buffer, at: number, header: BatchHeader): void {
    const target = this.#buffered;
    bytes.copy(this.#buffer, target, at, at + header.totalBytes);
    moveBatch(this.#buffer, target, header, this.#place());
    this.#buffered += header.totalBytes;
  }

  async #writeLarge(bytes: Buffer, at: number, header: BatchHeader): Promise<void> {
    moveBatch(bytes, at, header, this.#place());
    const end = at + header.totalBytes;
    for (let from = at; from < end; from += WRITE_BYTES)
      await this.#write(bytes.subarray(from, Math.min(end, from + WRITE_BYTES)));
  }

  #place(): { segmentId: SegmentId; flushStart: number; flushNumber: number } {
    return { segmentId: this.#id, flushStart: this.end, flushNumber: 1 };
  }

  async #flush(): Promise<void> {
    const bytes = this.#buffer.subarray(0, this.#buffered);
    this.#buffered = 0;
    if (bytes.length > 0) await this.#write(bytes);
  }

  async #write(bytes: Buffer): Promise<void> {
    this.#file.writeSync([bytes], this.#written);
    this.#written += bytes.length;
    this.#unforced += bytes.length;
    await this.#options.spend(bytes.length);
    if (this.#unforced >= SYNC_EVERY_BYTES) await this.#force();
    else await turn(this.#options.clock);
  }

  #force(): Promise<void> {
    this.#unforced = 0;
    return new Promise((resolve, reject) => {
      this.#file.dataSync((error) => (error === null ? resolve() : reject(error)));
    });
  }
}

/** The live batches that begin before `end`, in the order of their places. */
function takeBatches({ extents }: Source, end: number): LiveBatch[] {
  const batches: LiveBatch[] = [];
  for (const extent of extents) {
    const { positions, count } = extent.entries;
    while (extent.next < count && (positions[extent.next] as number) < end) {
      batches.push({ extent, index: extent.next, position: positions[extent.next] as number });
      extent.next++;
    }
  }
  return batches.sort((a, b) => a.position - b.position);
}

/** The header of a batch that is whole, the expected one, and followed by the next one without a gap. */
function checked(segment: Segment, bytes: Buffer, at: number, { extent, index, position }: LiveBatch): BatchHeader {
  const { entries, summary } = extent;
  const { topic, partition } = summary;
  const firstOffset = entries.firstOffsets[index] as number;
  const nextOffset = index + 1 < entries.count ? (entries.firstOffsets[index + 1] as number) : summary.nextOffset;
  const header = readBatchHeader(bytes, at, segment.id);
  if (
    header !== undefined &&
    header.topic === topic &&
    header.partition === partition &&
    header.firstOffset === firstOffset &&
    header.firstOffset + header.count === nextOffset &&
    header.totalBytes === entryBytes(entries, index, summary.bytes) &&
    isBodyIntact(bytes, at, header)
  )
    return header;
  const fields = { file: segment.path, bytePosition: position, topic, partition, fromOffset: firstOffset, nextOffset };
  throw new Refused('damaged', segment, fields);
}

async function readPart(disk: Disk, path: string, position: number, bytes: number): Promise<Buffer> {
  const file = disk.openSync(path, 'read');
  try {
    const target = Buffer.allocUnsafeSlow(bytes);
    return target.subarray(0, await file.read(target, position));
  } finally {
    file.close();
  }
}

const turn = (clock: Clock): Promise<void> => new Promise((resolve) => clock.soon(resolve));
