/**
 * The small transactional state beside the log, in `<dataDir>/state.db` (SQLite, WAL), shared by all processes of a node: topics,
 * partitions (epoch, first offset, claimed term), leases and terms, committed offsets, producers, which consumers are paused.
 *
 * Two connections: `durable` forces every commit to the medium (terms, leases, topics, claims, trims, producers, pauses), `relaxed` leaves
 * that to the next durable commit or checkpoint (committed offsets: kill -9 loses nothing, power loss the last ones). No transaction
 * stays open across a turn of the event loop. Calls block: none of them is on the way of a record.
 *
 * Losing the file is noticed: partitions get new epochs, so that old positions are refused; topics come back from the log.
 */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { LeaseGrant } from '../../core/contracts/engine.ts';
import { TandemError } from '../../core/errors.ts';
import type { Clock } from '../../core/ports/clock.ts';
import { systemClock } from '../../core/ports/clock.ts';
import { systemDisk } from '../../core/ports/disk.ts';
import type { Random } from '../../core/ports/random.ts';
import { systemRandom } from '../../core/ports/random.ts';

const VERSION = 1;
/** Transactions take a millisecond or so; a process that hangs within one must not make the others hang with it for long. */
const BUSY_TIMEOUT_MS = 2000;
const SQLITE_BUSY = 5;
const SQLITE_FULL = 13;
/** The shared memory file could not grow: there is no space. */
const SQLITE_IOERR_SHMSIZE = 4874;

const SCHEMA = `
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS topics (name TEXT PRIMARY KEY, partitions INTEGER NOT NULL, initial_partitions INTEGER NOT NULL,
  retention_ms INTEGER, retention_bytes INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS partitions (topic TEXT, partition INTEGER, epoch TEXT NOT NULL, first_offset INTEGER NOT NULL DEFAULT 0,
  term INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (topic, partition)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS producers (topic TEXT, partition INTEGER, producer TEXT, last_sequence INTEGER NOT NULL, runs TEXT NOT NULL,
  seen_ms INTEGER NOT NULL, PRIMARY KEY (topic, partition, producer)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS producers_seen ON producers (topic, partition, seen_ms);
CREATE TABLE IF NOT EXISTS commits (consumers TEXT, topic TEXT, partition INTEGER, next_offset INTEGER, epoch TEXT, term INTEGER NOT NULL,
  PRIMARY KEY (consumers, topic, partition)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS paused_consumers (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leases (name TEXT PRIMARY KEY, holder TEXT NOT NULL, term INTEGER NOT NULL, expires_ms INTEGER NOT NULL)
  WITHOUT ROWID;
`;

export interface StateDatabase {
  /** Names this database; a new one has another name. 16 characters. */
  readonly storeId: string;
  /** The next term: above every one given before, durable at return. */
  nextTerm(): number;
  /** Makes `nextTerm` answer above `term`. */
  raiseTerm(term: number): void;
  acquireLease(name: string, holder: string, ttlMs: number): LeaseGrant | undefined;
  renewLease(grant: LeaseGrant, ttlMs: number): boolean;
  releaseLease(grant: LeaseGrant): void;
  /** Errors: TANDEM_TERM_FENCED. */
  issueLeaseTerm(grant: LeaseGrant): number;
  leaseHolder(name: string): LeaseGrant | undefined;
  /** Those that the operator has paused, by name. */
  pausedConsumers(): string[];
  /** Durable at return. */
  setConsumerPaused(name: string, isPaused: boolean): void;
  /** Every commit reaches the medium before it returns. For the engine. */
  readonly durable: DatabaseSync;
  /** Commits survive the process, not power loss. For the engine. */
  readonly relaxed: DatabaseSync;
  close(): void;
}

export interface StateDatabaseOptions {
  readonly clock?: Clock;
  readonly random?: Random;
}

/** Opens or creates it. Errors: TANDEM_DATA_VERSION, TANDEM_DISK_FULL, TANDEM_STORE_FAILED. */
export function openStateDatabase(dataDir: string, options: StateDatabaseOptions = {}): StateDatabase {
  return asStoreErrors(() => {
    systemDisk.makeFolderSync(dataDir);
    return new SqliteStateDatabase(
      join(dataDir, 'state.db'),
      options.clock ?? systemClock,
      options.random ?? systemRandom,
    );
  });
}

/** Runs `action`; SQLite's errors become TandemErrors. */
export function asStoreErrors<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw storeError(error);
  }
}

export function storeError(error: unknown): TandemError {
  if (error instanceof TandemError) return error;
  const { errcode, code, message } = error as { errcode?: number; code?: string; message?: string };
  if (code === 'ERR_INVALID_STATE') return new TandemError('TANDEM_DRAINING', { cause: error });
  const isFull =
    (errcode ?? 0) % 256 === SQLITE_FULL || errcode === SQLITE_IOERR_SHMSIZE || code === 'ENOSPC' || code === 'EDQUOT';
  return new TandemError(isFull ? 'TANDEM_DISK_FULL' : 'TANDEM_STORE_FAILED', {
    detail: `state database: ${message ?? String(error)}`,
    cause: error,
  });
}

/** Runs `action` in a write transaction: all of it or nothing. */
export function inTransaction<T>(database: DatabaseSync, action: () => T): T {
  return asStoreErrors(() => {
    database.exec('BEGIN IMMEDIATE');
    try {
      const result = action();
      database.exec('COMMIT');
      return result;
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK');
      throw error;
    }
  });
}

