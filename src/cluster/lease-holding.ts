/**
 * One lease, as its holder sees it: acquired, kept, given up or lost.
 *
 * A store that proves death: held from the grant until the release; nothing times out.
 * A store that does not: renewed every `renewMs`, and held until the holder deadline = monotonic time before the request was SENT + ttl -
 * margin, of the last acquire or renewal that was confirmed in time. A late, lost or failed answer extends nothing. At the deadline `onLost`
 * is called, once, and nothing is held any more, whether a timer, an answer or a question (`grant`) notices first: a process that was
 * stopped may hear any of them first.
 *
 * Non-goals: what to do under the lease, and when to try again.
 */
import type { LeaseGrant, LeaseReservation, LeaseStore } from '../core/contracts/engine.ts';
import { asTandemError, TandemError } from '../core/errors.ts';
import type { Clock, Timer } from '../core/ports/clock.ts';
import { answerInTime, type LateError } from './answer-in-time.ts';
import { type LeaseTimers, storeTimeoutMs } from './lease-timers.ts';

export interface LeaseHoldingOptions {
  readonly leases: LeaseStore;
  readonly provesDeath: boolean;
  readonly leaseName: string;
  readonly holder: string;
  readonly timers: LeaseTimers;
  readonly clock: Clock;
  /** It is no longer held, though nobody here gave it up. Not called within `acquire` and `release`. */
  readonly onLost: (reason: string) => void;
}

const LATE_STORE: LateError = { code: 'TANDEM_STORE_FAILED', what: 'the lease store' };

export class LeaseHolding {
  readonly #options: LeaseHoldingOptions;
  #grant: LeaseGrant | undefined;
  /** How many were held by now. */
  #grants = 0;
  /** Of all answers, those included that nobody waited for any more: each grant to this holder ends the ones before it. */
  #newestTerm = 0;
  #deadlineMs = Number.NEGATIVE_INFINITY;
  #renewTimer: Timer | undefined;
  #guardTimer: Timer | undefined;

  constructor(options: LeaseHoldingOptions) {
    this.#options = options;
  }

  /** The grant, while it is held: never past the holder deadline. */
  get grant(): LeaseGrant | undefined {
    return this.#grant !== undefined && this.#options.clock.monotonicMs() < this.#deadlineMs ? this.#grant : undefined;
  }

  /** Monotonic ms until which it is held without another renewal; infinite if the store proves death; in the past if it is not held. */
  get deadlineMs(): number {
    return this.#grant === undefined ? Number.NEGATIVE_INFINITY : this.#deadlineMs;
  }

  /**
   * Asks once. undefined: someone else has it, or it is reserved. If it was held already, the new grant takes its place.
   * Errors: what the store answers; TANDEM_STORE_FAILED if it does not answer in time.
   */
  async acquire(): Promise<LeaseGrant | undefined> {
    const { leases, leaseName, holder, provesDeath, timers, clock } = this.#options;
    if (provesDeath) {
      const grant = await leases.acquire(leaseName, holder, timers.ttlMs);
      return grant && this.#hold(grant, Number.POSITIVE_INFINITY);
    }
    const deadlineMs = clock.monotonicMs() + timers.ttlMs - timers.marginMs;
    const grants = this.#grants;
    const asked = leases.acquire(leaseName, holder, timers.ttlMs);
    const onLate = (late: LeaseGrant | undefined): void => this.#onLate(late, grants);
    const grant = await answerInTime(clock, asked, storeTimeoutMs(timers), LATE_STORE, onLate);
    // Answers may overtake each other: a newer one, late, has ended this one.
    if (grant === undefined || grant.term < this.#newestTerm) return undefined;
    // The answer came, but this process was stopped before it could read it.
    if (clock.monotonicMs() >= deadlineMs) {
      onLate(grant);
      throw new TandemError('TANDEM_STORE_FAILED', { detail: 'the grant was read when it had almost ended' });
    }
    return this.#hold(grant, deadlineMs);
  }

  /** Who holds it, as the store sees it. Errors: what the store answers; TANDEM_STORE_FAILED if it does not answer in time. */
  holder(): Promise<LeaseGrant | undefined> {
    const { leases, leaseName, provesDeath, timers, clock } = this.#options;
    const asked = leases.holder(leaseName);
    return provesDeath ? asked : answerInTime(clock, asked, storeTimeoutMs(timers), LATE_STORE);
  }

  /** `drop` and `giveBack`. Nothing is held here from the call on, whatever the store answers. Never rejects. */
  async release(reserveFor?: LeaseReservation): Promise<void> {
    const grant = this.drop();
    if (grant !== undefined) await this.giveBack(grant, reserveFor);
  }

  /** Tells the store that a grant that is not held any more has ended; waits for it within bounds. Never rejects. */
  async giveBack(grant: LeaseGrant, reserveFor?: LeaseReservation): Promise<void> {
    const { leases, provesDeath, timers, clock } = this.#options;
    try {
      const released = leases.release(grant, reserveFor);
      await (provesDeath ? released : answerInTime(clock, released, storeTimeoutMs(timers), LATE_STORE));
    } catch {
      // It ends by its time-out, or with the next grant to this holder.
    }
  }

  /** Holds nothing from now on and tells nobody, the store neither. Returns what was held. */
  drop(): LeaseGrant | undefined {
    const grant = this.#grant;
    this.#grant = undefined;
    this.#renewTimer?.cancel();
    this.#guardTimer?.cancel();
    return grant;
  }

  #hold(grant: LeaseGrant, deadlineMs: number): LeaseGrant {
    this.drop();
    this.#grant = grant;
    this.#newestTerm = grant.term;
    this.#grants++;
    this.#deadlineMs = deadlineMs;
    if (!this.#options.provesDeath) {
      this.#renewLater(grant);
      this.#guard(grant);
    }
    return grant;
  }

