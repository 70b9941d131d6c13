/** HAProxy's agent-check of this node, if its config has one: bound on every node, always. */
import { once } from 'node:events';
import type { Server } from 'node:net';
import type { AgentCheckConfig } from '../config/tandem-config.ts';
import { TandemError } from '../core/errors.ts';
import { agentLine, createAgentServer } from '../health/agent-check.ts';
import { bindProblem } from '../supervisor/address-bindings.ts';
import type { Keeper } from '../supervisor/keeper.ts';
import type { NodeHealth } from './node-health-watch.ts';

export interface AgentCheckOptions {
  readonly address: AgentCheckConfig | null;
  readonly keeper: Keeper;
  readonly health: NodeHealth;
}

export class AgentCheck {
  readonly #address: AgentCheckConfig | null;
  readonly #server: Server;

  constructor({ address, keeper, health }: AgentCheckOptions) {
    this.#address = address;
    this.#server = createAgentServer(() => {
      const { slots, isStopping, isActive } = keeper.status;
      const { current } = health;
      const isLeaving = isStopping || (current.role === 'active' && !isActive);
      const pressures = slots.map(({ state, pressure }) => (state === 'serving' ? pressure : null));
      return agentLine({ health: current, isLeaving, pressures });
    });
  }

  /** Does nothing where the config has none. Errors: TANDEM_LISTEN_FAILED. */
  async bind(): Promise<void> {
    if (this.#address === null) return;
    const { host, port } = this.#address;
    try {
      await once(this.#server.listen({ host, port }), 'listening');
    } catch (error) {
      const problem = bindProblem(`agent-check ${host}:${port}`, error);
      throw new TandemError('TANDEM_LISTEN_FAILED', { detail: problem, data: { problems: [problem] } });
    }
  }

  close(): void {
    this.#server.close();
  }
}
