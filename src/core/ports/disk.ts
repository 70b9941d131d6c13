/**
 * The disk as a parameter, so that tests can make it fail at a chosen point. Only what a log needs: files written at positions,
 * forced to the medium, read at positions. Methods whose name ends in `Sync` block; they throw (the others reject with) the
 * system's error, whose `code` says what happened (ENOSPC, EIO, ENOENT...).
 */
import * as fs from 'node:fs';
import { dirname, resolve } from 'node:path';

export interface DiskFile {
  readonly path: string;
  /** Writes all pieces, one after the other, from `position` on. If it throws, any part of them may have been written. */
  writeSync(pieces: readonly Uint8Array[], position: number): void;
  /** Fills `target` from `position` on; returns how many bytes there were (fewer only at the end of the file). */
  readSync(target: Uint8Array, position: number): number;
  read(target: Uint8Array, position: number): Promise<number>;
  /** Forces data, and the size if it changed, to the medium (fdatasync). After an error nothing written since the last success is certain. */
  dataSyncSync(): void;
  dataSync(done: (error: Error | null) => void): void;
  truncateSync(bytes: number): void;
  sizeSync(): number;
  /** Of the medium: holes take none. */
  allocatedBytesSync(): number;
  close(): void;
}

export interface Disk {
  /** create: an empty file, made or emptied; neither it nor its name is forced. */
  openSync(path: string, mode: 'read' | 'write' | 'create'): DiskFile;
  /** A new file of `bytes` bytes (sparse) that begins with `head`, durable with its name at return. EEXIST if there is one. */
  createSync(path: string, bytes: number, head: Uint8Array): DiskFile;
  create(path: string, bytes: number, head: Uint8Array): Promise<DiskFile>;
  /** Puts a whole file in place of whatever has the name: afterwards there is the old one or the new one, never a part. Durable at return. */
  replaceSync(path: string, pieces: readonly Uint8Array[]): void;
  replace(path: string, pieces: readonly Uint8Array[]): Promise<void>;
  /** Changes when the path comes to lead to another file, or the file is written to; undefined: there is none. */
  stampSync(path: string): string | undefined;
  /** Names in a folder; empty if there is no such folder. */
  listSync(folder: string): string[];
  /** With its parents; private to this user; durable at return. */
  makeFolderSync(folder: string): void;
  renameSync(from: string, to: string): void;
  /** No error if there is no such file. */
  removeSync(path: string): void;
  remove(path: string): Promise<void>;
}

class SystemFile implements DiskFile {
  readonly path: string;
  readonly #descriptor: number;
  #isClosed = false;

  constructor(path: string, descriptor: number) {
    this.path = path;
    this.#descriptor = descriptor;
  }

