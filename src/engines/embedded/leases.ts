/**
 * Leases that end by release or with the process that holds them, and by nothing else. Needs no engine: the keeper holds its node's.
 *
 *   <dataDir>/leases/<name>.lock   held (exclusive-lock.ts) by the process that has the lease: the kernel's word
 *   <dataDir>/leases/<name>.held   marked by that process, for those who only ask: trying the lock itself would be in the way of whoever
 *                                  wants to have it
 *   <dataDir>/leases/<name>.taker  written by that process right after it got the lock: who it is, until the row says so
 *   state.db, lease_grants         holder and term of the last grant, and for whom the lease is reserved
 *
 * A row whose lock nobody holds means nothing. Taking a lease: lock, row, mark; giving it up: row, mark, lock. So a mark says that the row
 * is true. A lock without a mark is a process in between (or one whose mark could not be set): whoever meets that looks again for some
 * milliseconds, and only then goes by the lock.
 *
 * A lock file that was removed or replaced while it was held protects nothing any more: `renew` says that the lease is lost, `issueTerm`
 * refuses.
 *
 * A reservation keeps others away by the machine's clock, which may step: it is a preference, as the contract says.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LeaseGrant, LeaseReservation, LeaseStore } from '../../core/contracts/engine.ts';
import { TandemError } from '../../core/errors.ts';
import type { Clock } from '../../core/ports/clock.ts';
import { delay, systemClock } from '../../core/ports/clock.ts';
import { systemDisk } from '../../core/ports/disk.ts';
import type { ExclusiveLock } from './exclusive-lock.ts';
import { isMarked, setMark, tryExclusiveLock } from './exclusive-lock.ts';
import type { StateDatabase } from './state-database.ts';
import { asStoreErrors, inTransaction } from './state-database.ts';

export interface LeasesOptions {
  readonly state: StateDatabase;
  readonly dataDir: string;
  readonly clock?: Clock;
}

interface HeldLease {
  readonly lock: ExclusiveLock;
  mark: { clear(): void } | undefined;
  grant: LeaseGrant;
}

interface GrantRow {
  readonly holder: string | null;
  readonly term: number;
  readonly reserved_for: string | null;
  readonly reserved_until_ms: number | null;
}

/** Whoever looks at a mark does so for some microseconds; one who is stopped just then must not hold up a takeover. */
const MARK_WAIT_MS = 10;
/** Others are between lock and mark for as long as it takes to write a row, unless they are stopped there. */
const LOOK_AGAIN_MS = 1;
const LOOKS_MAX = 30;
const FILE_NAME_BYTES_MAX = 200;

export class Leases implements LeaseStore {
  readonly #state: StateDatabase;
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #held = new Map<string, HeldLease>();
  #isClosed = false;