class SqliteStateDatabase implements StateDatabase {
  readonly storeId: string;
  readonly durable: DatabaseSync;
  readonly relaxed: DatabaseSync;
  readonly #clock: Clock;

  constructor(path: string, clock: Clock, random: Random) {
    this.#clock = clock;
    this.durable = connect(path, 'FULL');
    this.storeId = inTransaction(this.durable, () => prepare(this.durable, path, random));
    this.relaxed = connect(path, 'NORMAL');
  }

  nextTerm(): number {
    return inTransaction(this.durable, () => this.#takeTerm());
  }

  raiseTerm(term: number): void {
    const { value } = this.durable.prepare(`SELECT value FROM facts WHERE name = 'term'`).get() as { value: number };
    if (value >= term) return;
    inTransaction(this.durable, () => {
      this.durable.prepare(`UPDATE facts SET value = max(value, ?) WHERE name = 'term'`).run(term);
    });
  }

  acquireLease(name: string, holder: string, ttlMs: number): LeaseGrant | undefined {
    return inTransaction(this.durable, () => {
      const nowMs = this.#clock.nowMs();
      const held = this.durable.prepare('SELECT holder, expires_ms FROM leases WHERE name = ?').get(name) as
        | { holder: string; expires_ms: number }
        | undefined;
      if (held !== undefined && held.holder !== holder && held.expires_ms > nowMs) return undefined;
      const term = this.#takeTerm();
      this.durable
        .prepare('INSERT OR REPLACE INTO leases (name, holder, term, expires_ms) VALUES (?, ?, ?, ?)')
        .run(name, holder, term, nowMs + ttlMs);
      return { name, holder, term };
    });
  }

  renewLease(grant: LeaseGrant, ttlMs: number): boolean {
    return inTransaction(this.durable, () => {
      const nowMs = this.#clock.nowMs();
      const { changes } = this.durable
        .prepare('UPDATE leases SET expires_ms = ? WHERE name = ? AND holder = ? AND term = ? AND expires_ms > ?')
        .run(nowMs + ttlMs, grant.name, grant.holder, grant.term, nowMs);
      return changes === 1;
    });
  }

  releaseLease(grant: LeaseGrant): void {
    inTransaction(this.durable, () => {
      this.durable
        .prepare('DELETE FROM leases WHERE name = ? AND holder = ? AND term = ?')
        .run(grant.name, grant.holder, grant.term);
    });
  }

  issueLeaseTerm(grant: LeaseGrant): number {
    return inTransaction(this.durable, () => {
      const row = this.durable.prepare('SELECT 1 FROM leases WHERE name = ? AND term = ?').get(grant.name, grant.term);
      if (row === undefined) throw new TandemError('TANDEM_TERM_FENCED');
      return this.#takeTerm();
    });
  }

  leaseHolder(name: string): LeaseGrant | undefined {
    return asStoreErrors(() => {
      const row = this.durable
        .prepare('SELECT name, holder, term FROM leases WHERE name = ? AND expires_ms > ?')
        .get(name, this.#clock.nowMs()) as unknown as LeaseGrant | undefined;
      return row === undefined ? undefined : { name: row.name, holder: row.holder, term: row.term };
    });
  }

  pausedConsumers(): string[] {
    return asStoreErrors(() =>
      this.durable
        .prepare('SELECT name FROM paused_consumers ORDER BY name')
        .all()
        .map((row) => row['name'] as string),
    );
  }

  setConsumerPaused(name: string, isPaused: boolean): void {
    const sql = isPaused
      ? 'INSERT OR IGNORE INTO paused_consumers (name) VALUES (?)'
      : 'DELETE FROM paused_consumers WHERE name = ?';
    inTransaction(this.durable, () => this.durable.prepare(sql).run(name));
  }

  close(): void {
    if (this.relaxed.isOpen) this.relaxed.close();
    if (this.durable.isOpen) this.durable.close();
  }

  #takeTerm(): number {
    const row = this.durable.prepare(`UPDATE facts SET value = value + 1 WHERE name = 'term' RETURNING value`).get();
    return (row as { value: number }).value;
  }
}

function connect(path: string, synchronous: 'FULL' | 'NORMAL'): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
  switchToWal(database);
  database.exec(`PRAGMA synchronous = ${synchronous}; PRAGMA cache_size = -4096`);
  return database;
}

/** Two processes that create the database at once: the busy time-out does not cover the change of the journal mode. */
function switchToWal(database: DatabaseSync): void {
  for (let attempt = 1; ; attempt++) {
    try {
      database.exec('PRAGMA journal_mode = WAL');
      return;
    } catch (error) {
      if (((error as { errcode?: number }).errcode ?? 0) % 256 !== SQLITE_BUSY || attempt === 100) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }
}

function prepare(database: DatabaseSync, path: string, random: Random): string {
  database.exec(SCHEMA);
  const factOf = (name: string): string | number | undefined =>
    (database.prepare('SELECT value FROM facts WHERE name = ?').get(name) as { value: string | number } | undefined)
      ?.value;
  const version = factOf('version');
  if (version !== undefined && version !== VERSION)
    throw new TandemError('TANDEM_DATA_VERSION', {
      detail: `${path} has version ${version}, this one reads ${VERSION}`,
    });
  const storeId = factOf('store_id');
  if (version !== undefined && typeof storeId === 'string') return storeId;
  const newId = random.id(8);
  const insert = database.prepare('INSERT INTO facts (name, value) VALUES (?, ?)');
  insert.run('version', VERSION);
  insert.run('store_id', newId);
  insert.run('term', 0);
  insert.run('topics_version', 0);
  return newId;
}
