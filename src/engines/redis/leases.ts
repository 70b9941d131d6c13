/**
 * Leases in the catalog of a Redis store: `{<prefix>}:lease:<name>`, see library/leases.lua.ts for how they are judged.
 *
 * - A grant is answered when a replica has it too, if the master has replicas connected; if none confirms in time it is given back and
 *   TANDEM_NOT_REPLICATED is thrown. A master without any connected replica (a lone server; one that was just promoted; one whose
 *   replicas all died) grants by itself: availability before safety, since a master that was cut off keeps its replicas' connections for a
 *   time that is longer than a lease (repl-timeout), and min-replicas-to-write can forbid the rest.
 * - A grant lasts by the server's clock from when the request is executed. This object counts it too, from before it asked: after a failover that
 *   forgot the grant it is what entitles it to go on.
 * - Terms are below 2^53 and never issued twice, over failovers too (the counter is lifted at each adoption, library/shards.lua.ts).
 *
 * Not covered: a step of the server's wall clock; a master that is cut off from all its replicas for longer than repl-timeout, with some nodes on
 * its side, while the others go on with a promoted one. Two holders at once are then possible; the terms of the newer master are higher.
 */
import type { LeaseGrant, LeaseReservation, LeaseStore } from '../../core/contracts/engine.ts';
import { TandemError } from '../../core/errors.ts';
import { inTime } from '../../core/in-time.ts';
import type { Clock } from '../../core/ports/clock.ts';
import type { Random } from '../../core/ports/random.ts';
import type { SeenTerms } from './seen-terms.ts';
import { type Answer, type Shard, statusOf } from './shard.ts';

export interface RedisLeasesOptions {
  readonly catalog: Shard;
  readonly clock: Clock;
  readonly random: Random;
  readonly seenTerms: SeenTerms;
}

/** A grant of ours, as far as we can tell ourselves. */
interface OwnGrant extends LeaseGrant {
  ttlMs: number;
  /** Monotonic ms before which it has surely not ended by itself. */
  untilMs: number;
}

/** Clocks may run at rates that differ by so much. */
const CLOCK_RATE_ERROR = 0.01;
const OWNER_BYTES = 12;
/** A replica is waited for by this part of the lease's time, within bounds. */
const REPLICA_WAIT_PART = 1 / 16;
const REPLICA_WAIT_MS_MIN = 50;
const REPLICA_WAIT_MS_MAX = 500;
const CLOSE_MS_MAX = 1000;

export class RedisLeases implements LeaseStore {
  readonly #catalog: Shard;
  readonly #clock: Clock;
  readonly #seenTerms: SeenTerms;
  readonly #owner: string;
  readonly #own = new Map<string, OwnGrant>();
  #isClosed = false;

  constructor({ catalog, clock, random, seenTerms }: RedisLeasesOptions) {
    this.#catalog = catalog;
    this.#clock = clock;
    this.#seenTerms = seenTerms;
    this.#owner = random.id(OWNER_BYTES);
  }

