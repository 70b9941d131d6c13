/**
 * Fencing of the whole store: the highest term that was claimed at it, and the one under which this process writes. It holds besides the
 * kernel's locks, for whoever lost the right to write without dying at once: a process that was stopped, a lock file that was removed.
 *
 * The claimed term is kept twice. In the state database (facts.claimed_term), for writes to that: they look at it in their own
 * transaction. And in the 8 bytes of `<dataDir>/claimed-term`, for journals: a look there costs a quarter of a microsecond and no lock. Both are
 * raised in one transaction, the file first, so that claims follow one another and neither ever falls; where the file is ahead (the
 * claimer died in between, before it answered), the file counts.
 *
 * A journal looks at the file before it writes a flush, and again when the flush is durable and before it answers any of it. The second look
 * is what fencing rests on, and it is enough: the look comes after the write, the claimer's read comes after its claim. If the look found
 * no newer claim, then the claim was made after the write, so the claimer's recovery, which reads after that, sees what was
 * acknowledged. If it found one, nothing of the flush is acknowledged, wherever its bytes may lie. (A look before the write alone would leave the
 * time between look and write, in which a process can be stopped for an hour.) The first look is for tidiness: a process that wakes up fenced
 * leaves the segment as it is.
 *
 * Not covered: a file system on which processes do not see one another's writes at once; somebody who removes the file while processes run.
 */
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { TandemError } from '../../core/errors.ts';
import type { DiskFile } from '../../core/ports/disk.ts';
import { systemDisk } from '../../core/ports/disk.ts';

const FILE_NAME = 'claimed-term';
const BYTES = 8;

export class StoreTerm {
  readonly #file: DiskFile;
  readonly #bytes = Buffer.alloc(BYTES);
  #own = 0;

  constructor(file: DiskFile) {
    this.#file = file;
  }

  /** The term under which this process writes; 0: under none, so that it may write only as long as nobody has claimed. */
  get own(): number {
    return this.#own;
  }

  /** Writes go under `term` from here on, if it is above the present one. Errors: TANDEM_TERM_FENCED if a higher one is claimed. */
  actUnder(term: number): void {
    this.require(term);
    this.#own = Math.max(this.#own, term);
  }

  /** The highest term that was claimed, by any process, at this moment. Errors: TANDEM_STORE_FAILED. */
  claimed(): number {
    if (this.#file.readSync(this.#bytes, 0) < BYTES)
      throw new TandemError('TANDEM_STORE_FAILED', { detail: `${this.#file.path} is cut short` });
    return this.#bytes.readUInt32LE(0) + this.#bytes.readUInt32LE(4) * 2 ** 32;
  }

  /** Throws TANDEM_TERM_FENCED if a higher term than `term` (this process's own) is claimed. */
  require(term: number = this.#own): void {
    const claimed = this.claimed();
    if (claimed > term) throw fencedError(term, claimed);
  }

  /** The same in a transaction of the state database, so that no claim comes between this and the commit. Returns the claimed term. */
  requireIn(database: DatabaseSync): number {
    const claimed = claimedIn(database);
    if (claimed > this.#own) throw fencedError(this.#own, claimed);
    return claimed;
  }

  /** Within a write transaction: raises the claimed term and this process's own; durable when that is committed. Errors: TANDEM_TERM_FENCED. */
  claimIn(database: DatabaseSync, term: number): void {
    const inFile = this.claimed();
    const inDatabase = claimedIn(database);
    if (term < Math.max(inFile, inDatabase)) throw fencedError(term, Math.max(inFile, inDatabase));
    if (term > inFile) this.put(term);
    if (term > inDatabase) database.prepare(UPSERT).run(term);
  }

  close(): void {
    this.#file.close();
  }

  /** Only in a write transaction of the state database. */
  put(term: number): void {
    this.#bytes.writeUInt32LE(term % 2 ** 32, 0);
    this.#bytes.writeUInt32LE(Math.floor(term / 2 ** 32), 4);
    this.#file.writeSync([this.#bytes], 0);
    this.#file.dataSyncSync();
  }
}

export const fencedError = (term: number, claimed: number): TandemError =>
  new TandemError('TANDEM_TERM_FENCED', { detail: `${term} is below ${claimed}`, data: { term: claimed } });

const UPSERT = `INSERT INTO facts (name, value) VALUES ('claimed_term', ?) ON CONFLICT DO UPDATE SET value = excluded.value`;

function claimedIn(database: DatabaseSync): number {
  const row = database.prepare(`SELECT value FROM facts WHERE name = 'claimed_term'`).get() as
    | { value: number }
    | undefined;
  return row?.value ?? 0;
}

/** undefined: the file is not there, or does not say what the database says; `makeStoreTerm` mends that. */
export function openStoreTerm(dataDir: string, database: DatabaseSync): StoreTerm | undefined {
  // Read before the file, which is raised before the database.
  const inDatabase = claimedIn(database);
  const file = openFile(join(dataDir, FILE_NAME));
  if (file === undefined) return undefined;
  const term = new StoreTerm(file);
  if (file.sizeSync() >= BYTES && term.claimed() >= inDatabase) return term;
  term.close();
  return undefined;
}

/** Within a write transaction, so that one process at a time makes the file. Throws what disk and database throw. */
export function makeStoreTerm(dataDir: string, database: DatabaseSync): StoreTerm {
  const path = join(dataDir, FILE_NAME);
  // Never another file in its place: processes that have this one open would see no more claims.
  const file = openFile(path) ?? systemDisk.createSync(path, BYTES, Buffer.alloc(BYTES));
  const term = new StoreTerm(file);
  try {
    const inDatabase = claimedIn(database);
    if (file.sizeSync() < BYTES || term.claimed() < inDatabase) term.put(inDatabase);
    return term;
  } catch (error) {
    term.close();
    throw error;
  }
}

function openFile(path: string): DiskFile | undefined {
  try {
    return systemDisk.openSync(path, 'write');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
