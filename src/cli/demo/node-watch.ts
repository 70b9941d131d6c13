/** Asks every node again and again what it is, as a load balancer does. */
import type { NodeReport } from '../reports.ts';
import { request, requestJson } from '../server.ts';
import type { DemoNode } from './demo-node.ts';

/** What a node said last; null: it does not answer. */
export interface NodeAnswer {
  readonly role: string;
  readonly term: number;
  readonly reason: string;
}

export type OnActive = (node: string, term: number, askedMs: number, answeredMs: number) => void;

const ASK_MS = 100;
const ANSWER_TIMEOUT_MS = 500;
const STATUS_TIMEOUT_MS = 2000;

export class NodeWatch {
  readonly #nodes: readonly DemoNode[];
  readonly #onActive: OnActive;
  /** With the process that gave it: an earlier one's says nothing of this one. */
  readonly #answers = new Map<DemoNode, { readonly pid: number | undefined; readonly answer: NodeAnswer }>();
  readonly #asked = new Set<DemoNode>();
  readonly #timer: NodeJS.Timeout;

  /** `onActive` is called for each answer of a node that it is active. */
  constructor(nodes: readonly DemoNode[], onActive: OnActive) {
    this.#nodes = nodes;
    this.#onActive = onActive;
    this.#timer = setInterval(() => {
      for (const node of nodes) if (node.pid !== undefined && !this.#asked.has(node)) void this.#ask(node);
    }, ASK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  answerOf(node: DemoNode): NodeAnswer | null {
    const last = this.#answers.get(node);
    return node.condition === 'running' && last?.pid === node.pid ? (last?.answer ?? null) : null;
  }

  /** The one that runs and says so, under the newest term. */
  get active(): DemoNode | undefined {
    const active = this.#nodes.filter((node) => this.answerOf(node)?.role === 'active');
    return active.sort((a, b) => this.#termOf(b) - this.#termOf(a))[0];
  }

  #termOf(node: DemoNode): number {
    return this.answerOf(node)?.term ?? 0;
  }

  /** Names of the standbys that could take over now, as the active node knows. None if that does not answer. */
  async readyStandbys(): Promise<readonly string[]> {
    const { active } = this;
    if (active === undefined) return [];
    try {
      const signal = AbortSignal.timeout(STATUS_TIMEOUT_MS);
      const server = { url: active.adminUrl, token: undefined };
      const { isReady, cluster } = await requestJson<NodeReport>(server, '/admin/v1/status', { signal });
      if (!isReady) return [];
      return cluster.peers
        .filter(({ facts }) => facts.role === 'standby' && facts.isReady)
        .map(({ facts }) => facts.name);
    } catch {
      return [];
    }
  }

  async #ask(node: DemoNode): Promise<void> {
    this.#asked.add(node);
    const { pid } = node;
    const askedMs = performance.now();
    try {
      const options = { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) };
      const response = await request({ url: node.adminUrl, token: undefined }, '/readyz', options, [503]);
      const answer = (await response.json()) as NodeAnswer;
      if (answer.role === 'active') this.#onActive(node.name, answer.term, askedMs, performance.now());
      this.#answers.set(node, { pid, answer });
    } catch {
      this.#answers.delete(node);
    } finally {
      this.#asked.delete(node);
    }
  }
}