  writeSync(pieces: readonly Uint8Array[], position: number): void {
    if (pieces.length === 1) {
      writePieceSync(this.#descriptor, pieces[0] as Uint8Array, position);
      return;
    }
    let bytes = 0;
    for (const piece of pieces) bytes += piece.length;
    let written = fs.writevSync(this.#descriptor, pieces, position);
    if (written === bytes) return;
    // Short (a nearly full disk): piece by piece, so that the system says why.
    let at = position;
    for (const piece of pieces) {
      const skipped = Math.min(piece.length, written);
      written -= skipped;
      if (skipped < piece.length) writePieceSync(this.#descriptor, piece.subarray(skipped), at + skipped);
      at += piece.length;
    }
  }

  readSync(target: Uint8Array, position: number): number {
    let done = 0;
    while (done < target.length) {
      const bytes = fs.readSync(this.#descriptor, target, done, target.length - done, position + done);
      if (bytes === 0) break;
      done += bytes;
    }
    return done;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    let done = 0;
    while (done < target.length) {
      const bytes = await this.#readOnce(target, done, position + done);
      if (bytes === 0) break;
      done += bytes;
    }
    return done;
  }

  #readOnce(target: Uint8Array, from: number, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.read(this.#descriptor, target, from, target.length - from, position, (error, bytes) => {
        if (error === null) resolve(bytes);
        else reject(error);
      });
    });
  }

  dataSyncSync(): void {
    fs.fdatasyncSync(this.#descriptor);
  }
  dataSync(done: (error: Error | null) => void): void {
    fs.fdatasync(this.#descriptor, done);
  }
  truncateSync(bytes: number): void {
    fs.ftruncateSync(this.#descriptor, bytes);
  }
  sizeSync(): number {
    return fs.fstatSync(this.#descriptor).size;
  }
  allocatedBytesSync(): number {
    return fs.fstatSync(this.#descriptor).blocks * 512;
  }
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    fs.closeSync(this.#descriptor);
  }
}

function writePieceSync(descriptor: number, piece: Uint8Array, position: number): void {
  let done = 0;
  while (done < piece.length) done += fs.writeSync(descriptor, piece, done, piece.length - done, position + done);
}

function syncFolderSync(folder: string): void {
  const descriptor = fs.openSync(folder, 'r');
  try {
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}

async function syncFolder(folder: string): Promise<void> {
  const descriptor = fs.openSync(folder, 'r');
  try {
    await syncDescriptor(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}

/** For a file that is half made: the error that stopped it must not be hidden by one of cleaning up. */
function quietly(action: () => void): void {
  try {
    action();
  } catch {
    // The first error is the one to report.
  }
}

const syncDescriptor = (descriptor: number): Promise<void> =>
  new Promise((resolve, reject) => {
    fs.fsync(descriptor, (error) => (error === null ? resolve() : reject(error)));
  });

const OPEN_FLAGS = { read: 'r', write: 'r+', create: 'w+' } as const;

export const systemDisk: Disk = {
  openSync(path, mode) {
    return new SystemFile(path, fs.openSync(path, OPEN_FLAGS[mode], 0o600));
  },

  createSync(path, bytes, head) {
    const file = new SystemFile(path, fs.openSync(path, 'wx+', 0o600));
    try {
      file.truncateSync(bytes);
      file.writeSync([head], 0);
      file.dataSyncSync();
      syncFolderSync(dirname(path));
      return file;
    } catch (error) {
      quietly(() => file.close());
      quietly(() => fs.rmSync(path, { force: true }));
      throw error;
    }
  },

  async create(path, bytes, head) {
    // What only concerns memory is done at once; what waits for the medium is under way before this returns, however busy the process is then.
    const descriptor = fs.openSync(path, 'wx+', 0o600);
    const file = new SystemFile(path, descriptor);
    try {
      file.truncateSync(bytes);
      file.writeSync([head], 0);
      const forced = await Promise.allSettled([syncDescriptor(descriptor), syncFolder(dirname(path))]);
      for (const result of forced) if (result.status === 'rejected') throw result.reason;
      return file;
    } catch (error) {
      quietly(() => file.close());
      quietly(() => fs.rmSync(path, { force: true }));
      throw error;
    }
  },

  replaceSync(path, pieces) {
    const draft = `${path}.draft`;
    const file = new SystemFile(draft, fs.openSync(draft, 'w', 0o600));
    try {
      file.writeSync(pieces, 0);
      file.dataSyncSync();
    } finally {
      file.close();
    }
    fs.renameSync(draft, path);
    syncFolderSync(dirname(path));
  },

  async replace(path, pieces) {
    const draft = `${path}.draft`;
    const handle = await fs.promises.open(draft, 'w', 0o600);
    try {
      for (const piece of pieces) await handle.writeFile(piece);
      await handle.datasync();
    } finally {
      await handle.close();
    }
    await fs.promises.rename(draft, path);
    await syncFolder(dirname(path));
  },

  listSync(folder) {
    try {
      return fs.readdirSync(folder);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  },

  stampSync(path) {
    const found = fs.statSync(path, { throwIfNoEntry: false });
    return found === undefined ? undefined : `${found.ino} ${found.mtimeMs} ${found.size}`;
  },

  makeFolderSync(folder) {
    const path = resolve(folder);
    const first = fs.mkdirSync(path, { recursive: true, mode: 0o700 });
    if (first === undefined) return;
    for (let made = path; made.length >= first.length; made = dirname(made)) syncFolderSync(dirname(made));
  },
  renameSync(from, to) {
    fs.renameSync(from, to);
  },
  removeSync(path) {
    fs.rmSync(path, { force: true });
  },
  remove(path) {
    return fs.promises.rm(path, { force: true });
  },
};
