/** A store that proves death: the lease is a lock of the kernel's, free when its process has died, some milliseconds later. */
import type { LeaseGrant, LeaseReservation, LeaseStore } from '../../core/contracts/engine.ts';
import { TandemError } from '../../core/errors.ts';
import type { Random } from '../../core/ports/random.ts';
import type { Scheduler, SimProcess } from './scheduler.fixture.ts';

export interface SimLeases {
  of(process: SimProcess): LeaseStore;
  /** The process has died. */
  died(process: SimProcess): void;
  /** Who holds it now, as the store sees it. */
  readonly holder: string | undefined;
  /** Whether it was held by this one at any time of the last milliseconds. */
  wasHolder(holder: string, withinMs: number): boolean;
}

/** Releasing what a dead process held takes the kernel at most so long: it tears down the memory first. */
export const RELEASE_MS_MAX = 60;

export class KernelLeases implements SimLeases {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  /** Of the answer: the commit of the new term. */
  readonly #latencyMsMax: number;
  #held: { process: SimProcess; grant: LeaseGrant } | undefined;
  #before: { holder: string; untilMs: number } | undefined;
  #reserved: { holder: string; untilMs: number } | undefined;
  #term = 0;

  constructor(scheduler: Scheduler, random: Random, latencyMsMax: number) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#latencyMsMax = latencyMsMax;
  }

  get holder(): string | undefined {
    return this.#held?.grant.holder;
  }

  wasHolder(holder: string, withinMs: number): boolean {
    if (this.holder === holder) return true;
    return this.#before?.holder === holder && this.#scheduler.nowMs - this.#before.untilMs < withinMs;
  }

  died(process: SimProcess): void {
    this.#scheduler.after(this.#random.fraction() ** 3 * RELEASE_MS_MAX, undefined, () => {
      if (this.#held?.process === process) this.#free();
    });
  }

  of(process: SimProcess): LeaseStore {
    return {
      acquire: (name, holder) => this.#answer(process, this.#acquire(process, name, holder)),
      renew: (grant) => this.#answer(process, this.#held?.grant.term === grant.term),
      release: (grant, reserveFor) => this.#answer(process, this.#release(grant, reserveFor)),
      issueTerm: (grant) =>
        this.#held?.grant.term === grant.term
          ? this.#answer(process, ++this.#term)
          : Promise.reject(new TandemError('TANDEM_TERM_FENCED')),
      holder: () => this.#answer(process, this.#held?.grant),
    };
  }

  #acquire(process: SimProcess, name: string, holder: string): LeaseGrant | undefined {
    if (this.#held !== undefined && this.#held.process !== process) return undefined;
    const reserved = this.#reserved;
    if (reserved !== undefined && reserved.holder !== holder && this.#scheduler.nowMs < reserved.untilMs)
      return undefined;
    this.#reserved = undefined;
    this.#held = { process, grant: { name, holder, term: ++this.#term } };
    return this.#held.grant;
  }

  #release(grant: LeaseGrant, reserveFor: LeaseReservation | undefined): void {
    if (this.#held?.grant.term !== grant.term) return;
    this.#free();
    if (reserveFor !== undefined)
      this.#reserved = { holder: reserveFor.holder, untilMs: this.#scheduler.nowMs + reserveFor.forMs };
  }

  #free(): void {
    if (this.#held !== undefined) this.#before = { holder: this.#held.grant.holder, untilMs: this.#scheduler.nowMs };
    this.#held = undefined;
  }

  #answer<T>(process: SimProcess, result: T): Promise<T> {
    if (this.#latencyMsMax === 0) return Promise.resolve(result);
    return new Promise((resolve) => {
      this.#scheduler.after(this.#random.fraction() * this.#latencyMsMax, process, () => resolve(result));
    });
  }
}
