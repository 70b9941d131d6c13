/**
 * A demo from beginning to end: nodes, producers, subscribers, faults, and the proof from what the store holds when all is over. Every record that was
 * acked must be stored once and in order and have reached every subscriber, and one node at a time must have been active.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { asTandemError, TandemError } from '../../core/errors.ts';
import { seededRandom } from '../../core/ports/random.ts';
import { DemoCluster, TOPIC } from './demo-cluster.ts';
import type { DemoNode, UnaskedEnd } from './demo-node.ts';
import type { DemoNodeView, DemoView } from './demo-view.ts';
import { FaultDrill } from './fault-drill.ts';
import { NodeWatch } from './node-watch.ts';
import { type Proof, prove } from './proof.ts';
import { readBack } from './read-back.ts';
import type { RecordTally } from './record-tally.ts';
import { type Fault, type FaultKind, summaries, Takeovers } from './takeovers.ts';
import { TermWatch } from './term-watch.ts';
import { SOURCES, SUBSCRIBERS, Traffic } from './traffic.ts';
import { waitUntil } from './wait-until.ts';

export interface DemoPlan {
  /** The program `tandem`, of which each node is one run. */
  readonly program: string;
  readonly durationMs: number;
  readonly nodes: number;
  /** From one fault to the next. */
  readonly everyMs: number;
  readonly faults: readonly FaultKind[];
  readonly recordsPerSecond: number;
  /** Chooses the order of the faults. */
  readonly seed: number;
  /** Left as it is at the end; null: a temporary one, which is removed unless something is wrong. */
  readonly folder: string | null;
}

export interface DemoResult extends Proof {
  readonly seed: number;
  readonly nodes: number;
  readonly recordsPerSecond: number;
  /** What happened beside the faults and harmed nothing. */
  readonly notices: readonly string[];
  /** From the first record to the last fault's end. */
  readonly elapsedMs: number;
  /** Of the data, configs and logs; null: removed. */
  readonly folder: string | null;
}

export interface DemoEvents {
  readonly onFault: (fault: Fault) => void;
  readonly onOver: (fault: Fault) => void;
  readonly onProblem: (problem: string) => void;
}

const START_TIMEOUT_MS = 60_000;
const DRAIN_TIMEOUT_MS = 30_000;
const DELIVERY_TIMEOUT_MS = 30_000;
const BUCKETS_MAX = 99;

export class DemoRun {
  readonly folder: string;
  readonly #plan: DemoPlan;
  readonly #events: DemoEvents;
  readonly #early = new AbortController();
  readonly #problems: string[] = [];
  readonly #notices: string[] = [];
  readonly #terms = new TermWatch();
  #cluster: DemoCluster | undefined;
  #watch: NodeWatch | undefined;
  #traffic: Traffic | undefined;
  #takeovers: Takeovers | undefined;
  #startMs = 0;
  #elapsedMs: number | undefined;
  #phase: DemoView['phase'] = 'starting';
  #progress = { done: 0, total: 0 };

  /** Errors: TANDEM_CONFIG_INVALID if the plan's folder is not empty. */
  constructor(plan: DemoPlan, events: DemoEvents) {
    this.#plan = plan;
    this.#events = events;
    this.folder = plan.folder === null ? mkdtempSync(join(tmpdir(), 'tandem-demo-')) : emptyFolder(plan.folder);
  }

