/** What a change of role asks of this node, done with its store and its keeper. */
import type { DemoteReport, NodeDuties } from '../core/contracts/cluster.ts';
import type { LeaseGrant } from '../core/contracts/engine.ts';
import { asTandemError, TandemError } from '../core/errors.ts';
import { inTime } from '../core/in-time.ts';
import { systemClock } from '../core/ports/clock.ts';
import type { Keeper } from '../supervisor/keeper.ts';
import type { NodeStore } from './node-store.ts';

/** Blocking work goes on for no longer than this and one step more. */
const BREATH_MS = 20;

export interface KeeperDutiesOptions {
  readonly keeper: Keeper;
  readonly store: NodeStore;
  /** The lease that is held, under which terms for workers are issued. */
  readonly grant: () => LeaseGrant | undefined;
  /** A term was refused: another node has, or may have, the lease. */
  readonly onFenced: (reason: string) => void;
  /** Between the claim and the workers; what it rejects with ends the promotion. */
  readonly beforeServing: () => Promise<void>;
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export class KeeperDuties implements NodeDuties {
  readonly #options: KeeperDutiesOptions;
  #breathedMs = 0;

  constructor(options: KeeperDutiesOptions) {
    this.#options = options;
  }

  async promote(term: number): Promise<void> {
    const { keeper, store, grant, beforeServing } = this.#options;
    const right = grant();
    if (right === undefined) throw new TandemError('TANDEM_TERM_FENCED', { detail: 'the lease is lost' });
    store.noteGrant(right);
    this.#breathedMs = systemClock.monotonicMs();
    await store.claim(term);
    await beforeServing();
    if (grant() !== right) throw new TandemError('TANDEM_TERM_FENCED', { detail: 'the lease is lost' });
    keeper.start();
    const active = keeper.activate(term, { issueTerm: () => this.#issueTerm(right) });
    // Nobody need wait until they are gone: what they can still do, the claim refuses; what they still hold, the slots wait for.
    const ended = nextTurn().then(() => store.endDead());
    ended.catch(() => {});
    await active;
    await this.#cutUnless(ended);
  }

  /** For slots that are the node's own: from now on, and again after each end of its role. */
  openOwnSlots(): void {
    const { keeper, store } = this.#options;
    if (store.ownsSlots) keeper.openSlots({ issueTerm: () => store.issueSlotTerm(undefined) });
  }

  async #issueTerm(right: LeaseGrant): Promise<number> {
    await this.#breathe();
    try {
      return await this.#options.store.issueSlotTerm(right);
    } catch (thrown) {
      const error = asTandemError(thrown);
      if (error.code === 'TANDEM_TERM_FENCED') this.#options.onFenced(error.message);
      throw error;
    }
  }

  /** On a slow disk durable steps, one after the other, must not keep the keeper from saying that it lives. */
  async #breathe(): Promise<void> {
    const nowMs = systemClock.monotonicMs();
    if (nowMs - this.#breathedMs < BREATH_MS) return;
    await nextTurn();
    this.#breathedMs = systemClock.monotonicMs();
  }

  /** What a dead node has left must not outlive the takeover. */
  async #cutUnless(ended: Promise<void>): Promise<void> {
    try {
      await ended;
    } catch (error) {
      await this.cut('processes of a dead node do not end');
      throw error;
    }
  }

  /** What does not end in time is cut off by `demote`, and delivered again by whoever is active then. */
  async quiesce(deadlineMs: number): Promise<void> {
    const { keeper } = this.#options;
    await inTime(systemClock, keeper.commandAll({ kind: 'quiesce' }), deadlineMs);
  }

  async unquiesce(): Promise<void> {
    const { failures } = await this.#options.keeper.commandAll({ kind: 'unquiesce' });
    const [failure] = failures;
    if (failure !== undefined) throw failure.error;
  }

  async demote(deadlineMs: number): Promise<DemoteReport> {
    const { records, clients } = await this.#options.keeper.deactivate(deadlineMs);
    this.openOwnSlots();
    return { recordsInFlight: records, clients };
  }

  async cut(reason: string): Promise<void> {
    await this.#options.keeper.cut(reason);
    this.openOwnSlots();
  }
}
