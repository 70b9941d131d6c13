/**
 * The exclusive right to a file or folder on this machine, proved by the kernel: a lock file on which an SQLite transaction holds a
 * write lock as long as this process lives. It ends with the process, however that dies, so nobody needs a time-out to know; a process that
 * is stopped keeps it. The lock file itself stays, empty. Not for network file systems.
 *
 * Of several that try at once one gets it: the lock asked for is SQLite's RESERVED one, which is taken in a single step.
 *
 * POSIX drops a process's locks of a file when that process closes any descriptor of it. SQLite keeps count of its own ones; so in a process
 * that holds a lock nothing else may open the lock file, a copy of the folder included.
 */
import { statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { TandemError } from '../../core/errors.ts';
import type { Clock } from '../../core/ports/clock.ts';
import { delay, systemClock } from '../../core/ports/clock.ts';

export interface ExclusiveLock {
  /** False: the path leads to another file now, or to none, so that someone else may hold a lock there. */
  readonly isInPlace: boolean;
  /** Gives it up. Idempotent. */
  release(): void;
}

export interface ExclusiveLockOptions {
  /** How long to wait for another holder to end; 0: not at all. */
  readonly waitMs: number;
  readonly clock?: Clock;
}

const POLL_MS = 3;
/** A holder that has just been killed is gone in a moment: at first the lock is looked at more often. */
const EAGER_MS = 100;
const EAGER_POLL_MS = 1;
const SQLITE_BUSY = 5;

/** Takes the lock file at `path` (created if missing). Errors: TANDEM_DATA_LOCKED after `waitMs`, TANDEM_STORE_FAILED. */
export async function acquireExclusiveLock(path: string, options: ExclusiveLockOptions): Promise<ExclusiveLock> {
  const clock = options.clock ?? systemClock;
  const startMs = clock.monotonicMs();
  for (;;) {
    const lock = tryExclusiveLock(path);
    if (lock !== undefined) return lock;
    const waitedMs = clock.monotonicMs() - startMs;
    if (waitedMs >= options.waitMs) throw new TandemError('TANDEM_DATA_LOCKED', { detail: path });
    await delay(clock, waitedMs < EAGER_MS ? EAGER_POLL_MS : POLL_MS);
  }
}

/** The lock, or undefined if someone else holds it. About 20 microseconds either way. Errors: TANDEM_STORE_FAILED. */
export function tryExclusiveLock(path: string): ExclusiveLock | undefined {
  const before = fileAt(path);
  // Without a journal in memory SQLite would put one beside the lock file, for the next process to clear away.
  const database = begin(path, 'PRAGMA journal_mode = MEMORY; BEGIN IMMEDIATE', 0);
  if (database === undefined) return undefined;
  const locked = fileAt(path);
  if (locked === undefined || (before !== undefined && before !== locked)) {
    database.close();
    return undefined;
  }
  return {
    get isInPlace() {
      return fileAt(path) === locked;
    },
    release: () => end(database),
  };
}

/**
 * A mark on a file that anyone can look at without being in anyone's way: to be set only by whoever holds the lock that goes with it.
 * undefined: someone looks at it just now, and does so for longer than `waitMs`.
 */
export function setMark(path: string, waitMs: number): { clear(): void } | undefined {
  const database = begin(path, 'PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE', waitMs);
  return database === undefined ? undefined : { clear: () => end(database) };
}

/** Whether a living process has set the mark. */
export function isMarked(path: string): boolean {
  if (fileAt(path) === undefined) return false;
  const database = begin(path, 'BEGIN; SELECT 1 FROM sqlite_schema', 0);
  if (database === undefined) return true;
  end(database);
  return false;
}

/** Runs `sql`, which begins a transaction; undefined: another transaction is in the way. */
function begin(path: string, sql: string, waitMs: number): DatabaseSync | undefined {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { timeout: waitMs });
    database.exec(sql);
    return database;
  } catch (error) {
    if (database?.isOpen) database.close();
    if (((error as { errcode?: number }).errcode ?? 0) % 256 === SQLITE_BUSY) return undefined;
    throw new TandemError('TANDEM_STORE_FAILED', { detail: `cannot lock ${path}: ${String(error)}`, cause: error });
  }
}

function end(database: DatabaseSync): void {
  if (!database.isOpen) return;
  try {
    database.exec('ROLLBACK');
  } finally {
    database.close();
  }
}

/** Which file the path leads to; undefined: none. */
function fileAt(path: string): string | undefined {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found === undefined ? undefined : `${found.dev}:${found.ino}`;
}
