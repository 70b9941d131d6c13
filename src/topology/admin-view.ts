/** What the admin server shows: the keeper's own state and the workers' answers, made one. */
import type { AdminBackend } from '../admin/admin-server.ts';
import { type ConsumerReport, mergeConsumers, mergeTopics, type TopicReport } from '../admin/reports.ts';
import type { Elector } from '../cluster/elector.ts';
import type { TandemConfig } from '../config/tandem-config.ts';
import type { Health } from '../core/contracts/health.ts';
import type { MetricSample } from '../core/contracts/telemetry.ts';
import type { ConsumerCommand } from '../core/contracts/worker.ts';
import { TandemError } from '../core/errors.ts';
import type { Keeper, SlotAnswers } from '../supervisor/keeper.ts';
import { createProcessMetrics } from '../telemetry/process-metrics.ts';
import { labelled, renderPrometheus } from '../telemetry/prometheus.ts';
import { activePeer } from './active-peer.ts';
import { ConsumerCommands } from './consumer-commands.ts';
import type { ConsumerPauses } from './consumer-pauses.ts';
import type { NodeHealth } from './node-health-watch.ts';

export interface AdminViewOptions {
  readonly keeper: Keeper;
  readonly elector: Elector;
  readonly health: NodeHealth;
  readonly pauses: ConsumerPauses;
  readonly config: TandemConfig;
  readonly version: string;
}

export class AdminView implements AdminBackend {
  readonly #options: AdminViewOptions;
  readonly #commands: ConsumerCommands;
  readonly #process = createProcessMetrics();

  constructor(options: AdminViewOptions) {
    this.#options = options;
    this.#commands = new ConsumerCommands(options.keeper, options.pauses);
  }

  health(): Health {
    return this.#options.health.current;
  }

  async status(): Promise<unknown> {
    const { keeper, elector, config, version } = this.#options;
    const { peers, antiFlap, transitions, sinceMs } = elector.status();
    const health = this.health();
    const { slots, connections, ...status } = keeper.status;
    const { answers } = await keeper.ask({ about: 'admin', request: { kind: 'status' } });
    const engine = (answers[0]?.result as { engine?: string } | undefined)?.engine ?? null;
    return {
      name: config.name,
      version,
      role: health.role,
      term: health.term,
      isReady: health.isReady,
      reason: health.reason,
      canTakeOver: health.role === 'standby' && elector.facts().isReady,
      uptimeMs: Math.round(process.uptime() * 1000),
      keeperPid: process.pid,
      cluster: { mode: config.cluster.mode, sinceMs, peers, antiFlap, transitions },
      engine,
      slots,
      ...status,
      pausedConsumers: this.#commands.pausedNames,
      connections: { ...connections, open: slots.reduce((sum, slot) => sum + slot.connections, 0) },
      totals: totalsOf(await this.#workerSamples()),
    };
  }

  async topics(): Promise<unknown> {
    this.#requireActive();
    const { answers } = await this.#options.keeper.ask({ about: 'admin', request: { kind: 'topics' } });
    return mergeTopics(answers.map(({ result }) => result as TopicReport[]));
  }

  async consumers(): Promise<unknown> {
    this.#requireActive();
    const { answers } = await this.#options.keeper.ask({ about: 'admin', request: { kind: 'consumers' } });
    return mergeConsumers(answers.map(({ result }) => result as ConsumerReport[]));
  }

  async command(command: ConsumerCommand): Promise<unknown> {
    this.#requireActive();
    return this.#commands.run(command);
  }

  switchover(to: string | null, timeoutMs: number | undefined): Promise<unknown> {
    const { elector, config } = this.#options;
    return elector.switchover(to, timeoutMs ?? config.cluster.switchoverTimeoutMs);
  }

  #requireActive(): void {
    const status = this.#options.elector.status();
    if (status.role === 'active') return;
    const active = activePeer(status);
    if (active === undefined) throw new TandemError('TANDEM_NODE_STANDBY', { detail: 'no node is active' });
    const data = { active: active.name, adminUrl: active.adminUrl };
    throw new TandemError('TANDEM_NODE_STANDBY', { detail: `${active.name} is active, at ${active.adminUrl}`, data });
  }

  async metrics(): Promise<string> {
    const own = [...this.#process.metrics(), ...this.#keeperSamples()];
    return renderPrometheus([...labelled(own, 'slot', 'keeper'), ...(await this.#workerSamples())]);
  }

  async #workerSamples(): Promise<MetricSample[]> {
    const { keeper } = this.#options;
    const [slots, fronts] = await Promise.all([
      keeper.ask({ about: 'metrics' }),
      keeper.askFronts({ about: 'metrics' }),
    ]);
    const samples = ({ answers }: SlotAnswers, prefix: string): MetricSample[] =>
      answers.flatMap(({ slot, result }) => labelled(result as MetricSample[], 'slot', `${prefix}${slot}`));
    return [...samples(slots, ''), ...samples(fronts, 'front-')];
  }

  #keeperSamples(): MetricSample[] {
    const { slots, connections } = this.#options.keeper.status;
    const { isReady, role, term } = this.health();
    const gauge = (name: string, help: string, value: number): MetricSample => ({ name, kind: 'gauge', help, value });
    const counter = (name: string, help: string, value: number): MetricSample => {
      return { name, kind: 'counter', help, value };
    };
    return [
      gauge('tandem_node_ready', '1: the node should get traffic', isReady ? 1 : 0),
      gauge('tandem_node_active', '1: the node is active', role === 'active' ? 1 : 0),
      gauge('tandem_node_term', "The node's term", term),
      gauge('tandem_supervisor_slots', 'Workers wanted', slots.length),
      gauge('tandem_supervisor_serving', 'Workers that serve', slots.filter(({ state }) => state === 'serving').length),
      ...slots.map(({ slot, restarts }) => ({
        ...counter('tandem_supervisor_restarts_total', 'Workers that died unasked', restarts),
        labels: { of: String(slot) },
      })),
      counter('tandem_supervisor_connections_total', 'Accepted connections', connections.accepted),
      counter('tandem_supervisor_refused_connections_total', 'Closed since too many waited', connections.refused),
      gauge('tandem_supervisor_waiting_connections', 'Accepted, waiting for a worker', connections.waiting),
    ];
  }
}

/** Counters by name, over all workers and labels: what each stage has done since its processes started. */
function totalsOf(samples: readonly MetricSample[]): { readonly [name: string]: number } {
  const totals: { [name: string]: number } = {};
  for (const { kind, name, value } of samples)
    if (kind === 'counter' && !name.startsWith('tandem_process_')) totals[name] = (totals[name] ?? 0) + value;
  return totals;
}
