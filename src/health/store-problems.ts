/** Why the store takes no appends: seen from the disk, and from the appends themselves. */
import { statfs } from 'node:fs/promises';
import type { RecordStore } from '../core/contracts/engine.ts';
import { asTandemError, type ErrorCode } from '../core/errors.ts';
import type { Clock } from '../core/ports/clock.ts';

/** Less free space than this is none: a flush may need more. */
const FREE_BYTES_MIN = 1024 * 1024;
/** A failed append tells about the store for so long; without traffic nothing else would clear it. */
const FAILURE_COUNTS_MS = 5000;
const STORE_CODES: readonly ErrorCode[] = ['TANDEM_DISK_FULL', 'TANDEM_STORE_FAILED'];

/** Looks at the file system of `folder`. undefined: there is room. Never rejects. */
export async function diskProblem(folder: string): Promise<string | undefined> {
  try {
    const { bavail, bsize } = await statfs(folder);
    const isFull = bavail * bsize < FREE_BYTES_MIN;
    return isFull ? `TANDEM_DISK_FULL: ${bavail * bsize} bytes are free in ${folder}` : undefined;
  } catch (error) {
    return `TANDEM_STORE_FAILED: ${(error as Error).message}`;
  }
}

export interface AppendWatch {
  /** Use it in place of the watched one. */
  readonly store: RecordStore;
  /** Why the latest append failed, if that was recently. */
  readonly problem: string | undefined;
}

export function watchAppends(inner: RecordStore, clock: Clock): AppendWatch {
  let problem: string | undefined;
  let sinceMs = 0;
  const succeeded = (): void => {
    problem = undefined;
  };
  const failed = (thrown: unknown): void => {
    const { code, message } = asTandemError(thrown);
    if (!STORE_CODES.includes(code)) return;
    problem = `${code}: ${message}`;
    sinceMs = clock.monotonicMs();
  };
  const store: RecordStore = {
    append(batch) {
      const appended = inner.append(batch);
      appended.then(succeeded, failed);
      return appended;
    },
    read: (partition, from, bytesMax) => inner.read(partition, from, bytesMax),
    state: (partition) => inner.state(partition),
    watch: (partition, wake) => inner.watch(partition, wake),
    trim: (partition, beforeOffset) => inner.trim(partition, beforeOffset),
    lastSequence: (partition, producerId) => inner.lastSequence(partition, producerId),
    originSequence: (partition, originId) => inner.originSequence(partition, originId),
    claim: (partition, term) => inner.claim(partition, term),
    localPartitions: (topic) => inner.localPartitions(topic),
  };
  return {
    store,
    get problem() {
      return clock.monotonicMs() - sinceMs < FAILURE_COUNTS_MS ? problem : undefined;
    },
  };
}
