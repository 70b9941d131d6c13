/**
 * The small transactional state beside the log, in `<dataDir>/state.db` (SQLite, WAL), shared by all processes of a node: topics,
 * partitions (epoch, first offset, claimed term), leases and terms, committed offsets, producers, which consumers are paused. What only the
 * active may change is changed in `inFencedTransaction` (store-term.ts).
 *
 * Two connections: `durable` forces every commit to the medium (terms, leases, topics, claims, trims, producers, pauses), `relaxed` leaves
 * that to the next durable commit or checkpoint (committed offsets: kill -9 loses nothing, power loss the last ones). No transaction
 * stays open across a turn of the event loop. Calls block: none of them is on the way of a record.
 *
 * Losing the file is noticed: partitions get new epochs, so that old positions are refused; topics come back from the log.
 */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { TandemError } from '../../core/errors.ts';
import { systemDisk } from '../../core/ports/disk.ts';
import type { Random } from '../../core/ports/random.ts';
import { systemRandom } from '../../core/ports/random.ts';
import type { StoreTerm } from './store-term.ts';
import { makeStoreTerm, openStoreTerm } from './store-term.ts';

const VERSION = 1;
/** Raised with every change of SCHEMA: a database that has it is opened without a write, which a process that hangs could hold up. */
const SCHEMA_REVISION = 2;
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
CREATE TABLE IF NOT EXISTS lease_grants (name TEXT PRIMARY KEY, holder TEXT, term INTEGER NOT NULL, since_ms INTEGER NOT NULL,
  reserved_for TEXT, reserved_until_ms INTEGER) WITHOUT ROWID;
DROP TABLE IF EXISTS leases;
`;

export interface StateDatabase {
  /** Names this database; a new one has another name. 16 characters. */
  readonly storeId: string;
  /** The next term: above every one given before, durable at return. */
  nextTerm(): number;
  /** Makes `nextTerm` answer above `term`. */
  raiseTerm(term: number): void;
  /** `nextTerm` within a transaction of `durable`. */
  takeTerm(): number;
  /** As Engine.claim; this process writes under `term` from here on. Errors: TANDEM_TERM_FENCED. */
  claim(term: number): void;
  readonly term: StoreTerm;
  /** Those that the operator has paused, by name. */
  pausedConsumers(): string[];
  /** Durable at return. Errors: TANDEM_TERM_FENCED. */
  setConsumerPaused(name: string, isPaused: boolean): void;
  /** Every commit reaches the medium before it returns. For the engine. */
  readonly durable: DatabaseSync;
  /** Commits survive the process, not power loss. For the engine. */
  readonly relaxed: DatabaseSync;
  close(): void;
}

export interface StateDatabaseOptions {
  readonly random?: Random;
}

/** Opens or creates it. Errors: TANDEM_DATA_VERSION, TANDEM_DISK_FULL, TANDEM_STORE_FAILED. */
export function openStateDatabase(dataDir: string, options: StateDatabaseOptions = {}): StateDatabase {
  return asStoreErrors(() => {
    systemDisk.makeFolderSync(dataDir);
    return new SqliteStateDatabase(dataDir, options.random ?? systemRandom);
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

/**
 * The same for what only the active may change. `action` gets the claimed term. Errors besides: TANDEM_TERM_FENCED if that is above this
 * process's own.
 */
export function inFencedTransaction<T>(
  { term }: StateDatabase,
  database: DatabaseSync,
  action: (claimed: number) => T,
): T {
  return inTransaction(database, () => action(term.requireIn(database)));
}

class SqliteStateDatabase implements StateDatabase {
  readonly storeId: string;
  readonly durable: DatabaseSync;
  readonly relaxed: DatabaseSync;
  readonly term: StoreTerm;

  constructor(dataDir: string, random: Random) {
    const path = join(dataDir, 'state.db');
    this.durable = connect(path, 'FULL');
    this.storeId =
      storeIdOf(this.durable, path) ?? inTransaction(this.durable, () => prepare(this.durable, path, random));
    this.term =
      openStoreTerm(dataDir, this.durable) ?? inTransaction(this.durable, () => makeStoreTerm(dataDir, this.durable));
    this.relaxed = connect(path, 'NORMAL');
  }

  nextTerm(): number {
    return inTransaction(this.durable, () => this.takeTerm());
  }

  raiseTerm(term: number): void {
    const { value } = this.durable.prepare(`SELECT value FROM facts WHERE name = 'term'`).get() as { value: number };
    if (value >= term) return;
    inTransaction(this.durable, () => this.#raiseTerm(term));
  }

  takeTerm(): number {
    const row = this.durable.prepare(`UPDATE facts SET value = value + 1 WHERE name = 'term' RETURNING value`).get();
    return (row as { value: number }).value;
  }

  claim(term: number): void {
    inTransaction(this.durable, () => {
      this.term.claimIn(this.durable, term);
      this.#raiseTerm(term);
    });
    this.term.actUnder(term);
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
    inFencedTransaction(this, this.durable, () => this.durable.prepare(sql).run(name));
  }

  close(): void {
    this.term.close();
    if (this.relaxed.isOpen) this.relaxed.close();
    if (this.durable.isOpen) this.durable.close();
  }

  #raiseTerm(term: number): void {
    this.durable.prepare(`UPDATE facts SET value = ? WHERE name = 'term' AND value < ?`).run(term, term);
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

/** undefined: the tables are not there yet, or not all of them. Errors: TANDEM_DATA_VERSION. */
function storeIdOf(database: DatabaseSync, path: string): string | undefined {
  const { user_version: revision } = database.prepare('PRAGMA user_version').get() as { user_version: number };
  if (revision < SCHEMA_REVISION) return undefined;
  const select = database.prepare('SELECT value FROM facts WHERE name = ?');
  const factOf = (name: string) => (select.get(name) as { value: string | number } | undefined)?.value;
  const version = factOf('version');
  if (version === undefined) return undefined;
  if (version !== VERSION)
    throw new TandemError('TANDEM_DATA_VERSION', {
      detail: `${path} has version ${version}, this one reads ${VERSION}`,
    });
  const storeId = factOf('store_id');
  return typeof storeId === 'string' ? storeId : undefined;
}

function prepare(database: DatabaseSync, path: string, random: Random): string {
  database.exec(SCHEMA);
  database.exec(`PRAGMA user_version = ${SCHEMA_REVISION}`);
  const storeId = storeIdOf(database, path);
  if (storeId !== undefined) return storeId;
  const newId = random.id(8);
  const insert = database.prepare('INSERT INTO facts (name, value) VALUES (?, ?)');
  insert.run('version', VERSION);
  insert.run('store_id', newId);
  insert.run('term', 0);
  insert.run('topics_version', 0);
  return newId;
}
