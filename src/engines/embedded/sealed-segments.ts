/**
 * The sealed segments of a data folder, as their sidecars tell. A process without a slot reads them ahead and follows what is new every few
 * seconds, so that taking a slot costs one look at each file. What it has read counts only while the file is the same, since the
 * journals belong to others meanwhile.
 */
import { join } from 'node:path';
import type { Clock, Timer } from '../../core/ports/clock.ts';
import type { Disk } from '../../core/ports/disk.ts';
import { journalFolder, journalsOf } from './journal-folders.ts';
import type { Segment } from './log/segment.ts';
import { segmentAt } from './log/segment.ts';
import type { SegmentHeader, SegmentName } from './log/segment-format.ts';
import {
  decodeSegmentHeader,
  namesInForce,
  parseFileName,
  SEGMENT_HEADER_BYTES,
  SEGMENT_VERSION,
  segmentFileName,
  sidecarFileName,
} from './log/segment-format.ts';
import { SIDECAR_HEADER_BYTES, SidecarDirectory } from './log/sidecar-format.ts';
import { ensureTopics, unknownTopics } from './recovered-topics.ts';
import type { Topics } from './topics.ts';

export interface SealedSegmentsOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly dataDir: string;
  readonly storeId: string;
  readonly topics: Topics;
}

interface KnownSegment {
  readonly segment: Segment;
  readonly stamp: string | undefined;
  /** The state database has all its topics. */
  areTopicsKnown: boolean;
  /** Nobody else can have changed it since it was looked at. */
  isOwn: boolean;
  readonly hasHeader: boolean;
}

const FOLLOW_MS = 5000;
const FILES_PER_TURN = 8;
/** Of directories that are kept ahead of need; those beyond are read when a slot is taken. */
const BYTES_AHEAD_MAX = 64 * 1024 * 1024;

export class SealedSegments {
  readonly #options: SealedSegmentsOptions;
  /** By the sidecar's path. */
  readonly #known = new Map<string, KnownSegment>();
  readonly #folderStamps = new Map<string, string | undefined>();
  #bytesAhead = 0;
  #timer: Timer | undefined;
  #isFollowing = false;

  constructor(options: SealedSegmentsOptions) {
    this.#options = options;
  }

  /** Reads what there is, then what is new every few seconds, until `stop`. Resolves after the first time. */
  async follow(): Promise<void> {
    this.#isFollowing = true;
    try {
      await this.#readAhead();
    } catch {
      // Files come and go under its hands; whoever takes a slot looks again, and reports what is wrong.
    }
    if (this.#isFollowing) this.#timer = this.#options.clock.after(FOLLOW_MS, () => void this.follow());
  }

  stop(): void {
    this.#isFollowing = false;
    this.#timer?.cancel();
  }

  /**
   * The segment, if it has a good header and a good sidecar of this store; its topics exist then. The caller holds the journal's lock. Throws the disk's errors.
   */
  find(folder: string, journal: number, name: SegmentName): Segment | undefined {
    const found = this.#find(folder, journal, name);
    if (found?.segment.directory === undefined || !found.hasHeader) return undefined;
    if (!found.areTopicsKnown)
      ensureTopics(this.#options.topics, unknownTopics(found.segment.directory, this.#options.topics));
    found.areTopicsKnown = true;
    found.isOwn = true;
    return found.segment;
  }

  /** Those of all journals that have a good sidecar. Others are being written, or will be sealed soon, by their own slot. */
  all(): Segment[] {
    const { disk, dataDir } = this.#options;
    return journalsOf(disk, dataDir).flatMap((journal) => {
      const folder = journalFolder(dataDir, journal);
      return sealedNames(disk.listSync(folder)).flatMap((name) => this.#find(folder, journal, name)?.segment ?? []);
    });
  }

  #find(folder: string, journal: number, name: SegmentName): KnownSegment | undefined {
    const path = join(folder, sidecarFileName(name));
    const known = this.#known.get(path);
    if (known?.isOwn) return known;
    const stamp = this.#options.disk.stampSync(path);
    if (known !== undefined && stamp === known.stamp) return known;
    return this.#read(folder, journal, name, path);
  }

  #read(folder: string, journal: number, name: SegmentName, path: string): KnownSegment | undefined {
    const { disk, storeId } = this.#options;
    this.#forget(path);
    const stamp = disk.stampSync(path);
    const directory = readDirectory(disk, path);
    if (directory?.facts.storeId !== storeId) return undefined;
    const { segmentId } = directory.facts;
    const header = readSegmentHeader(disk, join(folder, segmentFileName(name)));
    const { version, id } = header ?? { version: SEGMENT_VERSION, id: segmentId };
    if (version !== SEGMENT_VERSION || segmentId.low !== id.low || segmentId.high !== id.high) return undefined;
    const segment = { ...segmentAt(folder, journal, name, id), directory };
    const known = { segment, stamp, areTopicsKnown: false, isOwn: false, hasHeader: header !== undefined };
    this.#known.set(path, known);
    this.#bytesAhead += directory.bytes;
    return known;
  }

  #forget(path: string): void {
    this.#bytesAhead -= this.#known.get(path)?.segment.directory?.bytes ?? 0;
    this.#known.delete(path);
  }

  async #readAhead(): Promise<void> {
    const { disk, clock, dataDir, topics } = this.#options;
    for (const journal of journalsOf(disk, dataDir)) {
      const folder = journalFolder(dataDir, journal);
      const stamp = disk.stampSync(folder);
      if (stamp !== undefined && stamp === this.#folderStamps.get(folder)) continue;
      const names = sealedNames(disk.listSync(folder));
      const paths = new Set(names.map((name) => join(folder, sidecarFileName(name))));
      for (const path of [...this.#known.keys()]) if (path.startsWith(folder) && !paths.has(path)) this.#forget(path);
      let files = 0;
      // The newest first: they are the ones that are surely there later.
      for (const name of names.reverse()) {
        const path = join(folder, sidecarFileName(name));
        if (this.#known.has(path) || this.#bytesAhead > BYTES_AHEAD_MAX) continue;
        const known = this.#read(folder, journal, name, path);
        const directory = known?.segment.directory;
        if (known !== undefined && directory !== undefined)
          known.areTopicsKnown = unknownTopics(directory, topics).size === 0;
        if (++files % FILES_PER_TURN === 0) await new Promise<void>((resolve) => clock.soon(resolve));
        if (!this.#isFollowing) return;
      }
      this.#folderStamps.set(folder, stamp);
    }
  }
}

function sealedNames(files: readonly string[]): SegmentName[] {
  const all = new Set(files);
  const names = files.flatMap((file) => parseFileName(file, 'seg') ?? []);
  return namesInForce(names.filter((name) => all.has(sidecarFileName(name))));
}

/** undefined: there is none, or it is damaged. Throws the disk's errors. */
export function readSegmentHeader(disk: Disk, path: string): SegmentHeader | undefined {
  const file = disk.openSync(path, 'read');
  try {
    const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
    file.readSync(bytes, 0);
    return decodeSegmentHeader(bytes);
  } finally {
    file.close();
  }
}

/** undefined: there is none, or it is damaged. Throws the disk's errors. */
export function readDirectory(disk: Disk, path: string): SidecarDirectory | undefined {
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
