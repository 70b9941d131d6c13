/**
 * A store between machines, with leases that end by time-out on its own clock. Requests and answers travel: they are late, very late, or
 * lost; the store is away for a while and then has all that it had, or all that came meanwhile.
 */
import type { LeaseGrant, LeaseReservation, LeaseStore } from '../../core/contracts/engine.ts';
import { TandemError } from '../../core/errors.ts';
import type { Random } from '../../core/ports/random.ts';
import type { SimLeases } from './kernel-leases.fixture.ts';
import type { Scheduler, SimProcess } from './scheduler.fixture.ts';

export interface TimedStoreFaults {
  readonly requestLoss: number;
  readonly answerLoss: number;
  /** The part of requests that arrive up to `delayMsMax` later. */
  readonly requestDelay: number;
  /** And of answers. */
  readonly answerDelay: number;
  readonly delayMsMax: number;
}

export const QUIET: TimedStoreFaults = {
  requestLoss: 0,
  answerLoss: 0,
  requestDelay: 0,
  answerDelay: 0,
  delayMsMax: 0,
};
const LATENCY_MS_MIN = 0.3;
const LATENCY_MS_MAX = 20;

export class TimedLeases implements SimLeases {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  /** How fast its clock runs against real time. */
  readonly #rate: number;
  #held: { grant: LeaseGrant; untilMs: number } | undefined;
  #reserved: { holder: string; untilMs: number } | undefined;
  #term = 0;
  /** Of the way between the store and each node, by name. */
  readonly #faults = new Map<string, TimedStoreFaults>();
  /** away: requests wait until it is back. refusing: they fail. */
  mode: 'up' | 'away' | 'refusing' = 'up';
  #waiting: (() => void)[] = [];

  constructor(scheduler: Scheduler, random: Random, rate: number) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#rate = rate;
  }

  get holder(): string | undefined {
    return this.#current()?.holder;
  }

  wasHolder(holder: string): boolean {
    return this.holder === holder;
  }

  died(): void {
    // It cannot know.
  }

  trouble(nodeName: string, faults: TimedStoreFaults): void {
    this.#faults.set(nodeName, faults);
  }

  /** No faults from now on. */
  heal(): void {
    this.#faults.clear();
    this.back();
  }

  back(): void {
    this.mode = 'up';
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const request of waiting) request();
  }

  of(process: SimProcess): LeaseStore {
    return {
      acquire: (name, holder, ttlMs) => this.#ask(process, () => this.#acquire(name, holder, ttlMs)),
      renew: (grant, ttlMs) => this.#ask(process, () => this.#renew(grant, ttlMs)),
      release: (grant, reserveFor) => this.#ask(process, () => this.#release(grant, reserveFor)),
      issueTerm: (grant) =>
        this.#ask(process, () => {
          if (this.#current()?.term !== grant.term) throw new TandemError('TANDEM_TERM_FENCED');
          return ++this.#term;
        }),
      holder: () => this.#ask(process, () => this.#current()),
    };
  }

  #clockMs(): number {
    return this.#scheduler.nowMs * this.#rate;
  }

  #current(): LeaseGrant | undefined {
    return this.#held !== undefined && this.#clockMs() < this.#held.untilMs ? this.#held.grant : undefined;
  }

  #acquire(name: string, holder: string, ttlMs: number): LeaseGrant | undefined {
    const current = this.#current();
    if (current !== undefined && current.holder !== holder) return undefined;
    const reserved = this.#reserved;
    if (reserved !== undefined && reserved.holder !== holder && this.#clockMs() < reserved.untilMs) return undefined;
    this.#reserved = undefined;
    this.#held = { grant: { name, holder, term: ++this.#term }, untilMs: this.#clockMs() + ttlMs };
    return this.#held.grant;
  }

  #renew(grant: LeaseGrant, ttlMs: number): boolean {
    if (this.#held === undefined || this.#current()?.term !== grant.term) return false;
    this.#held.untilMs = this.#clockMs() + ttlMs;
    return true;
  }

  #release(grant: LeaseGrant, reserveFor: LeaseReservation | undefined): void {
    if (this.#current()?.term !== grant.term) return;
    this.#held = undefined;
    if (reserveFor !== undefined)
      this.#reserved = { holder: reserveFor.holder, untilMs: this.#clockMs() + reserveFor.forMs };
  }

  #ask<T>(process: SimProcess, perform: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const { requestLoss, requestDelay, delayMsMax } = this.#faults.get(process.name) ?? QUIET;
      if (this.#isHit(requestLoss)) return;
      const lateMs = this.#isHit(requestDelay) ? this.#random.fraction() * delayMsMax : 0;
      const arrive = (): void => {
        if (this.mode === 'away') this.#waiting.push(arrive);
        else this.#reply(process, this.#outcome(perform, resolve, reject));
      };
      this.#scheduler.after(this.#latencyMs() + lateMs, undefined, arrive);
    });
  }

  /** Does it, at the store; returns how to tell. */
  #outcome<T>(perform: () => T, resolve: (result: T) => void, reject: (error: unknown) => void): () => void {
    try {
      if (this.mode === 'refusing') throw new TandemError('TANDEM_STORE_FAILED');
      const result = perform();
      return () => resolve(result);
    } catch (error) {
      return () => reject(error);
    }
  }

  #reply(process: SimProcess, settle: () => void): void {
    const { answerLoss, answerDelay, delayMsMax } = this.#faults.get(process.name) ?? QUIET;
    if (this.#isHit(answerLoss)) return;
    const lateMs = this.#isHit(answerDelay) ? this.#random.fraction() * delayMsMax : 0;
    this.#scheduler.after(this.#latencyMs() + lateMs, process, settle);
  }

  #latencyMs(): number {
    return LATENCY_MS_MIN + this.#random.fraction() ** 4 * LATENCY_MS_MAX;
  }

  #isHit(probability: number): boolean {
    return probability > 0 && this.#random.fraction() < probability;
  }
}
