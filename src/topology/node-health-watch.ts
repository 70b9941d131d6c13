/** Keeps the node's health up to date, tells the workers and the log when it changes. */
import type { Health } from '../core/contracts/health.ts';
import type { Logger } from '../core/contracts/telemetry.ts';
import { decideHealth } from '../health/node-health.ts';
import type { Keeper } from '../supervisor/keeper.ts';
import type { NodeStore } from './engine-table.ts';

export interface NodeHealthOptions {
  readonly keeper: Keeper;
  readonly store: NodeStore;
  readonly nodeTerm: number;
  readonly logger: Logger;
}

const PROBE_MS = 500;

export class NodeHealth {
  readonly #options: NodeHealthOptions;
  readonly #timer: NodeJS.Timeout;
  #storeProblem: string | undefined;
  #current: Health;

  constructor(options: NodeHealthOptions) {
    this.#options = options;
    this.#current = { isReady: false, role: 'standby', term: options.nodeTerm, reason: 'starting' };
    this.#timer = setInterval(() => void this.#probe(), PROBE_MS);
  }

  get current(): Health {
    return this.#current;
  }

  /** Call when something may have changed. */
  update(): void {
    const { keeper, nodeTerm, logger } = this.#options;
    const { slots, isStopping } = keeper.status;
    const serving = slots.filter(({ state }) => state === 'serving');
    // One worker that cannot append is enough to keep traffic away: which worker a connection gets is chance.
    const reported = serving.find(({ storeProblem }) => storeProblem !== null)?.storeProblem ?? undefined;
    const storeProblem = this.#storeProblem ?? reported;
    const next = decideHealth({
      term: nodeTerm,
      slots: slots.length,
      serving: serving.length,
      isStopping,
      storeProblem,
    });
    const { isReady, reason } = this.#current;
    if (next.isReady === isReady && next.reason === reason) return;
    this.#current = next;
    keeper.setHealth(next);
    logger.info('health_changed', { isReady: next.isReady, reason: next.reason });
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #probe(): Promise<void> {
    this.#storeProblem = await this.#options.store.problem();
    this.update();
  }
}
