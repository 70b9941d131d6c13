/**
 * Leases of one member of a memory store. They end by release, by time-out on the monotonic clock, or when the engine that acquired them is
 * closed; the death of that engine is not noticed, as a store on another machine does not notice it.
 */
import type { LeaseGrant, LeaseReservation, LeaseStore } from '../../core/contracts/engine.ts';
import { TandemError } from '../../core/errors.ts';
import type { MemoryLease, MemoryStore } from './memory-store.ts';

export class MemoryLeases implements LeaseStore {
  readonly #store: MemoryStore;
  readonly #requireOpen: () => void;

  constructor(store: MemoryStore, requireOpen: () => void) {
    this.#store = store;
    this.#requireOpen = requireOpen;
  }

  async acquire(name: string, holder: string, ttlMs: number): Promise<LeaseGrant | undefined> {
    this.#requireOpen();
    const held = this.#current(name);
    const isOwn = held?.holder === holder && held.owner === this;
    if (held !== undefined ? !isOwn : this.#isReserved(name, holder)) return undefined;
    this.#store.reservations.delete(name);
    const term = this.#store.issueTerm();
    const expiresMs = this.#nowMs() + ttlMs;
    this.#store.leases.set(name, { holder, term, owner: this, expiresMs });
    return { name, holder, term };
  }

  async renew(grant: LeaseGrant, ttlMs: number): Promise<boolean> {
    this.#requireOpen();
    const held = this.#currentAs(grant);
    if (held === undefined) return false;
    held.expiresMs = this.#nowMs() + ttlMs;
    return true;
  }

  async release(grant: LeaseGrant, reserveFor?: LeaseReservation): Promise<void> {
    this.#requireOpen();
    if (this.#currentAs(grant) === undefined) return;
    const { leases, reservations } = this.#store;
    leases.delete(grant.name);
    if (reserveFor === undefined) return;
    const { holder, forMs } = reserveFor;
    reservations.set(grant.name, { holder, untilMs: this.#nowMs() + forMs });
  }

  async issueTerm(grant: LeaseGrant): Promise<number> {
    this.#requireOpen();
    const { name, term } = grant;
    if (this.#currentAs(grant) === undefined)
      throw new TandemError('TANDEM_TERM_FENCED', {
        detail: `the lease ${name} is not held under term ${term} any more`,
      });
    return this.#store.issueTerm();
  }

  async holder(name: string): Promise<LeaseGrant | undefined> {
    this.#requireOpen();
    const held = this.#current(name);
    return held && { name, holder: held.holder, term: held.term };
  }

  /** Ends all that were acquired here. */
  releaseAll(): void {
    for (const [name, { owner }] of this.#store.leases) if (owner === this) this.#store.leases.delete(name);
  }

  #current(name: string): MemoryLease | undefined {
    const held = this.#store.leases.get(name);
    return held !== undefined && held.expiresMs > this.#nowMs() ? held : undefined;
  }

  #currentAs({ name, term }: LeaseGrant): MemoryLease | undefined {
    const held = this.#current(name);
    return held?.term === term ? held : undefined;
  }

  #isReserved(name: string, holder: string): boolean {
    const reservation = this.#store.reservations.get(name);
    return reservation !== undefined && reservation.holder !== holder && reservation.untilMs > this.#nowMs();
  }

  #nowMs(): number {
    return this.#store.clock.monotonicMs();
  }
}
