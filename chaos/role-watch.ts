/** Asks every node again and again what it is, as a load balancer does, and keeps what they answer. */
import { Agent, get } from 'node:http';
import { type Activation, noteStatement, type TermSpan } from './evidence/terms.ts';
import type { NodeLife, NodeUnderTest } from './node-under-test.ts';
import { isAlive } from './processes.ts';
import { pause } from './producers/producer.ts';

const ASK_EVERY_MS = 20;
/** A hung node answers when it is woken up; that answer is the one that matters. */
const ANSWER_TIMEOUT_MS = 15_000;

export interface RoleAnswer {
  readonly role: 'active' | 'standby';
  readonly term: number;
  readonly reason: string;
  /** It said that it should get traffic. */
  readonly isReady: boolean;
  /** Monotonic ms. */
  readonly answeredMs: number;
}

export class RoleWatch {
  readonly complaints: string[] = [];
  readonly activations: Activation[] = [];
  readonly #nodes: readonly NodeUnderTest[];
  readonly #spans = new Map<string, TermSpan[]>();
  readonly #latest = new Map<string, RoleAnswer>();
  readonly #agents: Agent[] = [];
  #isStopping = false;
  readonly #ended: Promise<unknown>;

  constructor(nodes: readonly NodeUnderTest[]) {
    this.#nodes = nodes;
    this.#ended = Promise.all(nodes.map((node) => this.#watch(node)));
  }

  /** Of all nodes: when they said that they were active, and under which term. */
  get spans(): TermSpan[] {
    return [...this.#spans.values()].flat();
  }

  /** The highest term under which a node was active. */
  get term(): number {
    return this.activations.reduce((highest, { term }) => Math.max(highest, term), 0);
  }

  /** The running node that was the latest to say that it is active. */
  get active(): NodeUnderTest | undefined {
    let found: NodeUnderTest | undefined;
    let term = -1;
    for (const node of this.#nodes) {
      const answer = this.latest(node);
      if (answer?.role !== 'active' || answer.term <= term) continue;
      found = node;
      term = answer.term;
    }
    return found;
  }

  /** What the node's present life has said last. */
  latest(node: NodeUnderTest): RoleAnswer | undefined {
    const answer = this.#latest.get(node.name);
    const startedMs = node.lives.at(-1)?.startedMs ?? Number.POSITIVE_INFINITY;
    return node.isRunning && answer !== undefined && answer.answeredMs > startedMs ? answer : undefined;
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const agent of this.#agents) agent.destroy();
    await this.#ended;
  }

  async #watch(node: NodeUnderTest): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    this.#agents.push(agent);
    while (!this.#isStopping) {
      // To know what is left when it dies.
      node.workerPids();
      const life = node.lives.at(-1);
      const askedMs = performance.now();
      const answer = await ask(node, agent);
      // Another life may have answered: nobody knows which.
      if (answer !== undefined && life !== undefined && life === node.lives.at(-1)) this.#take(life, answer, askedMs);
      await pause(ASK_EVERY_MS);
    }
  }

  #take(life: NodeLife, answer: RoleAnswer, askedMs: number): void {
    this.#latest.set(life.node, answer);
    if (answer.role !== 'active') return;
    const spans = this.#spans.get(life.node) ?? [];
    this.#spans.set(life.node, spans);
    const { term, answeredMs } = answer;
    if (!noteStatement(spans, `node ${life.node}`, { term, askedMs, answeredMs })) return;
    this.activations.push({ holder: `${life.node}/${life.keeper.pid}`, term, askedMs, answeredMs });
    this.#checkDead(life, term);
  }

  /** When a node is active, nothing may be left of those whose keeper is dead. */
  #checkDead(life: NodeLife, term: number): void {
    for (const { name, lives } of this.#nodes) {
      for (const { endedMs, processes } of lives) {
        if (endedMs === undefined) continue;
        const left = [...processes.values()].filter(isAlive).map(({ pid }) => pid);
        if (left.length > 0)
          this.complaints.push(
            `ALIVE: ${life.node} is active under term ${term}, and of the dead ${name} live ${left.join(', ')}`,
          );
      }
    }
  }
}

/** undefined: no answer, or none that makes sense. */
function ask({ host, ports }: NodeUnderTest, agent: Agent): Promise<RoleAnswer | undefined> {
  return new Promise((resolve) => {
    const options = { host: host.address, port: ports.admin, path: '/readyz', agent, timeout: ANSWER_TIMEOUT_MS };
    const request = get(options, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('error', () => resolve(undefined));
      response.on('end', () => resolve(parse(text, response.statusCode === 200)));
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(undefined));
  });
}

function parse(text: string, isReady: boolean): RoleAnswer | undefined {
  try {
    const { role, term, reason } = JSON.parse(text) as Omit<RoleAnswer, 'isReady' | 'answeredMs'>;
    return { role, term, reason, isReady, answeredMs: performance.now() };
  } catch {
    return undefined;
  }
}
