/** A segment as this process knows it, and the files and entries kept open for reading. */
import { join } from 'node:path';
import type { Disk, DiskFile } from '../../../core/ports/disk.ts';
import type { SegmentId } from './batch-format.ts';
import type { ExtentEntries, ExtentSummary } from './extent.ts';
import type { SegmentName } from './segment-format.ts';
import { segmentFileName, sidecarFileName, trailFileName } from './segment-format.ts';
import type { SegmentIndex } from './segment-index.ts';
import type { SidecarDirectory } from './sidecar-format.ts';

export interface Segment {
  readonly journal: number;
  readonly name: SegmentName;
  readonly path: string;
  readonly sidecarPath: string;
  readonly trailPath: string;
  readonly id: SegmentId;
  /** Known once the segment is sealed and its sidecar is on disk. */
  directory: SidecarDirectory | undefined;
  /** What a dead process has left in it, while it has no sidecar yet. */
  index: SegmentIndex | undefined;
  /** Written a short time ago: its pages are surely in memory, reading does not block. */
  isWarm: boolean;
  /** Compaction is copying it, or has put another one in its place: nobody else may delete its files. */
  isInHand: boolean;
}

/** A segment of a journal's folder, not sealed as far as is known. */
export function segmentAt(folder: string, journal: number, name: SegmentName, id: SegmentId): Segment {
  const path = join(folder, segmentFileName(name));
  const sidecarPath = join(folder, sidecarFileName(name));
  const trailPath = join(folder, trailFileName(name));
  const unknown = { directory: undefined, index: undefined };
  return { journal, name, path, sidecarPath, trailPath, id, ...unknown, isWarm: false, isInHand: false };
}

/** What a sealed segment holds of a partition. */
export interface Extent extends ExtentSummary {
  readonly segment: Segment;
  /** Kept while there is no sidecar to load them from. */
  entries: ExtentEntries | undefined;
}

/** Open files for reading, the least recently used closed first; those being read are not. */
export class OpenFiles {
  readonly #disk: Disk;
  readonly #filesMax: number;
  readonly #files = new Map<string, { file: DiskFile; readers: number }>();

  constructor(disk: Disk, filesMax: number) {
    this.#disk = disk;
    this.#filesMax = filesMax;
  }

  readSync(path: string, target: Uint8Array, position: number): number {
    return this.#open(path).file.readSync(target, position);
  }

  async read(path: string, target: Uint8Array, position: number): Promise<number> {
    const opened = this.#open(path);
    opened.readers++;
    try {
      return await opened.file.read(target, position);
    } finally {
      opened.readers--;
      if (opened.readers === 0 && this.#files.get(path) !== opened) opened.file.close();
    }
  }

  forget(path: string): void {
    const opened = this.#files.get(path);
    if (opened === undefined) return;
    this.#files.delete(path);
    if (opened.readers === 0) opened.file.close();
  }

  close(): void {
    for (const path of [...this.#files.keys()]) this.forget(path);
  }

  #open(path: string): { file: DiskFile; readers: number } {
    let opened = this.#files.get(path);
    if (opened === undefined) opened = { file: this.#disk.openSync(path, 'read'), readers: 0 };
    else this.#files.delete(path);
    this.#files.set(path, opened);
    if (this.#files.size > this.#filesMax) this.forget(this.#files.keys().next().value as string);
    return opened;
  }
}

/** Entries loaded from sidecars, bounded by their number. */
export class EntriesCache {
  readonly #entriesMax: number;
  readonly #cached = new Map<string, ExtentEntries>();
  #entries = 0;

  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax;
  }

  get(key: string): ExtentEntries | undefined {
    const found = this.#cached.get(key);
    if (found === undefined) return undefined;
    this.#cached.delete(key);
    this.#cached.set(key, found);
    return found;
  }

  put(key: string, entries: ExtentEntries): void {
    this.#cached.set(key, entries);
    this.#entries += entries.count;
    for (const [oldest, { count }] of this.#cached) {
      if (this.#entries <= this.#entriesMax || oldest === key) break;
      this.#cached.delete(oldest);
      this.#entries -= count;
    }
  }
}
