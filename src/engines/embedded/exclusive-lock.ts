/**
 * The exclusive right to a file or folder on this machine, proved by the kernel: a lock file on which an SQLite transaction holds an
 * exclusive lock as long as this process lives. It ends with the process, however that dies, so nobody needs a time-out to know.
 * The lock file itself stays. Not for network file systems.
 */
import { DatabaseSync } from 'node:sqlite';
import { TandemError } from '../../core/errors.ts';
import type { Clock } from '../../core/ports/clock.ts';
import { delay, systemClock } from '../../core/ports/clock.ts';

export interface ExclusiveLock {
  /** Gives it up. Idempotent. */
  release(): void;
}

export interface ExclusiveLockOptions {
  /** How long to wait for another holder to end; 0: not at all. */
  readonly waitMs: number;
  readonly clock?: Clock;
}

const POLL_MS = 3;
const SQLITE_BUSY = 5;

/** Takes the lock file at `path` (created if missing). Errors: TANDEM_DATA_LOCKED after `waitMs`, TANDEM_STORE_FAILED. */
export async function acquireExclusiveLock(path: string, options: ExclusiveLockOptions): Promise<ExclusiveLock> {
  const clock = options.clock ?? systemClock;
  const deadlineMs = clock.monotonicMs() + options.waitMs;
  for (;;) {
    const database = tryLock(path);
    if (database !== undefined) return { release: () => releaseLock(database) };
    if (clock.monotonicMs() >= deadlineMs) throw new TandemError('TANDEM_DATA_LOCKED', { detail: path });
    await delay(clock, POLL_MS);
  }
}

function tryLock(path: string): DatabaseSync | undefined {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { timeout: 0 });
    database.exec('BEGIN EXCLUSIVE');
    return database;
  } catch (error) {
    if (database?.isOpen) database.close();
    if (((error as { errcode?: number }).errcode ?? 0) % 256 === SQLITE_BUSY) return undefined;
    throw new TandemError('TANDEM_STORE_FAILED', { detail: `cannot lock ${path}: ${String(error)}`, cause: error });
  }
}

function releaseLock(database: DatabaseSync): void {
  if (!database.isOpen) return;
  try {
    database.exec('ROLLBACK');
  } finally {
    database.close();
  }
}