  /**
   * Whatever happens, no process is left when it settles. undefined: it was ended before the nodes were ready. Errors: TANDEM_INTERNAL if they
   * do not start; what is wrong after that is in the result.
   */
  async run(): Promise<DemoResult | undefined> {
    try {
      if (!(await this.#start())) return undefined;
      await this.#trouble();
      const proof = await this.#prove();
      await this.#end();
      return this.#resultOf(proof);
    } finally {
      await this.#end();
    }
  }

  /** No more faults: on to the proof. */
  endEarly(): void {
    this.#early.abort();
  }

  /** The user wants no proof: all nodes end at once, and nobody needs the folder. */
  abandon(): void {
    this.killNow();
    this.#removeFolder();
  }

  /** For the end of this process: nothing that it started outlives it. */
  killNow(): void {
    this.#cluster?.killNow();
  }

  view(): DemoView {
    const nowMs = performance.now();
    const { durationMs, seed, recordsPerSecond } = this.#plan;
    const acked = this.#traffic?.acked;
    const delivered = this.#traffic?.delivered;
    const takeovers = this.#takeovers;
    return {
      ...{ phase: this.#phase, progress: this.#progress, durationMs, seed, recordsPerSecond },
      elapsedMs: this.#elapsedMs ?? (this.#startMs === 0 ? 0 : nowMs - this.#startMs),
      nodes: this.#cluster?.nodes.map((node) => this.#nodeView(node)) ?? [],
      acked: {
        total: acked?.total ?? 0,
        perSecond: acked?.perSecond(nowMs) ?? 0,
        tenths: acked?.buckets(BUCKETS_MAX, nowMs) ?? [],
      },
      delivered: {
        total: delivered?.total ?? 0,
        perSecond: delivered?.perSecond(nowMs) ?? 0,
        tenths: delivered?.buckets(BUCKETS_MAX, nowMs) ?? [],
      },
      subscribers: SUBSCRIBERS,
      waiting: this.#traffic?.waiting ?? 0,
      quietMs: takeovers?.quietMs(nowMs) ?? 0,
      longestPauseMs: takeovers?.longestPauseMs ?? 0,
      faults: takeovers?.faults ?? [],
      summaries: summaries(takeovers?.faults ?? []),
      problems: [...this.#notices, ...this.#problems],
    };
  }

  #nodeView(node: DemoNode): DemoNodeView {
    const { name, pid, condition } = node;
    const answer = this.#watch?.answerOf(node) ?? null;
    const view = { name, pid: pid ?? null, term: answer?.term ?? 0 };
    if (condition === 'hung') return { ...view, state: 'hung', reason: 'its processes are stopped: silent, not dead' };
    if (condition !== 'running') return { ...view, state: 'down', reason: node.downReason };
    if (answer === null) return { ...view, state: 'starting', reason: '' };
    return { ...view, state: answer.role === 'active' ? 'active' : 'standby', reason: answer.reason };
  }

  /** False: ended early. */
  async #start(): Promise<boolean> {
    const { program, nodes } = this.#plan;
    this.#cluster = await DemoCluster.create({
      ...{ program, folder: this.folder, nodes },
      onEndedUnasked: (name, end) => this.#endedUnasked(name, end),
    });
    this.#cluster.start();
    const watch = new NodeWatch(this.#cluster.nodes, (...answer) => this.#terms.active(...answer));
    this.#watch = watch;
    const isWhole = async (): Promise<boolean> => (await watch.readyStandbys()).length === nodes - 1;
    const { signal } = this.#early;
    if (await waitUntil(isWhole, START_TIMEOUT_MS, signal)) return true;
    if (!signal.aborted) {
      const detail = `the nodes were not ready in ${START_TIMEOUT_MS / 1000} s; their logs are in ${this.folder}`;
      throw new TandemError('TANDEM_INTERNAL', { detail });
    }
    await this.#end();
    this.#removeFolder();
    return false;
  }

  /** Traffic, and one fault after the other. */
  async #trouble(): Promise<void> {
    const { durationMs, seed, recordsPerSecond, faults: kinds, everyMs } = this.#plan;
    const cluster = this.#cluster as DemoCluster;
    const watch = this.#watch as NodeWatch;
    this.#startMs = performance.now();
    this.#phase = 'running';
    const takeovers = new Takeovers(this.#startMs);
    this.#takeovers = takeovers;
    const onProblem = (problem: string): void => this.#problem(problem);
    this.#traffic = new Traffic({
      ...{ url: cluster.url, linesPort: cluster.linesPort, topic: TOPIC },
      ...{ recordsPerSecond, takeovers, terms: this.#terms, onProblem },
    });
    const { onFault, onOver } = this.#events;
    const drill = new FaultDrill({
      ...{ cluster, watch, takeovers, random: seededRandom(seed), kinds, everyMs, onFault, onOver, onProblem },
    });
    await drill.run(this.#startMs + durationMs, this.#early.signal);
    this.#elapsedMs = performance.now() - this.#startMs;
  }

  async #prove(): Promise<Proof> {
    const traffic = this.#traffic as Traffic;
    this.#phase = 'draining';
    await traffic.drain(DRAIN_TIMEOUT_MS);
    this.#phase = 'reading back';
    const stored = await this.#readBack();
    if (stored !== null) await traffic.delivery(stored.records, DELIVERY_TIMEOUT_MS);
    this.#watch?.stop();
    await traffic.close();
    return prove({
      ...{ sources: traffic.sources, stored, subscribers: traffic.subscribers, terms: this.#terms.verdict() },
      ...{ faults: this.#takeovers?.faults ?? [], problems: this.#problems },
    });
  }

  async #readBack(): Promise<RecordTally | null> {
    const { url } = this.#cluster as DemoCluster;
    const onProgress = (done: number, total: number): void => {
      this.#progress = { done, total };
    };
    try {
      return await readBack({ url, topic: TOPIC, sources: SOURCES, onProgress });
    } catch (error) {
      this.#problem(`the store could not be read back: ${asTandemError(error).message}`);
      return null;
    }
  }

  #resultOf(proof: Proof): DemoResult {
    const { seed, nodes, recordsPerSecond, folder: named } = this.#plan;
    const isKept = named !== null || !proof.isProven;
    if (!isKept) this.#removeFolder();
    const folder = isKept ? this.folder : null;
    const notices = this.#notices;
    return { ...proof, seed, nodes, recordsPerSecond, notices, elapsedMs: Math.round(this.#elapsedMs ?? 0), folder };
  }

  /** Unless the user named it. */
  #removeFolder(): void {
    if (this.#plan.folder === null)
      rmSync(this.folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }

  /** What an end that was not the node's fault did to the records, the proof tells. */
  #endedUnasked(name: string, { how, isFromOutside }: UnaskedEnd): void {
    if (!isFromOutside) {
      this.#problem(`node ${name} ended by itself (${how}): see ${name}.log`);
      return;
    }
    const notice = `node ${name} was ended by somebody else (${how}): too long silent, out of memory, or told to stop`;
    this.#notices.push(notice);
    this.#events.onProblem(notice);
  }

  #problem(problem: string): void {
    this.#problems.push(problem);
    this.#events.onProblem(problem);
  }

  async #end(): Promise<void> {
    this.#watch?.stop();
    await this.#traffic?.close();
    await this.#cluster?.end();
  }
}

function emptyFolder(name: string): string {
  const folder = resolve(name);
  mkdirSync(folder, { recursive: true });
  if (readdirSync(folder).length > 0)
    throw new TandemError('TANDEM_CONFIG_INVALID', { detail: `--data: ${folder} is not empty` });
  return folder;
}
