/** Leases in the state database. They end by time-out, as judged by this machine's clock; `close` gives up those of this process. */
import type { LeaseGrant, LeaseStore } from '../../core/contracts/engine.ts';
import type { StateDatabase } from './state-database.ts';

export class Leases implements LeaseStore {
  readonly #state: StateDatabase;
  readonly #held = new Map<string, LeaseGrant>();

  constructor(state: StateDatabase) {
    this.#state = state;
  }

  async acquire(name: string, holder: string, ttlMs: number): Promise<LeaseGrant | undefined> {
    const grant = this.#state.acquireLease(name, holder, ttlMs);
    if (grant !== undefined) this.#held.set(name, grant);
    return grant;
  }

  async renew(grant: LeaseGrant, ttlMs: number): Promise<boolean> {
    return this.#state.renewLease(grant, ttlMs);
  }

  async release(grant: LeaseGrant): Promise<void> {
    this.#state.releaseLease(grant);
    if (this.#held.get(grant.name)?.term === grant.term) this.#held.delete(grant.name);
  }

  async issueTerm(grant: LeaseGrant): Promise<number> {
    return this.#state.issueLeaseTerm(grant);
  }

  async holder(name: string): Promise<LeaseGrant | undefined> {
    return this.#state.leaseHolder(name);
  }

  close(): void {
    for (const grant of this.#held.values()) this.#state.releaseLease(grant);
    this.#held.clear();
  }
}
