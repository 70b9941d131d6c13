/** What a change of role asks of this node, done with its store and its keeper. */
import type { DemoteReport, NodeDuties } from '../core/contracts/cluster.ts';
import type { LeaseGrant } from '../core/contracts/engine.ts';
import { asTandemError, TandemError } from '../core/errors.ts';
import { delay, systemClock } from '../core/ports/clock.ts';
import type { Keeper } from '../supervisor/keeper.ts';
import type { NodeStore } from './node-store.ts';

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

export class KeeperDuties implements NodeDuties {
  readonly #options: KeeperDutiesOptions;

  constructor(options: KeeperDutiesOptions) {
    this.#options = options;
  }

  async promote(term: number): Promise<void> {
    const { keeper, store, grant, beforeServing } = this.#options;
    const right = grant();
    if (right === undefined) throw new TandemError('TANDEM_TERM_FENCED', { detail: 'the lease is lost' });
    store.noteGrant(right);
    // Nobody need wait until they are gone: what they can still do, the claim refuses; what they still hold, the next step waits for.
    const ended = store.endDead();
    ended.catch(() => {});
    await store.claim(term);
    await beforeServing();
    if (grant() !== right) throw new TandemError('TANDEM_TERM_FENCED', { detail: 'the lease is lost' });
    keeper.start();
    await keeper.activate(term, { issueTerm: () => this.#issueTerm(right) });
    await this.#cutUnless(ended);
  }

  /** For slots that are the node's own: from now on, and again after each end of its role. */
  openOwnSlots(): void {
    const { keeper, store } = this.#options;
    if (store.ownsSlots) keeper.openSlots({ issueTerm: () => store.issueSlotTerm(undefined) });
  }

  /** A turn of the event loop between durable steps: on a slow disk they must not keep the keeper from saying that it lives. */
  async #issueTerm(right: LeaseGrant): Promise<number> {
    await new Promise((resolve) => setImmediate(resolve));
    try {
      return await this.#options.store.issueSlotTerm(right);
    } catch (thrown) {
      const error = asTandemError(thrown);
      if (error.code === 'TANDEM_TERM_FENCED') this.#options.onFenced(error.message);
      throw error;
    }
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
    await Promise.race([keeper.commandAll({ kind: 'quiesce' }), delay(systemClock, deadlineMs)]);
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