  /** Errors: TANDEM_STORE_FAILED, TANDEM_DISK_FULL. `state` stays the caller's, and must outlive this. */
  constructor({ state, dataDir, clock = systemClock }: LeasesOptions) {
    this.#state = state;
    this.#clock = clock;
    this.#folder = join(dataDir, 'leases');
    asStoreErrors(() => systemDisk.makeFolderSync(this.#folder));
  }

  /** `ttlMs` means nothing here. */
  acquire(name: string, holder: string, _ttlMs: number): Promise<LeaseGrant | undefined> {
    return this.#acquire(name, holder, 1);
  }

  async #acquire(name: string, holder: string, looks: number): Promise<LeaseGrant | undefined> {
    this.#requireOpen();
    const held = this.#held.get(name);
    if (held !== undefined) {
      if (held.grant.holder !== holder) return undefined;
      if (held.lock.isInPlace) {
        const grant = this.#grant(name, holder);
        if (grant !== undefined) held.grant = grant;
        return grant;
      }
      this.#letGo(name);
    }
    if (this.#isReserved(this.#rowOf(name), holder)) return undefined;
    const lock = tryExclusiveLock(this.#pathOf(name, 'lock'));
    if (lock !== undefined) return this.#take(name, holder, lock);
    if (looks === LOOKS_MAX || isMarked(this.#pathOf(name, 'held'))) return undefined;
    await delay(this.#clock, LOOK_AGAIN_MS);
    return this.#acquire(name, holder, looks + 1);
  }

  /** The lock is held; undefined: the lease is reserved for another, and the lock given back. */
  #take(name: string, holder: string, lock: ExclusiveLock): LeaseGrant | undefined {
    try {
      // First of all: a process that is stopped before its row is written must be found by those who end what hangs.
      writeFileSync(this.#pathOf(name, 'taker'), holder);
      const grant = this.#grant(name, holder);
      if (grant === undefined) {
        rmSync(this.#pathOf(name, 'taker'), { force: true });
        lock.release();
      } else this.#held.set(name, { lock, mark: setMark(this.#pathOf(name, 'held'), MARK_WAIT_MS), grant });
      return grant;
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** Changes nothing: the lease is this grant's as long as the process lives. */
  async renew(grant: LeaseGrant, _ttlMs: number): Promise<boolean> {
    this.#requireOpen();
    const held = this.#heldAs(grant);
    if (held === undefined) return false;
    held.mark ??= setMark(this.#pathOf(grant.name, 'held'), 0);
    return this.#rowOf(grant.name)?.term === grant.term;
  }

  /** Ends it even if the state database cannot be written: without the lock the row means nothing, and the reservation is lost. */
  async release(grant: LeaseGrant, reserveFor?: LeaseReservation): Promise<void> {
    this.#requireOpen();
    if (this.#held.get(grant.name)?.grant.term !== grant.term) return;
    try {
      this.#writeRelease(grant, reserveFor);
    } finally {
      this.#letGo(grant.name);
    }
  }

  async issueTerm(grant: LeaseGrant): Promise<number> {
    this.#requireOpen();
    if (this.#heldAs(grant) === undefined) throw lost(grant);
    return inTransaction(this.#state.durable, () => {
      if (this.#rowOf(grant.name)?.term !== grant.term) throw lost(grant);
      return this.#state.takeTerm();
    });
  }

  async holder(name: string): Promise<LeaseGrant | undefined> {
    for (let looks = 1; ; looks++) {
      this.#requireOpen();
      // In this order: the row is as true as the mark that was seen before.
      const isHeld = isMarked(this.#pathOf(name, 'held'));
      const row = this.#rowOf(name);
      const isTaken = row?.holder != null || existsSync(this.#pathOf(name, 'taker'));
      if (!isTaken) return undefined;
      if (isHeld && row?.holder != null) return { name, holder: row.holder, term: row.term };
      const lock = tryExclusiveLock(this.#pathOf(name, 'lock'));
      lock?.release();
      if (lock !== undefined) return undefined;
      if (looks === LOOKS_MAX) {
        const holder = this.#takerOf(name) ?? row?.holder;
        return holder == null ? undefined : { name, holder, term: row?.term ?? 0 };
      }
      await delay(this.#clock, LOOK_AGAIN_MS);
    }
  }

  /** Of a lock that somebody holds who has not got as far as the mark. */
  #takerOf(name: string): string | undefined {
    try {
      return readFileSync(this.#pathOf(name, 'taker'), 'utf8');
    } catch {
      return undefined;
    }
  }

  /** Gives up those of this process; every later call is refused. */
  close(): void {
    this.#isClosed = true;
    for (const [name, { grant }] of this.#held) {
      try {
        this.#writeRelease(grant, undefined);
      } catch {
        // The lock is what counts.
      }
      this.#letGo(name);
    }
  }

  #requireOpen(): void {
    if (this.#isClosed) throw new TandemError('TANDEM_DRAINING');
  }

  /** What this process holds as that grant; undefined: nothing, or nothing that still protects. */
  #heldAs({ name, term }: LeaseGrant): HeldLease | undefined {
    const held = this.#held.get(name);
    return held?.grant.term === term && held.lock.isInPlace ? held : undefined;
  }

  /** The caller has the lock. undefined: it is reserved for another. */
  #grant(name: string, holder: string): LeaseGrant | undefined {
    return inTransaction(this.#state.durable, () => {
      if (this.#isReserved(this.#rowOf(name), holder)) return undefined;
      const term = this.#state.takeTerm();
      this.#state.durable
        .prepare('INSERT OR REPLACE INTO lease_grants (name, holder, term, since_ms) VALUES (?, ?, ?, ?)')
        .run(name, holder, term, this.#clock.nowMs());
      return { name, holder, term };
    });
  }

  #writeRelease({ name, term }: LeaseGrant, reserveFor: LeaseReservation | undefined): void {
    const untilMs = reserveFor === undefined ? null : this.#clock.nowMs() + reserveFor.forMs;
    inTransaction(this.#state.durable, () => {
      this.#state.durable
        .prepare(
          'UPDATE lease_grants SET holder = NULL, reserved_for = ?, reserved_until_ms = ? WHERE name = ? AND term = ?',
        )
        .run(reserveFor?.holder ?? null, untilMs, name, term);
    });
  }

  #letGo(name: string): void {
    const held = this.#held.get(name);
    this.#held.delete(name);
    held?.mark?.clear();
    if (held?.lock.isInPlace === true) rmSync(this.#pathOf(name, 'taker'), { force: true });
    held?.lock.release();
  }

  #rowOf(name: string): GrantRow | undefined {
    return asStoreErrors(() =>
      this.#state.durable
        .prepare('SELECT holder, term, reserved_for, reserved_until_ms FROM lease_grants WHERE name = ?')
        .get(name),
    ) as unknown as GrantRow | undefined;
  }

  #isReserved(row: GrantRow | undefined, holder: string): boolean {
    const { reserved_for: reservedFor = null, reserved_until_ms: untilMs = null } = row ?? {};
    return reservedFor !== null && reservedFor !== holder && (untilMs ?? 0) > this.#clock.nowMs();
  }

  #pathOf(name: string, kind: 'lock' | 'held' | 'taker'): string {
    return join(this.#folder, `${fileNameOf(name)}.${kind}`);
  }
}

const lost = ({ name, term }: LeaseGrant): TandemError =>
  new TandemError('TANDEM_TERM_FENCED', { detail: `the lease ${name} is not held under term ${term} any more` });

/** Any name as a file's: other characters than these, capitals too, by their bytes, so that no file system takes two for one. */
function fileNameOf(name: string): string {
  const safe = name.replace(/[^a-z0-9-]/gu, (character) =>
    [...Buffer.from(character)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''),
  );
  return safe.length <= FILE_NAME_BYTES_MAX ? safe : createHash('sha256').update(name).digest('hex');
}
