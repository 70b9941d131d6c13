/** Some nodes with their electors, one store, the links between them and a sink, all from one seed; and what can be done to them. */
import { type Logger, silentLogger } from '../../core/contracts/telemetry.ts';
import { TandemError } from '../../core/errors.ts';
import { type Random, seededRandom } from '../../core/ports/random.ts';
import { Elector } from '../elector.ts';
import type { ClusterTimers } from '../lease-timers.ts';
import { Checker } from './checker.fixture.ts';
import { KernelLeases, RELEASE_MS_MAX, type SimLeases } from './kernel-leases.fixture.ts';
import { Scheduler, SimProcess } from './scheduler.fixture.ts';
import { type DutyFaults, SimDuties, SimSink, WELL } from './sim-duties.fixture.ts';
import { SimNetwork } from './sim-network.fixture.ts';
import { TimedLeases } from './timed-leases.fixture.ts';

export type StoreKind = 'kernel' | 'timed';

export interface SimNode {
  readonly name: string;
  incarnation: number;
  process: SimProcess;
  duties: SimDuties;
  elector: Elector;
  faults: DutyFaults;
  started: Promise<void>;
  /** Silence of it, to others, was no wonder until then. */
  troubledUntilMs: number;
}

/** What a test fixes of a world; the seed says the rest. */
export interface WorldSetup {
  readonly nodes?: number;
  readonly timers?: Partial<ClusterTimers>;
  /** Nodes are alone (ElectorOptions). */
  readonly isAlone?: boolean;
}

/** Gets a line for whatever happens. */
export type Trace = (line: string) => void;

export interface SwitchoverCall {
  readonly asked: SimProcess;
  readonly dueMs: number;
  isSettled: boolean;
}

const FENCE_MS_MAX = 20;
/** A decision to end a node is older than the deed by the questions to the store, and by what is still on its way. */
const FENCE_LAG_MS = 25;
const ORPHAN_MS_MAX = 30;
const WALL_MS = 1_700_000_000_000;
/** Half of the rate error that is assumed between two clocks, each way. */
const RATE_ERROR_MAX = 0.005;
const CUT_MS_MAX = 150;

export class World {
  readonly kind: StoreKind;
  readonly random: Random;
  readonly scheduler = new Scheduler();
  readonly checker: Checker;
  readonly nodes: SimNode[] = [];
  readonly network: SimNetwork;
  readonly leases: SimLeases;
  readonly timed: TimedLeases | undefined;
  readonly timers: ClusterTimers;
  readonly switchovers: SwitchoverCall[] = [];
  readonly #trace: Trace | undefined;
  readonly #setup: WorldSetup;
  readonly #sink = new SimSink();
  /** The part of attempts to end a node that fail. */
  fenceFails = 0;
  /** How many faults want that at the moment. */
  fenceTroubles = 0;
  roleChangeMs = 0;
  /** A node that hangs with the lease when the faults are over goes on hanging: the others must end it. */
  leavesHung = false;

