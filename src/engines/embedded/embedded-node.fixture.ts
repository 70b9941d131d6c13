/**
 * A node of the embedded engine for the model tests: all slots in this process, and what can happen to it from outside.
 *
 * Death: the data folder is copied as it is in the middle of whatever the engines do, and a new node goes on with the copy; the old one
 * is closed and forgotten. Nothing that the copy lacks was durable for certain, everything acked before must be in it.
 * Torn end: a death between a flush's write and its fdatasync may leave any part of the flush; bytes of it are cut off or zeroed.
 */
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';
import type { LogFields, Logger } from '../../core/contracts/telemetry.ts';
import { type Disk, type DiskFile, systemDisk } from '../../core/ports/disk.ts';
import { type EmbeddedEngine, openEmbeddedEngine } from './embedded-engine.ts';
import { ownerSlot } from './ownership.ts';
import type { StoredTopic } from './topics.ts';

/** Small, so that a run fills several. */
const SEGMENT_BYTES = 32 * 1024;

/** What the engines reported at `warn` or above, and torn ends. */
export interface ReportedEvent {
  readonly event: string;
  readonly fields: LogFields;
}

/** Path in the data folder -> bytes up to the last one that is not zero. */
export type ContentEnds = ReadonlyMap<string, number>;

/** How much of it is in trails, and how long what a death leaves stays unsealed. */
export interface NodePace {
  readonly trailBatches: number;
  readonly sealDelayMs: number;
}

export type TornEnd = 'whole' | 'truncated' | 'zeroed' | 'hole';

export class EmbeddedNode {
  dataDir: string = newFolder();
  readonly #pace: NodePace;
  engines: EmbeddedEngine[] = [];
  readonly reports: ReportedEvent[] = [];
  #slotTerm = 0;
  #isDeathDue = false;
  #image: string | undefined;

  constructor(pace: NodePace) {
    this.#pace = pace;
  }

  get slots(): number {
    return this.engines.length;
  }

  async open(slots: number): Promise<void> {
    this.#slotTerm++;
    for (let slot = 0; slot < slots; slot++)
      this.engines.push(
        await openEmbeddedEngine({
          dataDir: this.dataDir,
          slot: { slot, slots, slotTerm: this.#slotTerm },
          segmentBytes: SEGMENT_BYTES,
          trailPace: { batches: this.#pace.trailBatches, bytes: 1 << 20 },
          sealDelayMs: this.#pace.sealDelayMs,
          disk: this.#disk(),
          logger: this.#logger(),
        }),
      );
  }

  async close(): Promise<void> {
    for (const engine of this.engines.splice(0)) await engine.close();
  }

  async dispose(): Promise<void> {
    await this.close();
    rmSync(this.dataDir, { recursive: true, force: true });
  }

  /** The engine that writes the partition itself. */
  ownerOf(topic: string, partition: number): EmbeddedEngine {
    const known = this.engines.map(({ topics }) => topics.peek(topic)).find((found) => found !== undefined);
    const { initialPartitions } = known as StoredTopic;
    return this.engines[ownerSlot(topic, initialPartitions, partition, this.slots)] as EmbeddedEngine;
  }

  /** The death comes when the next flush has written and not yet forced: that is what `die` leaves then. */
  dieInFlush(): void {
    this.#isDeathDue = true;
  }

  /** Dies now, or where `dieInFlush` said; leaves the folder as it is then, not open. */
  async die(): Promise<void> {
    this.#isDeathDue = false;
    const image = this.#image ?? this.#copy();
    this.#image = undefined;
    const before = this.dataDir;
    const isReporting = this.reports.length;
    await this.close();
    this.reports.length = isReporting;
    rmSync(before, { recursive: true, force: true });
    this.dataDir = image;
  }

  /** Files of the log: segments, sidecars and trails. */
  logFiles(): string[] {
    return readdirSync(this.dataDir, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.seg') || path.endsWith('.idx') || path.endsWith('.trail'))
      .sort();
  }

  contentEnds(): ContentEnds {
    return new Map(this.logFiles().map((path) => [path, contentEnd(readFileSync(join(this.dataDir, path)))]));
  }

  /** Damages what was written to segments in use since `before`, from `fraction` of it on. */
  tear(before: ContentEnds, tornEnd: TornEnd, fraction: number): void {
    if (tornEnd === 'whole') return;
    for (const [path, end] of this.contentEnds()) {
      const start = before.get(path);
      // A file without a header is not in use.
      if (start === undefined || start === 0 || !path.endsWith('.seg') || end <= start) continue;
      const cut = start + Math.floor((end - start) * fraction);
      const file = join(this.dataDir, path);
      if (tornEnd === 'truncated') truncateSync(file, cut);
      else {
        const bytes = readFileSync(file);
        bytes.fill(0, cut, tornEnd === 'zeroed' ? end : Math.min(end, cut + 64));
        writeFileSync(file, bytes);
      }
    }
  }

  /** Flips one bit; returns the file's path as reports name it. */
  flip(path: string, byte: number, bit: number): string {
    const file = join(this.dataDir, path);
    const bytes = readFileSync(file);
    bytes[byte] = (bytes[byte] as number) ^ (1 << bit);
    writeFileSync(file, bytes);
    return file;
  }

  /** The reports that name a file of the log. */
  reportsOf(...events: readonly string[]): ReportedEvent[] {
    return this.reports.filter(({ event }) => events.includes(event));
  }

  #copy(): string {
    for (let attempt = 1; ; attempt++) {
      const image = newFolder();
      try {
        // Sockets are not data.
        cpSync(this.dataDir, image, { recursive: true, filter: (path) => basename(path) !== 'run' });
        return image;
      } catch (error) {
        // A thread that works for the engine has renamed or removed a file just now.
        rmSync(image, { recursive: true, force: true });
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || attempt === 50) throw error;
      }
    }
  }

  /** The system's disk; at the first force after `dieInFlush` it keeps the image. */
  #disk(): Disk {
    const atForce = (): void => {
      if (this.#isDeathDue) this.#image = this.#copy();
      this.#isDeathDue = false;
    };
    const watched = (file: DiskFile): DiskFile => ({
      path: file.path,
      writeSync: (pieces, position) => file.writeSync(pieces, position),
      readSync: (target, position) => file.readSync(target, position),
      read: (target, position) => file.read(target, position),
      dataSyncSync() {
        atForce();
        file.dataSyncSync();
      },
      dataSync(done) {
        atForce();
        file.dataSync(done);
      },
      truncateSync: (bytes) => file.truncateSync(bytes),
      sizeSync: () => file.sizeSync(),
      allocatedBytesSync: () => file.allocatedBytesSync(),
      close: () => file.close(),
    });
    return {
      ...systemDisk,
      openSync: (path, mode) => watched(systemDisk.openSync(path, mode)),
      createSync: (path, bytes, head) => watched(systemDisk.createSync(path, bytes, head)),
      create: async (path, bytes, head) => watched(await systemDisk.create(path, bytes, head)),
    };
  }

  #logger(): Logger {
    const report = (event: string, fields: LogFields = {}): void => {
      const { file } = fields;
      const path = typeof file === 'string' ? { file: relative(this.dataDir, file) } : {};
      this.reports.push({ event, fields: { ...fields, ...path } });
    };
    return { debug() {}, info: report, warn: report, error: report };
  }
}

/** In memory where there is such a folder: a death by copying needs no medium, and steps cost no fdatasync. */
const PARENT = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
const newFolder = (): string => mkdtempSync(join(PARENT, 'tandem-model-'));

function contentEnd(bytes: Buffer): number {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return end;
}
