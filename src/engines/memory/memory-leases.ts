/** Leases of one member of a memory store. They end by release, by time-out on the monotonic clock, or with the engine that acquired them. */
import type { LeaseGrant, LeaseStore } from '../../core/contracts/engine.ts';
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
    if (held !== undefined && held.holder !== holder) return undefined;
    const term = this.#store.issueTerm();
    const expiresMs = this.#store.clock.monotonicMs() + ttlMs;
    this.#store.leases.set(name, { holder, term, owner: this, expiresMs });
    return { name, holder, term };
  }

  async renew(grant: LeaseGrant, ttlMs: number): Promise<boolean> {
    this.#requireOpen();
    const held = this.#current(grant.name);
    if (held?.term !== grant.term) return false;
    held.expiresMs = this.#store.clock.monotonicMs() + ttlMs;
    return true;
  }

  async release(grant: LeaseGrant): Promise<void> {
    this.#requireOpen();
    if (this.#current(grant.name)?.term === grant.term) this.#store.leases.delete(grant.name);
  }

  async issueTerm(grant: LeaseGrant): Promise<number> {
    this.#requireOpen();
    if (this.#current(grant.name)?.term !== grant.term) throw new TandemError('TANDEM_TERM_FENCED');
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
    return held !== undefined && held.expiresMs > this.#store.clock.monotonicMs() ? held : undefined;
  }
}
