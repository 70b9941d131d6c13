/** Breaks the cluster again and again, one fault at a time: the next one comes when every node is well again, or nearly. */
import { asTandemError } from '../../core/errors.ts';
import type { Random } from '../../core/ports/random.ts';
import { requestJson } from '../server.ts';
import type { DemoCluster } from './demo-cluster.ts';
import type { DemoNode } from './demo-node.ts';
import type { NodeWatch } from './node-watch.ts';
import type { Fault, FaultKind, Takeovers } from './takeovers.ts';
import { pause, waitUntil } from './wait-until.ts';

export interface FaultDrillOptions {
  readonly cluster: DemoCluster;
  readonly watch: NodeWatch;
  readonly takeovers: Takeovers;
  readonly random: Random;
  readonly kinds: readonly FaultKind[];
  /** From one fault to the next. */
  readonly everyMs: number;
  readonly onFault: (fault: Fault) => void;
  /** The fault is over: with a new active, or with a problem. */
  readonly onOver: (fault: Fault) => void;
  /** The service did not do what it promises. */
  readonly onProblem: (problem: string) => void;
}

/** A fault needs so long; none begins later than that before the end. */
const FAULT_MS = 2500;
/** For all nodes to be well again; then one standby is enough. */
const ALL_WELL_TIMEOUT_MS = 15_000;
const SERVICE_TIMEOUT_MS = 30_000;
const SWITCHOVER_TIMEOUT_MS = 10_000;
/** A hung node must have been ended by the others by then. */
const FENCE_TIMEOUT_MS = 10_000;
const QUIET_MS_MAX = 500;
/** A node that was killed stays down for so long. */
const DOWN_MS = 700;
const NAME_TIMEOUT_MS = 1000;

export class FaultDrill {
  readonly #options: FaultDrillOptions;
  /** What of this round is still to come. */
  #bag: FaultKind[] = [];
  readonly #returning = new Set<Promise<void>>();

  constructor(options: FaultDrillOptions) {
    this.#options = options;
  }

  /** Until `endMs` (monotonic), but at least until each kind has been there once; ends early when the signal is given. */
  async run(endMs: number, signal: AbortSignal): Promise<void> {
    const { everyMs, kinds } = this.#options;
    const done = new Set<FaultKind>();
    const isTimeLeft = (): boolean => performance.now() < endMs - FAULT_MS || done.size < kinds.length;
    for (let nextMs = performance.now() + everyMs; !signal.aborted && isTimeLeft(); ) {
      await pause(nextMs - performance.now(), signal);
      const active = await this.#well(signal);
      if (signal.aborted || !isTimeLeft()) break;
      nextMs = performance.now() + everyMs;
      if (active === undefined) continue;
      const kind = this.#draw();
      done.add(kind);
      await this.#harm(kind, active);
    }
    await pause(endMs - performance.now(), signal);
    await Promise.all(this.#returning);
  }

  /** Each kind once, in an order of chance, and again. */
  #draw(): FaultKind {
    const { kinds, random } = this.#options;
    if (this.#bag.length === 0) this.#bag = [...kinds];
    const [kind] = this.#bag.splice(Math.floor(random.fraction() * this.#bag.length), 1);
    return kind as FaultKind;
  }

  /** The active node, when it serves and others could take over. */
  async #well(signal: AbortSignal): Promise<DemoNode | undefined> {
    const { watch, takeovers, cluster, onProblem } = this.#options;
    const isServing = (): boolean => takeovers.quietMs(performance.now()) < QUIET_MS_MAX && watch.active !== undefined;
    const areReady = async (count: number): Promise<boolean> => (await watch.readyStandbys()).length >= count;
    const others = cluster.nodes.length - 1;
    const isWell = async (count: number): Promise<boolean> => isServing() && (await areReady(count)) && isServing();
    if (await waitUntil(() => isWell(others), ALL_WELL_TIMEOUT_MS, signal)) return watch.active;
    if (signal.aborted) return undefined;
    if (await waitUntil(() => isWell(1), SERVICE_TIMEOUT_MS, signal)) return watch.active;
    if (!signal.aborted) onProblem('no standby became ready to take over');
    return undefined;
  }

  async #harm(kind: FaultKind, node: DemoNode): Promise<void> {
    const { takeovers, onFault, onOver, onProblem } = this.#options;
    const fault = takeovers.begin(kind, node.name, performance.now());
    if (kind === 'kill') node.kill();
    else if (kind === 'hang') node.hang();
    onFault(fault);
    if (kind === 'switchover') await this.#switchOver(node);
    if (!(await waitUntil(() => takeovers.current !== fault, SERVICE_TIMEOUT_MS))) {
      const problem = `nothing was acked under a newer term within ${SERVICE_TIMEOUT_MS / 1000} s`;
      takeovers.fail(problem);
      onProblem(`${kind} of ${node.name}: ${problem}`);
    }
    await this.#name(fault);
    onOver(fault);
    if (kind !== 'switchover') this.#comeBack(node);
  }

  async #switchOver({ adminUrl }: DemoNode): Promise<void> {
    const body = JSON.stringify({ timeoutMs: SWITCHOVER_TIMEOUT_MS });
    try {
      await requestJson({ url: adminUrl, token: undefined }, '/admin/v1/switchover', { method: 'POST', body });
    } catch (error) {
      // Given up and told so: the old active serves on.
      this.#options.takeovers.fail(asTandemError(error).message);
    }
  }

  /** Acks tell the term, the nodes whose it is. */
  async #name(fault: Fault): Promise<void> {
    const { watch } = this.#options;
    const { toTerm } = fault;
    if (toTerm === null) return;
    const active = (): DemoNode | undefined => {
      const node = watch.active;
      return node !== undefined && watch.answerOf(node)?.term === toTerm ? node : undefined;
    };
    await waitUntil(() => active() !== undefined, NAME_TIMEOUT_MS);
    fault.toNode = active()?.name ?? null;
  }

  #comeBack(node: DemoNode): void {
    const returning = this.#restart(node);
    this.#returning.add(returning);
    void returning.finally(() => this.#returning.delete(returning));
  }

  async #restart(node: DemoNode): Promise<void> {
    if (!(await waitUntil(() => node.condition === 'down', FENCE_TIMEOUT_MS))) {
      this.#options.onProblem(`${node.name} hung, and the others did not end it within ${FENCE_TIMEOUT_MS / 1000} s`);
      node.kill();
      await waitUntil(() => node.condition === 'down', FENCE_TIMEOUT_MS);
    }
    await pause(DOWN_MS);
    node.start();
  }
}
