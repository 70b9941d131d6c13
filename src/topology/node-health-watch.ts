/** Keeps the node's health up to date, tells the workers, the elector and the log when it changes. */
import type { Elector } from '../cluster/elector.ts';
import type { LeaseGrant } from '../core/contracts/engine.ts';
import type { Health } from '../core/contracts/health.ts';
import type { Logger } from '../core/contracts/telemetry.ts';
import { decideHealth } from '../health/node-health.ts';
import type { Keeper } from '../supervisor/keeper.ts';
import { activePeer } from './active-peer.ts';
import type { NodeStore } from './node-store.ts';

export interface NodeHealthOptions {
  readonly keeper: Keeper;
  readonly elector: Elector;
  readonly store: NodeStore;
  readonly logger: Logger;
}

const PROBE_MS = 500;

export class NodeHealth {
  readonly #options: NodeHealthOptions;
  readonly #timer: NodeJS.Timeout;
  #storeProblem: string | undefined;
  #current: Health = { isReady: false, role: 'standby', term: 0, reason: 'starting' };
  #isUpdating = false;

  constructor(options: NodeHealthOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.#probe(), PROBE_MS);
  }

  get current(): Health {
    return this.#current;
  }

  /** Call when something may have changed. */
  update(): void {
    // The elector, told of a change, says that it has changed.
    if (this.#isUpdating) return;
    this.#isUpdating = true;
    const { keeper, elector, logger } = this.#options;
    const before = this.#current;
    const own = this.#decide();
    const next = keeper.status.fronts.length === 0 ? own : this.#decideForFronts(own);
    this.#current = next;
    const { isWarm } = keeper.status;
    if (own.role === 'active') elector.setReadiness(own.isReady, own.reason);
    else elector.setReadiness(isWarm, isWarm ? 'ready to take over' : 'its workers are starting');
    this.#isUpdating = false;
    const isSame = next.isReady === before.isReady && next.role === before.role && next.reason === before.reason;
    if (isSame && next.term === before.term) return;
    keeper.setHealth(next);
    if (isSame) return;
    logger.info('health_changed', { isReady: next.isReady, role: next.role, reason: next.reason });
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #decide(): Health {
    const { keeper, elector } = this.#options;
    const { slots, isStopping, isActive } = keeper.status;
    const { role, term, reason } = elector.facts();
    const serving = slots.filter(({ state }) => state === 'serving');
    // One worker that cannot append is enough to keep traffic away: which worker a connection gets is chance.
    const reported = serving.find(({ storeProblem }) => storeProblem !== null)?.storeProblem ?? undefined;
    return decideHealth({
      ...{ role, term, isStopping, slots: slots.length, serving: serving.length },
      roleReason: reason,
      isHandingOver: role === 'active' && !isActive,
      storeProblem: this.#storeProblem ?? reported,
    });
  }

  /** With fronts every node serves, as long as some node, this one or another, serves the store. */
  #decideForFronts(own: Health): Health {
    const { keeper, elector } = this.#options;
    const { fronts, isStopping } = keeper.status;
    const holder = activePeer(elector.status());
    const isServed = own.role === 'active' ? own.isReady : holder?.isReady === true;
    const missing = own.role === 'active' ? own.reason : 'no node serves the store now';
    return decideHealth({
      ...{ role: 'active', roleReason: '', isHandingOver: false, isStopping },
      term: own.role === 'active' ? own.term : (holder?.term ?? 0),
      slots: fronts.length,
      serving: fronts.filter(({ state }) => state === 'serving').length,
      storeProblem: isServed ? undefined : missing,
    });
  }

  async #probe(): Promise<void> {
    const { store, elector } = this.#options;
    this.#storeProblem = await store.problem();
    this.update();
    const { grant } = elector;
    if (grant === undefined || !store.provesDeath || (await this.#isHeld(grant))) return;
    // A lock file that was removed or replaced protects nothing any more.
    if (elector.grant === grant) elector.fenced('the lease is not held any more');
  }

  /** A store that cannot say so now does not end a lease. */
  async #isHeld(grant: LeaseGrant): Promise<boolean> {
    return this.#options.store.leases.renew(grant, Number.MAX_SAFE_INTEGER).catch(() => true);
  }
}