  /** Errors besides the store's: TANDEM_NOT_REPLICATED, see above: nothing is held. */
  async acquire(name: string, holder: string, ttlMs: number): Promise<LeaseGrant | undefined> {
    this.#requireOpen();
    const sentMs = this.#clock.monotonicMs();
    const own = this.#own.get(name);
    const ownTerm = own !== undefined && own.holder === holder && this.#isSure(own) ? own.term : 0;
    const args = [holder, this.#owner, wholeMs(ttlMs), this.#seen(), String(ownTerm)];
    const answer = await this.#call('acquire_lease', name, args);
    const term = this.#sawTerm(answer[1]);
    if (statusOf(answer) === 'HELD') return undefined;
    const grant: OwnGrant = { name, holder, term, ttlMs, untilMs: this.#untilMs(sentMs, ttlMs) };
    // Answers come in the order of the calls: the later grant is the one that lasts.
    this.#own.set(name, grant);
    await this.#requireReplica(grant);
    return { name, holder, term };
  }

  async renew(grant: LeaseGrant, ttlMs: number): Promise<boolean> {
    this.#requireOpen();
    const sentMs = this.#clock.monotonicMs();
    const answer = await this.#call('renew_lease', grant.name, this.#args(grant, ttlMs));
    const own = this.#ownAs(grant);
    if (statusOf(answer) !== 'OK') {
      if (own !== undefined) this.#own.delete(grant.name);
      return false;
    }
    if (own !== undefined) {
      own.ttlMs = ttlMs;
      own.untilMs = Math.max(own.untilMs, this.#untilMs(sentMs, ttlMs));
    }
    return true;
  }

  async release(grant: LeaseGrant, reserveFor?: LeaseReservation): Promise<void> {
    this.#requireOpen();
    await this.#release(grant, reserveFor);
  }

  async issueTerm(grant: LeaseGrant): Promise<number> {
    this.#requireOpen();
    const answer = await this.#call('issue_lease_term', grant.name, this.#args(grant));
    if (statusOf(answer) === 'OK') return this.#sawTerm(answer[1]);
    throw new TandemError('TANDEM_TERM_FENCED', {
      detail: `the lease ${grant.name} is not held under term ${grant.term} any more`,
    });
  }

  async holder(name: string): Promise<LeaseGrant | undefined> {
    this.#requireOpen();
    const [, holder, term] = await this.#catalog.call('lease_holder', [this.#key(name)], []);
    if (holder === undefined) return undefined;
    return { name, holder: String(holder), term: this.#sawTerm(term) };
  }

  /** Gives up what was acquired here, within bounds. Never rejects. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const released = Promise.allSettled([...this.#own.values()].map((grant) => this.#release(grant)));
    await inTime(this.#clock, released, CLOSE_MS_MAX);
  }

  async #release(grant: LeaseGrant, reserveFor?: LeaseReservation): Promise<void> {
    const args = this.#args(grant);
    // From the call on this grant entitles to nothing, whatever becomes of it.
    if (this.#ownAs(grant) !== undefined) this.#own.delete(grant.name);
    const { holder = '', forMs = 0 } = reserveFor ?? {};
    await this.#call('release_lease', grant.name, [...args, holder, wholeMs(forMs)]);
  }

  async #requireReplica(grant: OwnGrant): Promise<void> {
    let replicas: number;
    let confirmed: number;
    try {
      replicas = await this.#catalog.replicas();
      if (replicas === 0) return;
      confirmed = await this.#catalog.waitForReplicas(1, replicaWaitMs(grant.ttlMs));
    } catch (error) {
      void this.#release(grant).catch(() => {});
      throw error;
    }
    if (confirmed > 0) return;
    // Without an answer it ends by its time-out.
    await this.#release(grant).catch(() => {});
    throw new TandemError('TANDEM_NOT_REPLICATED', {
      detail: `the grant of the lease ${grant.name}: no replica of ${replicas} confirmed it in time; it was given back`,
    });
  }

  #call(name: string, lease: string, args: readonly string[]): Promise<Answer> {
    return this.#catalog.call(name, [this.#key(lease), this.#catalog.key('term')], args);
  }

  #args(grant: LeaseGrant, ttlMs?: number): string[] {
    const own = this.#ownAs(grant);
    const isSure = own !== undefined && this.#isSure(own);
    const lastsMs = wholeMs(ttlMs ?? own?.ttlMs ?? 0);
    return [grant.holder, this.#owner, lastsMs, this.#seen(), String(grant.term), isSure ? '1' : '0'];
  }

  #ownAs({ name, term }: LeaseGrant): OwnGrant | undefined {
    const own = this.#own.get(name);
    return own?.term === term ? own : undefined;
  }

  #isSure(own: OwnGrant): boolean {
    return this.#clock.monotonicMs() < own.untilMs;
  }

  #untilMs(sentMs: number, ttlMs: number): number {
    return sentMs + ttlMs * (1 - CLOCK_RATE_ERROR);
  }

  #sawTerm(reply: Answer[number] | undefined): number {
    const term = Number(reply);
    this.#seenTerms.saw(term);
    return term;
  }

  #seen(): string {
    return String(this.#seenTerms.highest);
  }

  #key(name: string): string {
    return this.#catalog.key(`lease:${name}`);
  }

  #requireOpen(): void {
    if (this.#isClosed) throw new TandemError('TANDEM_DRAINING', { detail: 'the engine is closed' });
  }
}

const replicaWaitMs = (ttlMs: number): number =>
  Math.round(Math.min(REPLICA_WAIT_MS_MAX, Math.max(REPLICA_WAIT_MS_MIN, ttlMs * REPLICA_WAIT_PART)));

const wholeMs = (durationMs: number): string => String(Math.max(0, Math.round(durationMs)));
