/**
 * Finds the holder of the lease that lives and does nothing (SIGSTOP, a blocked event loop), and has it ended by force. Only for stores that
 * prove death: there nothing times out, so a hung holder would keep the lease for ever.
 *
 * Suspicion: the node that the STORE names as the holder has been silent for `heartbeatTimeoutMs` of our own turning. Before the deed the
 * input that lies ready is read and the silence measured again. A peer that merely stands by is never ended, however silent; two
 * standbys may end the same one. It may be we who hear nothing: a holder that never spoke to us is given longer, and who has ended one and
 * has heard no active since waits longer and longer before it ends the next.
 */
import type { LeaseGrant } from '../core/contracts/engine.ts';
import { asTandemError } from '../core/errors.ts';
import { BackOff } from './back-off.ts';
import type { ElectorOptions } from './elector-options.ts';
import type { PeerBook } from './peer-book.ts';

const STRANGER_FACTOR = 3;
const RETRY_FIRST_MS = 500;
const RETRY_MS_MAX = 30_000;
const NEXT_FIRST_MS = 2000;
const NEXT_MS_MAX = 120_000;

export interface Rival {
  /** Reads again what the network last heard. */
  readonly refresh: () => void;
  /** Whether this node still wants the lease. */
  readonly isCandidate: () => boolean;
  /** The lease is free, or about to be. */
  readonly onFree: () => void;
}

export class HangWatch {
  readonly #options: ElectorOptions;
  readonly #book: PeerBook;
  readonly #rival: Rival;
  readonly #failures: BackOff;
  /** Those ended since an active was heard. */
  readonly #deeds: BackOff;
  #retryAtMs = Number.NEGATIVE_INFINITY;
  #isBusy = false;
  #problem: string | undefined;

  constructor(options: ElectorOptions, book: PeerBook, rival: Rival) {
    this.#options = options;
    this.#book = book;
    this.#rival = rival;
    this.#failures = new BackOff(options.random, RETRY_FIRST_MS, RETRY_MS_MAX);
    this.#deeds = new BackOff(options.random, NEXT_FIRST_MS, NEXT_MS_MAX);
  }

  /** For people: why a hung holder could not be ended. undefined: nothing of the kind. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** How long until the active peer, if it stays silent, is suspected; infinite if it is, or if there is none. */
  msToSuspicion(nowMs: number): number {
    const active = this.#book.active();
    if (active === undefined) return Number.POSITIVE_INFINITY;
    const restMs = this.#options.timers.heartbeatTimeoutMs - this.#book.silentMs(active, nowMs);
    return restMs < 0 ? Number.POSITIVE_INFINITY : restMs + 1;
  }

  /** Call often. Does nothing while it is at work, or after a failure for a while. */
  check(nowMs: number): void {
    const { heartbeatTimeoutMs } = this.#options.timers;
    const active = this.#book.active();
    if (active !== undefined && this.#book.silentMs(active, nowMs) <= heartbeatTimeoutMs) {
      this.#problem = undefined;
      this.#failures.succeeded();
      this.#deeds.succeeded();
      this.#retryAtMs = Number.NEGATIVE_INFINITY;
      return;
    }
    if (this.#isBusy || nowMs < this.#retryAtMs) return;
    this.#isBusy = true;
    void this.#judge().finally(() => {
      this.#isBusy = false;
    });
  }

  async #judge(): Promise<void> {
    const { leases, leaseName, self, clock } = this.#options;
    let held: LeaseGrant | undefined;
    try {
      held = await leases.holder(leaseName);
    } catch {
      return;
    }
    if (held === undefined || held.holder === self.holder || !this.#isHung(held)) return;
    await new Promise<void>((resolve) => clock.soon(resolve));
    this.#rival.refresh();
    if (this.#rival.isCandidate() && this.#isHung(held)) await this.#fence(held);
  }

  #isHung({ holder }: LeaseGrant): boolean {
    const { clock, timers } = this.#options;
    const { silentMs, isStranger } = this.#book.holderSilence(holder, clock.monotonicMs());
    return silentMs > timers.heartbeatTimeoutMs * (isStranger ? STRANGER_FACTOR : 1);
  }

  async #fence({ holder, term }: LeaseGrant): Promise<void> {
    const { peers, clock, logger } = this.#options;
    const name = holder.slice(0, holder.lastIndexOf('/'));
    const startMs = clock.monotonicMs();
    logger.warn('peer_hung', { peer: name, holder, term });
    try {
      await peers.fence({ name, holder });
      logger.warn('peer_fenced', { peer: name, holder, term, tookMs: clock.monotonicMs() - startMs });
      this.#problem = undefined;
      this.#failures.succeeded();
      this.#retryAtMs = clock.monotonicMs() + this.#deeds.failed();
      this.#rival.onFree();
    } catch (error) {
      const { code, message } = asTandemError(error);
      const waitMs = this.#failures.failed();
      this.#retryAtMs = clock.monotonicMs() + waitMs;
      this.#problem = `${name} holds the lease, is silent and could not be ended: ${message}`;
      logger.error('peer_fence_failed', { peer: name, holder, term, code, message, retryInMs: Math.round(waitMs) });
    }
  }
}
