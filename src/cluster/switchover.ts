/**
 * The active's part of a planned switchover, up to the release of the lease; the elector does what comes before and after.
 *
 * 1. prepare: the target says that it is ready and from then on tries for the lease every few milliseconds.
 * 2. quiesce: consumers finish what they have in hand; ingest goes on. Up to here a failure is taken back and this node serves on.
 * 3. demote: the pause begins. What is in hand is answered; when it resolves nothing here can write, and the report tells what there was.
 *    If it fails or takes too long, the rest is cut. The lease is still held then, and this node takes over from itself.
 * 4. release: the lease is free, for a short time for the target alone. If the target dies now, whoever comes takes it.
 *
 * Each step has its share of the time, so that a slow one leaves enough for the target to begin. The lease may be lost at any of them.
 */
import type { DemoteReport, NodeFacts, PeerRequest, SwitchoverReport } from '../core/contracts/cluster.ts';
import { asTandemError, ERRORS, TandemError } from '../core/errors.ts';
import { delay, type Timer } from '../core/ports/clock.ts';
import { answerInTime } from './answer-in-time.ts';
import type { Candidacy } from './candidacy.ts';
import type { ElectorOptions } from './elector-options.ts';
import type { LeaseHolding } from './lease-holding.ts';
import type { KnownPeer, PeerBook } from './peer-book.ts';
import type { Standing } from './standing.ts';

/** Until which part of the time each step may last; the rest is the target's, to take over and serve. */
const PREPARE_UNTIL = 0.25;
const QUIESCE_UNTIL = 0.5;
const DEMOTE_UNTIL = 0.75;
/** Duties keep their own deadlines; this much later they are not waited for any more. */
const GRACE_MS = 200;
/** How long the released lease is kept for the target. Long for a process that tries every 10 ms, short if it has just died. */
const RESERVATION_MS_MAX = 1000;
/** The active that is asked by a standby answers within its own time; this is for the way. */
const FORWARD_SLACK_MS = 1000;

/** What a switchover needs of the elector: its parts, and the changes of role that only the elector makes. */
export interface ActivePlace {
  readonly standing: Standing;
  readonly holding: LeaseHolding;
  readonly candidacy: Candidacy;
  readonly book: PeerBook;
  readonly refresh: () => void;
  /** Monotonic ms since when the node is active. */
  readonly activeSinceMs: () => number;
  /** Why it must not go on: the lease is lost, or the node is told to stop. undefined: it may. */
  readonly hindrance: () => string | undefined;
  readonly hasLost: () => boolean;
  readonly lose: (reason: string) => void;
  readonly cut: (reason: string) => Promise<void>;
  /** Nothing here can write any more; the lease is still held. */
  readonly standDown: (why: string, tookMs: number) => void;
  /** The hand-over is over, for good or ill: active on (`active`), among the candidates (`standby`); if the lease was lost, when all is cut. */
  readonly settle: (role: 'active' | 'standby') => Promise<void>;
  /** A try for the lease that is under way. */
  readonly attempt: () => Promise<void> | undefined;
}

interface HandedOver {
  readonly pauseFromMs: number;
  /** undefined: the node could not stop in time and was cut. */
  readonly report: DemoteReport | undefined;
}

interface Awaited {
  readonly fromTerm: number;
  readonly resolve: (successor: NodeFacts | undefined) => void;
}

export class Switchover {
  readonly #options: ElectorOptions;
  readonly #place: ActivePlace;
  #underWay: Promise<unknown> | undefined;
  #awaited: Awaited | undefined;

  constructor(options: ElectorOptions, place: ActivePlace) {
    this.#options = options;
    this.#place = place;
  }

  /** Settles when this node has handed over or given that up; undefined: there is nothing of the kind. */
  get underWay(): Promise<unknown> | undefined {
    return this.#underWay;
  }

  /** Asks the active one. Errors: as `Elector.switchover`. */
  async elsewhere(to: string | null, timeoutMs: number): Promise<SwitchoverReport> {
    const { book, refresh } = this.#place;
    refresh();
    const active = book.active();
    if (active === undefined || active.isLost) throw refused('no node is active now');
    const request = { kind: 'switchover', to, timeoutMs } as const;
    const answer = await this.#options.peers.request(active.facts.name, request, timeoutMs * 2 + FORWARD_SLACK_MS);
    return answer as SwitchoverReport;
  }

  async answer(request: PeerRequest): Promise<unknown> {
    if (request.kind === 'switchover') return this.here(request.to, request.timeoutMs);
    return this.#prepare(request.from, request.timeoutMs);
  }

