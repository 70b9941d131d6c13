/**
 * Decides whether this node is active. One elector per node and lease.
 *
 *   standby ──▶ acquiring ──▶ promoting ──▶ active ──▶ handing-over ──▶ standby        (switchover, planned end)
 *      ▲            │             │           │              │
 *      └────────────┴─────────────┴────── cutting ◀──────────┘                          (the lease is lost)
 *
 * Invariants
 * - Active, or on the way there, only under a lease that is held (lease-holding.ts); the term of each grant is above all earlier ones.
 * - One transition at a time: nothing is acquired while a promote, demote or cut of this node is under way. Only `cut` may interrupt.
 * - Nothing is given back to the store while something here could still write under it.
 * - The kernel's proof of death is enough to take over, a broken link or silence never is: with a store that proves death a silent holder is
 *   ended by force first (hang-watch.ts); with one that does not, only the store's own rules free the lease.
 * - No fail-back: an active that is well stays, whoever returns.
 *
 * Non-goals: sockets, processes, records. Whatever writes under a term is fenced at the sinks besides (Engine.claim); this code makes
 * two actives rare and short, the sinks make them harmless.
 */
import type { NodeFacts, PeerEvent, PeerView, SwitchoverReport } from '../core/contracts/cluster.ts';
import type { LeaseGrant } from '../core/contracts/engine.ts';
import { asTandemError, TandemError } from '../core/errors.ts';
import { delay } from '../core/ports/clock.ts';
import { BackOff } from './back-off.ts';
import { Candidacy } from './candidacy.ts';
import { cutUntilDone } from './cut.ts';
import type { ElectorOptions } from './elector-options.ts';
import { type ElectorStatus, statusOf } from './elector-status.ts';
import { LeaseHolding } from './lease-holding.ts';
import { assertClusterTimers } from './lease-timers.ts';
import { PeerBook } from './peer-book.ts';
import { Standing } from './standing.ts';
import { type ActivePlace, Switchover } from './switchover.ts';
import { SUCCESSION_WHY, type Succession, Tenure } from './tenure.ts';

interface Loss {
  readonly reason: string;
  readonly startMs: number;
  /** What it was active under; 0: it was only on the way. */
  readonly term: number;
  readonly grant: LeaseGrant | undefined;
  readonly cut: Promise<void>;
}

/** Waits after a start that failed: others may try meanwhile. */
const RETRY_FIRST_MS = 100;
const RETRY_MS_MAX = 5000;

export class Elector {
  readonly #options: ElectorOptions;
  readonly #standing: Standing;
  readonly #holding: LeaseHolding;
  readonly #book = new PeerBook();
  readonly #tenure: Tenure;
  readonly #candidacy: Candidacy;
  readonly #promoteBackOff: BackOff;
  readonly #switchover: Switchover;