  #lose(grant: LeaseGrant, reason: string): void {
    if (this.#grant !== grant) return;
    this.drop();
    this.#options.onLost(reason);
  }

  /** Watches the deadline. The timer is set again when it fires, not at every renewal. */
  #guard(grant: LeaseGrant): void {
    const { clock } = this.#options;
    this.#guardTimer = clock.after(this.#deadlineMs - clock.monotonicMs(), () => {
      if (this.#grant !== grant) return;
      if (clock.monotonicMs() < this.#deadlineMs) this.#guard(grant);
      else this.#lose(grant, 'no renewal was confirmed in time');
    });
  }

  #renewLater(grant: LeaseGrant): void {
    const { clock, timers } = this.#options;
    this.#renewTimer = clock.after(timers.renewMs, () => {
      if (this.#grant !== grant) return;
      this.#renewLater(grant);
      void this.#renew(grant);
    });
  }

  async #renew(grant: LeaseGrant): Promise<void> {
    const { leases, clock, timers } = this.#options;
    const sentMs = clock.monotonicMs();
    if (sentMs >= this.#deadlineMs) return this.#lose(grant, 'no renewal was confirmed in time');
    let isRenewed: boolean;
    try {
      isRenewed = await leases.renew(grant, timers.ttlMs);
    } catch (error) {
      if (asTandemError(error).code === 'TANDEM_TERM_FENCED') this.#lose(grant, 'the store has granted a newer term');
      return;
    }
    const nowMs = clock.monotonicMs();
    // What was true once stays true: a grant that has ended does not begin again.
    if (!isRenewed) this.#lose(grant, 'the store says that it has ended');
    else if (this.#grant === grant && nowMs >= this.#deadlineMs) this.#lose(grant, 'no renewal was confirmed in time');
    else if (this.#grant === grant && nowMs - sentMs <= storeTimeoutMs(timers))
      this.#deadlineMs = Math.max(this.#deadlineMs, sentMs + timers.ttlMs - timers.marginMs);
  }

  /**
   * A grant that nobody waits for any more, asked for when `grants` had been held. It is given back, unless another was held since: that
   * one has ended by it, what ran under it may not have stopped yet, and other nodes must wait until the time-out.
   */
  #onLate(grant: LeaseGrant | undefined, grants: number): void {
    if (grant === undefined) return;
    this.#newestTerm = Math.max(this.#newestTerm, grant.term);
    const held = this.#grant;
    if (held !== undefined && grant.term > held.term) this.#lose(held, 'the store has granted a newer term');
    if (this.#grants === grants) this.#options.leases.release(grant).catch(() => {});
  }
}
