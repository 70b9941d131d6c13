/** What a change of role asks of this node, done with its store and its keeper. */
import type { DemoteReport, NodeDuties } from '../core/contracts/cluster.ts';
import type { LeaseGrant } from '../core/contracts/engine.ts';
import { TandemError } from '../core/errors.ts';
import { delay, systemClock } from '../core/ports/clock.ts';
import type { Keeper } from '../supervisor/keeper.ts';
import type { NodeStore } from './node-store.ts';

export interface KeeperDutiesOptions {
  readonly keeper: Keeper;
  readonly store: NodeStore;
  /** The lease that is held, under which terms for workers are issued. */
  readonly grant: () => LeaseGrant | undefined;
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
    // Nobody need wait until they are gone: what they can still do, the claim refuses; what they still hold, the next step waits for.
    const ended = store.endDead();
    ended.catch(() => {});
    store.claim(term);
    await beforeServing();
    keeper.start();
    await keeper.activate({ nodeTerm: term, issueTerm: () => store.leases.issueTerm(right) });
    await this.#cutUnless(ended);
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
    await this.#options.keeper.commandAll({ kind: 'unquiesce' });
  }

  async demote(deadlineMs: number): Promise<DemoteReport> {
    const { records, clients } = await this.#options.keeper.deactivate(deadlineMs);
    return { recordsInFlight: records, clients };
  }

  cut(reason: string): Promise<void> {
    return this.#options.keeper.cut(reason);
  }
}
