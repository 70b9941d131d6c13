/**
 * Runs a function on one node at a time, under a lease of its own, for as long as the node holds it: what only one may do while all serve.
 *
 * The function gets the grant, whose term its writes carry, and a signal that aborts when the lease is lost or the duty is stopped. It should
 * then end at once: with a store that does not prove death another node may begin `marginMs` later, and only the terms at the sinks keep
 * the two apart. If it ends or fails by itself, the lease is given up and the duty tries again after a growing wait.
 *
 * Non-goal: a node that hangs. Nobody ends it for the sake of a duty; with a store that proves death it keeps the duty until it dies or goes
 * on. What must not wait for that belongs to the active node, whose hangs are found.
 */
import type { LeaseGrant, LeaseStore } from '../core/contracts/engine.ts';
import type { Logger } from '../core/contracts/telemetry.ts';
import { asTandemError } from '../core/errors.ts';
import type { Clock, Timer } from '../core/ports/clock.ts';
import type { Random } from '../core/ports/random.ts';
import { BackOff } from './back-off.ts';
import { LeaseHolding } from './lease-holding.ts';
import type { LeaseTimers } from './lease-timers.ts';

export interface DutyOptions {
  /** The lease is `duty:<name>`. */
  readonly name: string;
  readonly holder: string;
  readonly leases: LeaseStore;
  readonly provesDeath: boolean;
  readonly timers: LeaseTimers;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly run: (grant: LeaseGrant, signal: AbortSignal) => Promise<void>;
}

const RETRY_FIRST_MS = 200;
const RETRY_MS_MAX = 30_000;

export class Duty {
  readonly #options: DutyOptions;
  readonly #holding: LeaseHolding;
  readonly #backOff: BackOff;
  #timer: Timer | undefined;
  #running: AbortController | undefined;
  #turn: Promise<void> | undefined;
  #isStopped = true;

  constructor(options: DutyOptions) {
    const { name, random } = options;
    this.#options = options;
    this.#backOff = new BackOff(random, RETRY_FIRST_MS, RETRY_MS_MAX);
    const onLost = (reason: string): void => this.#end(`lease lost: ${reason}`);
    this.#holding = new LeaseHolding({ ...options, leaseName: `duty:${name}`, onLost });
  }

  /** The lease, while it is held and the function runs. */
  get grant(): LeaseGrant | undefined {
    return this.#holding.grant;
  }

  start(): void {
    if (!this.#isStopped) return;
    this.#isStopped = false;
    this.#tryLater(0);
  }

  /** Aborts the function, waits for it, gives up the lease. Never rejects. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#end('the node stops');
    await this.#turn;
  }

  #end(reason: string): void {
    this.#running?.abort(reason);
  }

  #tryLater(waitMs: number): void {
    if (this.#isStopped) return;
    this.#timer = this.#options.clock.after(waitMs, () => {
      this.#turn = this.#tryOnce().then((nextMs) => {
        this.#turn = undefined;
        this.#tryLater(nextMs);
      });
    });
  }

  /** Resolves with the wait before the next try, after the function has ended if it ran. */
  async #tryOnce(): Promise<number> {
    const { name, timers, random, logger } = this.#options;
    const pollMs = timers.pollMs * (0.8 + 0.2 * random.fraction());
    let grant: LeaseGrant | undefined;
    try {
      grant = await this.#holding.acquire();
    } catch (error) {
      logger.debug('duty_lease_unknown', { duty: name, message: asTandemError(error).message });
    }
    if (grant === undefined) return pollMs;
    if (!this.#isStopped) await this.#run(grant);
    const hasEndedByItself = this.#running?.signal.aborted === false;
    this.#running = undefined;
    this.#holding.drop();
    // After a loss too: what ran under it has ended, whoever waits need not wait for the time-out.
    await this.#holding.giveBack(grant);
    return hasEndedByItself ? this.#backOff.failed() : pollMs;
  }

  async #run(grant: LeaseGrant): Promise<void> {
    const { name, run, logger } = this.#options;
    const { term } = grant;
    this.#running = new AbortController();
    const { signal } = this.#running;
    logger.info('duty_started', { duty: name, term });
    try {
      await run(grant, signal);
      logger.info('duty_ended', { duty: name, term, why: signal.aborted ? String(signal.reason) : 'it has returned' });
      if (signal.aborted) this.#backOff.succeeded();
    } catch (error) {
      if (signal.aborted) logger.info('duty_ended', { duty: name, term, why: String(signal.reason) });
      else logger.error('duty_failed', { duty: name, term, message: asTandemError(error).message });
    }
  }
}