  /** As the target: resolves when this node is ready, and from then on wants the lease at once. Errors: TANDEM_SWITCHOVER_REFUSED. */
  async #prepare(from: string, timeoutMs: number): Promise<void> {
    const { clock, timers, self } = this.#options;
    const { standing, candidacy } = this.#place;
    const untilMs = clock.monotonicMs() + timeoutMs;
    while (!standing.facts.isReady && clock.monotonicMs() < untilMs)
      await delay(clock, Math.min(timers.pollMs, timeoutMs));
    const { role, isReady, reason } = standing.facts;
    if (role !== 'standby' || !isReady) throw refused(`${self.name} is not a ready standby: ${role}, ${reason}`);
    candidacy.prepare(from, untilMs);
  }

  /** As the active. Errors: as `Elector.switchover`. */
  async here(to: string | null, timeoutMs: number): Promise<SwitchoverReport> {
    const { clock, self } = this.#options;
    const { standing } = this.#place;
    const startMs = clock.monotonicMs();
    const fromTerm = standing.term;
    const { facts: target } = this.#choose(to);
    standing.enter('handing-over');
    const handOver = this.#handOver(target, startMs, timeoutMs).finally(() => {
      this.#underWay = undefined;
    });
    this.#underWay = handOver;
    const { pauseFromMs, report } = await handOver;
    // Whatever the steps before took, the target gets its share.
    const leftMs = Math.max(startMs + timeoutMs - clock.monotonicMs(), timeoutMs * (1 - DEMOTE_UNTIL));
    const successor = await this.#successor(fromTerm, leftMs);
    const nowMs = clock.monotonicMs();
    const cause =
      report === undefined ? `${self.name} could not stop in time` : `${target.name} did not take over in time`;
    if (successor === undefined || successor.name === self.name) throw await this.#notTaken(cause);
    if (report === undefined || (to !== null && successor.name !== to))
      throw aborted(`${cause}; ${successor.name} serves under term ${successor.term}`);
    return {
      from: self.name,
      to: successor.name,
      fromTerm,
      toTerm: successor.term,
      pauseMs: nowMs - pauseFromMs,
      totalMs: nowMs - startMs,
      recordsInFlight: report.recordsInFlight,
      // Known, not hoped for: `demote` resolved, so that all that was received here was stored and answered before the lease was released.
      recordsLost: 0,
      clientsMoved: report.clients,
    };
  }

  /** A node, this one or a peer, serves under a term. */
  sawActive(facts: NodeFacts): void {
    if (this.#awaited !== undefined && facts.isReady && facts.term > this.#awaited.fromTerm)
      this.#awaited.resolve(facts);
  }

  #choose(to: string | null): KnownPeer {
    const { clock, timers, self } = this.#options;
    const { book, standing, refresh, activeSinceMs, hindrance } = this.#place;
    const hindered = hindrance();
    if (hindered !== undefined) throw refused(hindered);
    if (standing.phase !== 'active') throw refused(`${self.name} is not active, or already hands over`);
    if (to === self.name) throw refused(`${self.name} is active already`);
    const nowMs = clock.monotonicMs();
    const retryInMs = Math.ceil(activeSinceMs() + timers.minTenureMs - nowMs);
    if (retryInMs > 0) throw refused(`${self.name} is active for less than ${timers.minTenureMs} ms`, { retryInMs });
    refresh();
    const ready = book.readyStandbys().filter((peer) => book.silentMs(peer, nowMs) <= timers.heartbeatTimeoutMs);
    const target = ready.find(({ facts }) => to === null || facts.name === to);
    if (target !== undefined) return target;
    const named = book.all.find(({ facts }) => facts.name === to);
    const { isReady, reason } = named?.facts ?? { isReady: false, reason: 'no such node' };
    throw refused(to === null ? 'no standby is ready' : `${to} cannot take over: ${isReady ? 'it is silent' : reason}`);
  }

  /** The four steps. Rejects with TANDEM_SWITCHOVER_ABORTED when this node serves on, or has lost its lease and is cut. */
  async #handOver(target: NodeFacts, startMs: number, timeoutMs: number): Promise<HandedOver> {
    const { clock, self } = this.#options;
    const { standing, holding, hindrance, lose, standDown, settle } = this.#place;
    try {
      await this.#prepareTarget(target, startMs, timeoutMs);
    } catch (error) {
      const lost = this.#place.hasLost() ? hindrance() : undefined;
      await settle('active');
      throw lost === undefined
        ? aborted(error, `; ${self.name} serves as before`)
        : aborted(`the lease is lost (${lost}); all standbys try`);
    }
    const pauseFromMs = clock.monotonicMs();
    standing.unready();
    const report = await this.#stopServing(startMs, timeoutMs);
    if (holding.grant === undefined) lose('it ended while the node handed over');
    const why = hindrance();
    standDown(`switchover to ${target.name}`, clock.monotonicMs() - pauseFromMs);
    const forMs = Math.min(RESERVATION_MS_MAX, timeoutMs);
    // Not released if it could not stop by itself: this node is the one that can be back first, under a new term.
    if (report === undefined) holding.drop();
    else await holding.release({ holder: target.holder, forMs });
    await settle('standby');
    if (why !== undefined) throw aborted(why);
    return { pauseFromMs, report };
  }

  /** Steps 1 and 2. When it rejects, consumers go on, or the lease is lost. */
  async #prepareTarget(target: NodeFacts, startMs: number, timeoutMs: number): Promise<void> {
    const { clock, duties, peers, self } = this.#options;
    const request = { kind: 'prepare', from: self.name, timeoutMs } as const;
    await peers.request(target.name, request, timeoutMs * PREPARE_UNTIL);
    this.#mustGoOn();
    try {
      const quiesceMs = Math.max(0, startMs + timeoutMs * QUIESCE_UNTIL - clock.monotonicMs());
      const late = { code: 'TANDEM_SWITCHOVER_ABORTED', what: 'quiesce' } as const;
      await answerInTime(clock, duties.quiesce(quiesceMs), quiesceMs + GRACE_MS, late);
      this.#mustGoOn();
    } catch (error) {
      await duties.unquiesce().catch((failure) => {
        this.#place.lose(`consumers could not go on: ${asTandemError(failure).message}`);
      });
      throw error;
    }
  }

  #mustGoOn(): void {
    if (this.#place.holding.grant === undefined) this.#place.lose('it ended while the node handed over');
    const why = this.#place.hindrance();
    if (why !== undefined) throw aborted(why);
  }

  /** Step 3. When it resolves nothing here can write. undefined: it failed, and the rest was cut. */
  async #stopServing(startMs: number, timeoutMs: number): Promise<DemoteReport | undefined> {
    const { clock, duties } = this.#options;
    const demoteMs = Math.max(0, startMs + timeoutMs * DEMOTE_UNTIL - clock.monotonicMs());
    try {
      const late = { code: 'TANDEM_SWITCHOVER_ABORTED', what: 'demote' } as const;
      return await answerInTime(clock, duties.demote(demoteMs), demoteMs + GRACE_MS, late);
    } catch (error) {
      // A lost lease has cut already.
      if (this.#place.hasLost()) return undefined;
      await this.#place.cut(`could not stop in time: ${asTandemError(error).message}`);
      return undefined;
    }
  }

  /** Who serves next under a higher term; undefined: nobody in time. */
  #successor(fromTerm: number, boundMs: number): Promise<NodeFacts | undefined> {
    const { clock } = this.#options;
    const { book, standing } = this.#place;
    return new Promise((resolve) => {
      let timer: Timer | undefined;
      const settle = (successor: NodeFacts | undefined): void => {
        timer?.cancel();
        this.#awaited = undefined;
        resolve(successor);
      };
      timer = clock.after(boundMs, () => settle(undefined));
      this.#awaited = { fromTerm, resolve: settle };
      // It may have been quicker than the answer of the store to our release.
      const already = book.active();
      if (already !== undefined) this.sawActive(already.facts);
      if (standing.role === 'active') this.sawActive(standing.facts);
    });
  }

  /** No other serves. Waits for a start of our own that is under way, and says who has the lease. */
  async #notTaken(cause: string): Promise<TandemError> {
    const { self } = this.#options;
    const { standing, holding, attempt } = this.#place;
    await attempt();
    if (standing.role === 'active') return aborted(`${cause}; ${self.name} serves again under term ${standing.term}`);
    const held = await holding.holder().catch(() => undefined);
    return aborted(
      held === undefined
        ? `${cause}; nobody serves yet, all standbys try`
        : `${cause}; ${held.holder} has the lease under term ${held.term} and does not serve yet`,
    );
  }
}

const refused = (detail: string, data?: { readonly [name: string]: unknown }): TandemError =>
  new TandemError('TANDEM_SWITCHOVER_REFUSED', data === undefined ? { detail } : { detail, data });

function aborted(cause: unknown, consequence: string = ''): TandemError {
  const message = typeof cause === 'string' ? cause : asTandemError(cause).message;
  const detail = message.replace(`${ERRORS.TANDEM_SWITCHOVER_ABORTED.message}: `, '') + consequence;
  return new TandemError('TANDEM_SWITCHOVER_ABORTED', { detail, cause });
}
