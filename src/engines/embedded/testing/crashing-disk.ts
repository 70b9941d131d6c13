/**
 * A disk whose machine stops at a chosen step: that step does not happen (or half of it), nor does anything after it. What the folder is
 * then is what kill -9 leaves; `lose` makes of it what the loss of power may leave besides, where nothing was forced.
 */
import { closeSync, existsSync, ftruncateSync, openSync, renameSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Disk, DiskFile } from '../../../core/ports/disk.ts';
import { systemDisk } from '../../../core/ports/disk.ts';

/** Of what was not forced: written bytes, names, and removals. */
export interface Losses {
  readonly writes: boolean;
  readonly names: boolean;
  readonly removals: boolean;
}

const REMOVED = '.removed';

export class CrashingDisk {
  /** Steps until it stops; undefined: it does not. */
  #left: number | undefined;
  #onStop: () => void = () => {};
  isStopped = false;
  readonly steps: string[] = [];
  /** Path -> bytes that were forced. */
  readonly #unforced = new Map<string, number>();
  /** Renamed, the folder not forced since: [from, to]. */
  readonly #names: [string, string][] = [];
  readonly #removed = new Set<string>();
  readonly disk: Disk;

  constructor() {
    this.disk = {
      ...systemDisk,
      openSync: (path, mode) => this.#watched(systemDisk.openSync(path, mode)),
      createSync: (path, bytes, head) => {
        this.#step(`create ${path}`);
        const file = this.#watched(systemDisk.createSync(path, bytes, head));
        this.#folderForced(path);
        return file;
      },
      create: async (path, bytes, head) => {
        this.#step(`create ${path}`);
        const file = await systemDisk.create(path, bytes, head);
        this.#folderForced(path);
        return this.#watched(file);
      },
      replace: async (path, pieces) => {
        this.#step(`replace ${path}: nothing yet`);
        const draft = await systemDisk.create(`${path}.draft`, 0, Buffer.concat(pieces));
        draft.close();
        this.#step(`replace ${path}: the draft`);
        renameSync(`${path}.draft`, path);
        this.#names.push([`${path}.draft`, path]);
        this.#step(`replace ${path}: not forced`);
        this.#folderForced(path);
      },
      renameSync: (from, to) => {
        this.#step(`rename ${from}`);
        systemDisk.renameSync(from, to);
        this.#names.push([from, to]);
        const forced = this.#unforced.get(from);
        this.#unforced.delete(from);
        if (forced !== undefined) this.#unforced.set(to, forced);
      },
      removeSync: (path) => this.#remove(path),
      remove: async (path) => this.#remove(path),
    };
  }

  /** Stops before the step `steps` steps from now. Resolves then. */
  stopAfter(steps: number): Promise<void> {
    this.#left = steps;
    this.steps.length = 0;
    return new Promise((resolve) => {
      this.#onStop = resolve;
    });
  }

  /** From now on everything works again: for an engine that must be closed. */
  revive(): void {
    this.#left = undefined;
    this.isStopped = false;
  }

  /** Does to `copy`, a copy of `folder` made when the disk had stopped, what the loss of power may have done. */
  lose(folder: string, copy: string, losses: Losses): void {
    const inCopy = (path: string): string => path.replace(folder, copy);
    if (losses.removals)
      for (const path of this.#removed) if (!existsSync(inCopy(path))) renameSync(inCopy(path) + REMOVED, inCopy(path));
    if (losses.writes) for (const [path, bytes] of this.#unforced) forget(inCopy(path), bytes);
    if (losses.names)
      for (const [from, to] of this.#names.toReversed())
        if (existsSync(inCopy(to))) renameSync(inCopy(to), inCopy(from));
  }

  #step(name: string): void {
    if (this.#left !== undefined) {
      if (this.isStopped || this.#left-- === 0) {
        if (!this.isStopped) this.#onStop();
        this.isStopped = true;
        throw Object.assign(new Error(`EIO: stopped before: ${name}`), { code: 'EIO' });
      }
    }
    this.steps.push(name);
  }

  /** Keeps the file under another name: an unforced removal may be undone. */
  #remove(path: string): void {
    if (!existsSync(path)) return;
    this.#step(`remove ${path}`);
    renameSync(path, path + REMOVED);
    this.#removed.add(path);
  }

  #folderForced(path: string): void {
    const kept = this.#names.filter(([, to]) => dirname(to) !== dirname(path));
    this.#names.splice(0, this.#names.length, ...kept);
  }

  #watched(file: DiskFile): DiskFile {
    const { path } = file;
    return {
      path,
      writeSync: (pieces, position) => {
        this.#step(`write ${path}`);
        if (!this.#unforced.has(path)) this.#unforced.set(path, position);
        file.writeSync(pieces, position);
      },
      readSync: (target, position) => file.readSync(target, position),
      read: (target, position) => file.read(target, position),
      dataSyncSync: () => {
        this.#step(`force ${path}`);
        file.dataSyncSync();
        this.#unforced.delete(path);
      },
      dataSync: (done) => {
        try {
          this.#step(`force ${path}`);
        } catch (error) {
          setImmediate(done, error as Error);
          return;
        }
        file.dataSync((error) => {
          if (error === null) this.#unforced.delete(path);
          done(error);
        });
      },
      truncateSync: (bytes) => {
        this.#step(`truncate ${path}`);
        file.truncateSync(bytes);
      },
      sizeSync: () => file.sizeSync(),
      allocatedBytesSync: () => file.allocatedBytesSync(),
      close: () => file.close(),
    };
  }
}

/** Zeros from `start` on. */
function forget(path: string, start: number): void {
  if (!existsSync(path)) return;
  const bytes = statSync(path).size;
  const descriptor = openSync(path, 'r+');
  if (bytes > start) writeSync(descriptor, Buffer.alloc(bytes - start), 0, bytes - start, start);
  ftruncateSync(descriptor, bytes);
  closeSync(descriptor);
}