  #activeSinceMs = 0;
  /** Why the last try at the lease or at serving failed. */
  #problem: string | undefined;
  #startFailure: TandemError | undefined;
  #loss: Loss | undefined;
  /** The try that is under way, from the question for the lease until the node serves or stands by again. */
  #attempt: Promise<void> | undefined;
  #ending: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  /** Errors: TANDEM_CONFIG_INVALID if the timers are not safe for this store. */
  constructor(options: ElectorOptions) {
    const { leases, provesDeath, leaseName, peers, clock, random, logger, self, timers } = options;
    assertClusterTimers(timers, provesDeath);
    this.#options = options;
    this.#tenure = new Tenure(timers);
    this.#promoteBackOff = new BackOff(random, RETRY_FIRST_MS, RETRY_MS_MAX);
    const onLost = (reason: string): void => this.#lose(reason);
    this.#holding = new LeaseHolding({ leases, provesDeath, leaseName, holder: self.holder, timers, clock, onLost });
    this.#candidacy = new Candidacy(options, {
      book: this.#book,
      tenure: this.#tenure,
      holding: this.#holding,
      isCandidate: () => this.#standing.phase === 'standby' || this.#standing.phase === 'acquiring',
      isReady: () => this.#standing.isReady,
      attempt: () => this.#attemptOnce(),
      refresh: () => this.#refresh(),
    });
    const problem = (): string | undefined => this.#candidacy.problem ?? this.#problem;
    const takeovers = () => this.#tenure.takeovers(clock.nowMs());
    this.#standing = new Standing({ self, peers, clock, logger, problem, takeovers });
    this.#switchover = new Switchover(options, this.#activePlace());
  }

  // ---------------------------------------------------------------- what the node asks and says

  /**
   * Begins as a candidate and resolves at once. With `isAlone`: resolves when the node serves; rejects with TANDEM_DATA_LOCKED (data: the
   * holder) if another has the lease (a lease that ends by time-out is waited for that long), or with what `promote` rejected with.
   */
  async start(): Promise<void> {
    const { peers, isAlone } = this.#options;
    peers.onEvent((event) => this.#onPeerEvent(event));
    peers.onRequest((request) => this.#switchover.answer(request));
    this.#standing.publish(true);
    if (isAlone === true) return this.#startAlone();
    this.#candidacy.resume();
  }

  facts(): NodeFacts {
    return this.#standing.facts;
  }

  /** Called when the facts have changed, after the peers were told. */
  onChange(listener: (facts: NodeFacts) => void): void {
    this.#standing.onChange(listener);
  }

  /**
   * Standby: could take over now. Active: should get traffic. Each promote, demote and cut makes the node unready until this is called again
   * (while it lasts or later), but for a promote that resolves: that makes it ready.
   */
  setReadiness(isReady: boolean, reason: string): void {
    this.#standing.setReadiness(isReady, reason);
  }

  /** The lease, while it is held: from before `promote` is called. Terms of slots are issued under it. */
  get grant(): LeaseGrant | undefined {
    return this.#holding.grant;
  }

  /** Monotonic ms at which whatever runs under the lease must have stopped; infinite if the store proves death; in the past without a lease. */
  get holdsUntilMs(): number {
    return this.#holding.deadlineMs;
  }

  /** Something under the lease was refused for its term (TANDEM_TERM_FENCED): this node is not active any more, and did not know. */
  fenced(reason: string): void {
    this.#lose(reason);
  }

  /**
   * Planned switchover to the named standby, or to the one that has been ready longest. May be asked of any node: a standby asks the active.
   * Errors: TANDEM_SWITCHOVER_REFUSED (nothing was tried; data.retryInMs if it only comes too early), TANDEM_SWITCHOVER_ABORTED (given up;
   * the message says who serves), TANDEM_PEER_LOST.
   */
  switchover(to: string | null, timeoutMs: number): Promise<SwitchoverReport> {
    return this.#standing.role === 'active'
      ? this.#switchover.here(to, timeoutMs)
      : this.#switchover.elsewhere(to, timeoutMs);
  }

  status(): ElectorStatus {
    return statusOf(this.#options, this.#standing, this.#book, this.#tenure);
  }

  /**
   * Planned end: no candidate from the call on. What is under way is finished or cut. If the node is active, `drain` is called (NodeDuties.demote;
   * without it the caller has done that) and the lease is released when it resolves; if it rejects, what is left is cut first. Never rejects.
   * Idempotent.
   */
  stop(drain?: () => Promise<unknown>): Promise<void> {
    this.#stopping ??= Promise.resolve().then(() => this.#stop(drain));
    return this.#stopping;
  }

  async #stop(drain: (() => Promise<unknown>) | undefined): Promise<void> {
    const { clock } = this.#options;
    this.#candidacy.pause();
    if (this.#standing.phase === 'promoting') this.#lose('the node stops');
    await Promise.allSettled([this.#attempt, this.#ending, this.#switchover.underWay]);
    const startMs = clock.monotonicMs();
    if (this.#standing.role === 'active' && drain !== undefined)
      await drain().catch((error) => this.#loss?.cut ?? this.#cut(`drain failed: ${asTandemError(error).message}`));
    await this.#ending;
    this.#standDown('the node stops', clock.monotonicMs() - startMs);
    this.#standing.enter('stopped');
    await this.#holding.release();
  }

  // ---------------------------------------------------------------- what it hears

  #onPeerEvent({ kind, peer }: PeerEvent): void {
    if (this.#standing.phase === 'stopped') return;
    if (kind === 'changed') this.#observe(peer);
    else {
      this.#book.lost(peer.facts.name, peer.facts.holder);
      this.#candidacy.peerLost(peer.facts.name);
    }
  }

  #refresh(): void {
    for (const peer of this.#options.peers.peers) this.#observe(peer);
  }

  #observe(peer: PeerView): void {
    const { facts } = peer;
    if (!this.#book.heard(peer) || this.#options.isAlone === true) return;
    if (facts.takeovers.length > 0) this.#tenure.learn(facts.takeovers, this.#options.clock.nowMs());
    if (facts.role === 'active') this.#onPeerActive(facts);
    else if (this.#tenure.sawStandby(facts.holder)) {
      const { lastTerm: term } = this.#tenure;
      this.#standing.record({ who: facts.name, to: 'standby', term, why: `it says: ${facts.reason}`, tookMs: null });
      this.#candidacy.hurry();
    }
  }

  #onPeerActive(facts: NodeFacts): void {
    const { holder, name, term, reason } = facts;
    if (this.#tenure.sawActive(holder, term))
      this.#standing.record({ who: name, to: 'active', term, why: `it says: ${reason}`, tookMs: null });
    this.#candidacy.peerActive();
    const held = this.#holding.grant;
    if (held !== undefined && term > held.term) this.#lose(`${name} is active under the newer term ${term}`);
    this.#switchover.sawActive(facts);
  }

  #activePlace(): ActivePlace {
    return {
      standing: this.#standing,
      holding: this.#holding,
      candidacy: this.#candidacy,
      book: this.#book,
      refresh: () => this.#refresh(),
      activeSinceMs: () => this.#activeSinceMs,
      hindrance: () => (this.#stopping === undefined ? this.#loss?.reason : 'the node stops'),
      hasLost: () => this.#loss !== undefined,
      lose: (reason) => this.#lose(reason),
      cut: (reason) => this.#cut(reason),
      standDown: (why, tookMs) => this.#standDown(why, tookMs),
      settle: async (role) => {
        if (this.#loss !== undefined) await this.#endLoss(this.#loss);
        else if (role === 'active') this.#standing.enter('active');
        else this.#standBy();
      },
      attempt: () => this.#attempt,
    };
  }

  // ---------------------------------------------------------------- becoming active

  #attemptOnce(): void {
    this.#attempt ??= this.#tryOnce().finally(() => {
      this.#attempt = undefined;
    });
  }

  async #tryOnce(): Promise<void> {
    let grant: LeaseGrant | undefined;
    try {
      if (await this.#candidacy.isHeldBack()) return;
      if (this.#stopping !== undefined) return;
      this.#standing.enter('acquiring');
      grant = await this.#holding.acquire();
      this.#problem = undefined;
    } catch (error) {
      this.#problem = `the lease store: ${asTandemError(error).message}`;
    }
    if (grant === undefined) this.#standing.enter('standby');
    else if (this.#stopping !== undefined) await this.#holding.release();
    else await this.#takeOver(grant);
  }

  async #takeOver(grant: LeaseGrant): Promise<void> {
    const { clock, duties } = this.#options;
    const startMs = clock.monotonicMs();
    const { succession } = this.#candidacy;
    this.#candidacy.pause();
    this.#standing.unready();
    this.#standing.enter('promoting');
    let failure: TandemError | undefined;
    try {
      await duties.promote(grant.term);
    } catch (error) {
      failure = asTandemError(error);
    }
    if (this.#holding.grant !== grant) this.#lose('it ended while the node started');
    if (this.#loss !== undefined) await this.#endLoss(this.#loss);
    else if (failure === undefined) this.#becomeActive(grant, startMs, succession);
    else await this.#startFailed(grant, failure);
  }

  #becomeActive({ term }: LeaseGrant, startMs: number, succession: Succession): void {
    const { clock, self } = this.#options;
    const nowMs = clock.monotonicMs();
    this.#promoteBackOff.succeeded();
    this.#problem = undefined;
    if (succession === 'unplanned')
      this.#tenure.learn([{ term: this.#tenure.lastTerm, atMs: clock.nowMs() }], clock.nowMs());
    this.#tenure.sawActive(self.holder, term);
    this.#activeSinceMs = nowMs;
    this.#standing.changeRole('active', term);
    this.#standing.record({
      who: self.name,
      to: 'active',
      term,
      why: SUCCESSION_WHY[succession],
      tookMs: nowMs - startMs,
    });
    this.#standing.setReadiness(true, 'serving');
    this.#standing.enter('active');
    this.#switchover.sawActive(this.#standing.facts);
  }

  async #startFailed({ term }: LeaseGrant, failure: TandemError): Promise<void> {
    const { code, message } = failure;
    this.#startFailure = failure;
    const waitMs = this.#promoteBackOff.failed();
    this.#options.logger.error('promote_failed', { term, code, message, retryInMs: Math.round(waitMs) });
    await this.#holding.release();
    this.#problem = `could not start under term ${term}: ${message}`;
    this.#candidacy.holdOff(waitMs);
    // Lost while it was given up: that cut is to be over before the next start.
    if (this.#loss !== undefined) await this.#endLoss(this.#loss);
    else this.#standBy();
  }

  async #startAlone(): Promise<void> {
    const { provesDeath, clock, timers } = this.#options;
    const deadlineMs = clock.monotonicMs() + (provesDeath ? 0 : timers.ttlMs + timers.pollMs);
    let grant = await this.#holding.acquire();
    while (grant === undefined && clock.monotonicMs() < deadlineMs && this.#stopping === undefined) {
      await delay(clock, timers.pollMs);
      grant = await this.#holding.acquire();
    }
    if (grant !== undefined && this.#stopping === undefined) {
      this.#attempt = this.#takeOver(grant);
      await this.#attempt;
      this.#attempt = undefined;
      if (this.#standing.role === 'active') return;
    }
    const failure = this.#startFailure ?? (await this.#lockedOut());
    await this.stop();
    await this.#holding.release();
    throw failure;
  }

  async #lockedOut(): Promise<TandemError> {
    if (this.#stopping !== undefined) return new TandemError('TANDEM_DRAINING');
    const held = await this.#holding.holder();
    return new TandemError('TANDEM_DATA_LOCKED', {
      detail: held === undefined ? 'its holder has just ended' : `${held.holder} holds it under term ${held.term}`,
      data: { holder: held?.holder ?? null, term: held?.term ?? null },
    });
  }

  // ---------------------------------------------------------------- being active no more

  /** The lease is not ours any more, or must not be. What runs under it is cut at once, whatever is under way. */
  #lose(reason: string): void {
    const { clock, self } = this.#options;
    const { phase, role, term } = this.#standing;
    if (this.#loss !== undefined || (phase !== 'promoting' && phase !== 'active' && phase !== 'handing-over')) return;
    const grant = this.#holding.drop();
    this.#loss = { reason, startMs: clock.monotonicMs(), term, grant, cut: this.#cut(reason) };
    if (role === 'active') {
      // Its end counts among the takeovers, whoever is active next.
      this.#tenure.learn([{ term, atMs: clock.nowMs() }], clock.nowMs());
      this.#tenure.sawStandby(self.holder);
      this.#standing.changeRole('standby', 0);
    }
    if (phase === 'active') this.#ending = this.#endLoss(this.#loss);
    else this.#standing.publish();
  }

  /** After all else that was under way has settled. */
  async #endLoss({ reason, startMs, term, grant, cut }: Loss): Promise<void> {
    const { clock, self } = this.#options;
    this.#standing.enter('cutting');
    await cut;
    const why = `lease lost: ${reason}`;
    const tookMs = clock.monotonicMs() - startMs;
    if (term > 0) this.#standing.record({ who: self.name, to: 'standby', term, why, tookMs });
    this.#problem = why;
    // Nothing here can write any more: whoever waits need not wait for the time-out.
    if (grant !== undefined) await this.#holding.giveBack(grant);
    this.#loss = undefined;
    this.#standBy();
  }

  #cut(reason: string): Promise<void> {
    this.#standing.unready();
    return cutUntilDone(this.#options, reason);
  }

  /** Nothing here can write any more, and the lease is still held: tells it before the lease comes free, so that a planned end is known as one. */
  #standDown(why: string, tookMs: number): void {
    const { self } = this.#options;
    const { term, role } = this.#standing;
    if (role !== 'active') return;
    this.#tenure.sawStandby(self.holder);
    this.#standing.changeRole('standby', 0);
    this.#standing.record({ who: self.name, to: 'standby', term, why, tookMs });
    this.#standing.publish();
  }

  /** Back among the candidates. */
  #standBy(): void {
    this.#standing.enter('standby');
    if (this.#stopping === undefined) this.#candidacy.resume();
  }
}
