/** A disk that fails where a test says so. What it has written before is really on disk. */
import type { Disk, DiskFile } from '../../../core/ports/disk.ts';
import { systemDisk } from '../../../core/ports/disk.ts';

export interface DiskFaults {
  /** Writes fail with this code... */
  writeCode?: string | undefined;
  /** ...after so many bytes of them were written. */
  partialBytes: number;
  syncCode?: string | undefined;
}

const systemError = (code: string): Error => Object.assign(new Error(`${code}: injected`), { code });

export function failingDisk(faults: DiskFaults): Disk {
  const wrap = (file: DiskFile): DiskFile => ({
    path: file.path,
    writeSync(pieces, position) {
      if (faults.writeCode === undefined) {
        file.writeSync(pieces, position);
        return;
      }
      const partial = Buffer.concat(pieces).subarray(0, faults.partialBytes);
      if (partial.length > 0) file.writeSync([partial], position);
      throw systemError(faults.writeCode);
    },
    readSync: (target, position) => file.readSync(target, position),
    read: (target, position) => file.read(target, position),
    dataSyncSync() {
      if (faults.syncCode !== undefined) throw systemError(faults.syncCode);
      file.dataSyncSync();
    },
    dataSync(done) {
      if (faults.syncCode === undefined) file.dataSync(done);
      else setImmediate(done, systemError(faults.syncCode));
    },
    truncateSync: (bytes) => file.truncateSync(bytes),
    sizeSync: () => file.sizeSync(),
    allocatedBytesSync: () => file.allocatedBytesSync(),
    close: () => file.close(),
  });
  return {
    ...systemDisk,
    openSync: (path, mode) => wrap(systemDisk.openSync(path, mode)),
    createSync: (path, bytes, head) => {
      if (faults.writeCode !== undefined) throw systemError(faults.writeCode);
      return wrap(systemDisk.createSync(path, bytes, head));
    },
    create: async (path, bytes, head) => {
      if (faults.writeCode !== undefined) throw systemError(faults.writeCode);
      return wrap(await systemDisk.create(path, bytes, head));
    },
  };
}