  constructor(kind: StoreKind, seed: number, trace?: Trace, setup: WorldSetup = {}) {
    this.kind = kind;
    this.#setup = setup;
    this.#trace = trace;
    this.random = seededRandom(seed);
    this.checker = new Checker(kind === 'kernel');
    this.network = new SimNetwork(this.scheduler, this.random, (observer, holder) => this.#fence(observer, holder));
    if (kind === 'timed') this.timed = new TimedLeases(this.scheduler, this.random, this.#rate());
    this.leases = this.timed ?? new KernelLeases(this.scheduler, this.random, this.isHit(0.3) ? 3 : 0);
    this.leavesHung = kind === 'kernel' && this.isHit(0.5);
    this.timers = {
      heartbeatTimeoutMs: 1000,
      pollMs: 250,
      ttlMs: 1500,
      renewMs: 300,
      marginMs: 300,
      minTenureMs: this.isHit(0.3) ? 500 : 0,
      takeoversMax: this.isHit(0.2) ? 1 : 1000,
      takeoverWindowMs: 60_000,
      ...setup.timers,
    };
    const count = setup.nodes ?? 2 + Math.floor(this.random.fraction() ** 2 * 3);
    for (const name of ['a', 'b', 'c', 'd'].slice(0, count)) {
      const node = { name, incarnation: 0, faults: WELL, troubledUntilMs: 0 } as SimNode;
      this.nodes.push(node);
      this.scheduler.after(this.random.fraction() * 30, undefined, () => this.start(node));
    }
  }

  isHit(probability: number): boolean {
    return this.random.fraction() < probability;
  }

  between(least: number, most: number): number {
    return least + this.random.fraction() * (most - least);
  }

  pick<T>(things: readonly T[]): T {
    return things[Math.floor(this.random.fraction() * things.length)] as T;
  }

  /** For a seed that is looked at. */
  note(what: string): void {
    this.#trace?.(`${this.scheduler.nowMs.toFixed(1)} ${what}`);
  }

  #logger(who: string): Logger {
    const write = (event: string, fields: unknown): void => this.note(`${who} ${event} ${JSON.stringify(fields)}`);
    return { debug: write, info: write, warn: write, error: write };
  }

  get living(): SimNode[] {
    return this.nodes.filter(({ process }) => process?.isAlive);
  }

  // ---------------------------------------------------------------- what can happen

  start(node: SimNode): void {
    if (node.process?.isAlive) return;
    const { name } = node;
    const { scheduler, random, checker } = this;
    const holder = `${name}/${++node.incarnation}`;
    const isLocal = this.kind === 'kernel';
    const wallMs = WALL_MS + (isLocal ? 0 : this.between(-500, 500));
    const process = new SimProcess(name, holder, scheduler, random, isLocal ? 1 : this.#rate(), wallMs);
    let elector: Elector | undefined;
    const duties = new SimDuties({
      scheduler,
      random,
      checker,
      sink: this.#sink,
      process,
      faults: () => node.faults,
      cutMsMax: CUT_MS_MAX,
      holdsUntilMs: () => elector?.holdsUntilMs ?? 0,
      onReady: () => elector?.setReadiness(true, 'warm'),
    });
    elector = new Elector({
      leases: this.leases.of(process),
      provesDeath: isLocal,
      leaseName: 'active',
      peers: this.network.join(process),
      duties,
      clock: process.clock,
      random,
      logger: this.#trace === undefined ? silentLogger : this.#logger(holder),
      self: { name, holder, adminUrl: '', version: '1' },
      timers: this.timers,
      isAlone: this.#setup.isAlone === true,
    });
    Object.assign(node, { process, duties, elector });
    let { role } = elector.facts();
    elector.onChange((facts) => {
      if (facts.role !== role) this.roleChangeMs = scheduler.nowMs;
      role = facts.role;
    });
    checker.watch(duties);
    this.note(`${holder} starts`);
    node.started = elector.start();
    node.started.catch((error) => this.note(`${holder} does not start: ${error.message}`));
  }

  kill({ process, duties }: SimNode, orphanMs: number = this.between(0, ORPHAN_MS_MAX)): void {
    if (!process?.isAlive) return;
    process.isAlive = false;
    this.note(`${process.holder} is dead`);
    duties.orphan(orphanMs);
    this.leases.died(process);
    this.network.died(process);
  }

  /** SIGSTOP of the keeper, its workers, or both. */
  stop(node: SimNode, part: 'keeper' | 'workers' | 'both'): void {
    const { process, duties } = node;
    if (!process?.isAlive) return;
    duties.wasStopped = true;
    this.note(`${process.holder} stops: ${part}`);
    if (part !== 'keeper') duties.workers.stop();
    if (part === 'workers' || process.isStopped) return;
    this.network.silent(process);
    process.stop();
  }

  goOn(node: SimNode): void {
    const { process, duties } = node;
    if (!process?.isAlive) return;
    this.note(`${process.holder} goes on`);
    duties.workers.goOn();
    if (process.isStopped) node.troubledUntilMs = this.scheduler.nowMs;
    process.goOn();
    this.network.wentOn(process);
  }

  cut(from: SimNode, to: SimNode, isNoticed: boolean): void {
    this.note(`${to.name} does not hear ${from.name}`);
    this.network.cut(from.name, to.name, isNoticed);
  }

  healLinks(): void {
    for (const node of this.nodes) if (this.#isTroubled(node)) node.troubledUntilMs = this.scheduler.nowMs;
    this.note('all hear each other');
    this.network.heal();
  }

  switchover(node: SimNode, to: string | null, timeoutMs: number): void {
    const { process, elector } = node;
    if (!process?.isAlive || process.isStopped) return;
    const call = { asked: process, dueMs: this.scheduler.nowMs + timeoutMs * 3 + 4000, isSettled: false };
    this.switchovers.push(call);
    this.note(`${process.holder} is asked for a switchover to ${to} in ${timeoutMs} ms`);
    elector.switchover(to, timeoutMs).then(
      (report) => {
        call.isSettled = true;
        this.note(`${process.holder} reports ${JSON.stringify(report)}`);
        if (report.toTerm <= report.fromTerm || (to !== null && report.to !== to) || report.to === report.from)
          this.checker.fail(5, `a switchover to ${to} reports ${JSON.stringify(report)}`);
      },
      (error: TandemError) => {
        call.isSettled = true;
        this.note(`${process.holder} reports ${error.message}`);
        if (!/SWITCHOVER_REFUSED|SWITCHOVER_ABORTED|PEER_LOST/.test(error.code))
          this.checker.fail(5, `a switchover fails with ${error.stack}`);
      },
    );
  }

  /** SIGTERM: drains, gives up the lease, ends. */
  async end(node: SimNode): Promise<void> {
    const { process, duties, elector } = node;
    if (!process?.isAlive || process.isStopped) return;
    await elector.stop(() => duties.demote(500));
    if (!process.isAlive) return;
    this.kill(node, 0);
    this.#startLater(node);
  }

  /** As a service manager does. */
  #startLater(node: SimNode): void {
    this.scheduler.after(this.between(100, 1000), undefined, () => this.start(node));
  }

  async #fence(observer: SimProcess, holder: string): Promise<void> {
    const { scheduler, checker } = this;
    const node = this.nodes.find(({ process }) => process?.holder === holder);
    const wait = (delayMs: number): Promise<void> =>
      new Promise((resolve) => void scheduler.after(delayMs, observer, resolve));
    if (node !== undefined) {
      const isHolder = this.leases.wasHolder(holder, FENCE_LAG_MS);
      const isSilent =
        this.#isTroubled(node) || scheduler.nowMs - node.troubledUntilMs < FENCE_LAG_MS + this.network.slowestMs;
      checker.fencing(observer, node.process, isHolder, isSilent);
    }
    await wait(this.between(0.5, FENCE_MS_MAX));
    if (this.isHit(this.fenceFails)) throw new TandemError('TANDEM_PEER_LOST');
    if (node === undefined || node.process.holder !== holder || !node.process.isAlive) return;
    this.kill(node, 0);
    this.#startLater(node);
    await wait(this.between(0, RELEASE_MS_MAX));
  }

  /** Whether others have reason not to hear it. */
  #isTroubled({ name, process }: SimNode): boolean {
    return process?.isStopped === true || this.network.isCut(name);
  }

  #rate(): number {
    return 1 + this.between(-RATE_ERROR_MAX, RATE_ERROR_MAX);
  }
}
