/**
 * Which process has which slot. Processes are forked without a slot, load, and then take a vacant slot or wait: all of them while the node
 * stands by, one spare while it is active. So a slot whose worker dies is filled within milliseconds, a whole node's as well. Where slots are
 * the node's own, whoever is active, it has them all the time, and only may not serve while it stands by.
 *
 * Invariants: slots are given away only under the node's right to be active; each only after its earlier process was reaped; each grant
 * carries a term above all earlier ones; no slot serves before every slot has recovered once under the same right (the start barrier).
 */
import type { LogFields } from '../core/contracts/telemetry.ts';
import { TandemError } from '../core/errors.ts';
import { REWARM_DELAY_MS, SPARE_DELAY_MS } from './plan.ts';
import { RestartBudget } from './restart-budget.ts';
import type { RosterOptions, SlotsRight } from './roster-options.ts';
import { type Generation, WorkerProcess } from './worker-process.ts';

export interface Slot {
  readonly index: number;
  worker: WorkerProcess | undefined;
  /** Of the current or latest process. */
  term: number;
  restarts: number;
  /** Unix ms of the latest change of state. */
  sinceMs: number;
  /** Monotonic ms; back-off. */
  vacantUntilMs: number;
  readonly budget: RestartBudget;
}

const HINT_CRASHES = 'workers crash again and again: see worker_failed and worker_died above for the reason';
const HINT_START = 'the worker died before it could serve: see worker_failed above for the reason';

interface Waiter {
  readonly holds: () => boolean;
  readonly resolve: () => void;
}

export class Roster {
  readonly slots: readonly Slot[];
  #generation: Generation;
  readonly #options: RosterOptions;
  /** Of processes that die before they have a slot. */
  readonly #loadBudget: RestartBudget;
  /** Processes without a slot. */
  readonly #pool = new Set<WorkerProcess>();
  /** Processes of another generation: on trial or on their way out. */
  readonly #others = new Set<WorkerProcess>();
  #hasLoadFailed = false;
  #right: SlotsRight | undefined;
  /** Under which the slots may serve. */
  #nodeTerm: number | undefined;
  #isBarrierPassed = false;
  #isEnding = false;
  #forkNotBeforeMs = 0;
  #spareNotBeforeMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #waiters: Waiter[] = [];

  constructor(options: RosterOptions) {
    this.#options = options;
    this.#generation = options.generation;
    this.#loadBudget = new RestartBudget(options.workers);
    this.slots = Array.from({ length: options.workers.count }, (_, index) => {
      const budget = new RestartBudget(options.workers);
      return { index, worker: undefined, term: 0, restarts: 0, sinceMs: Date.now(), vacantUntilMs: 0, budget };
    });
  }

  get generation(): Generation {
    return this.#generation;
  }
  /** All processes that live. */
  get processes(): readonly WorkerProcess[] {
    return [...this.slots.flatMap(({ worker }) => worker ?? []), ...this.#pool, ...this.#others];
  }
  get serving(): readonly WorkerProcess[] {
    return this.slots.flatMap(({ worker }) => (worker?.state === 'serving' ? [worker] : []));
  }
  /** Those that serve, and those that are about to or stand by. */
  get open(): readonly WorkerProcess[] {
    return this.slots.flatMap((slot) => (slot.worker !== undefined && isOpen(slot) ? [slot.worker] : []));
  }
  /** Of all slots' workers those that may be working: serving, about to, or draining. */
  get started(): readonly WorkerProcess[] {
    return this.slots.flatMap(({ worker }) => (worker?.isStarted === true ? [worker] : []));
  }
  get spares(): readonly WorkerProcess[] {
    return [...this.#pool];
  }
  /** A process is ready for every slot, or has it. */
  get isWarm(): boolean {
    const ready = [...this.#pool].filter((spare) => spare.isReadyFor(this.#options.nowMs())).length;
    const isOpening = this.slots.some((slot) => slot.worker !== undefined && !isOpen(slot));
    return !isOpening && ready >= this.slots.filter(({ worker }) => worker === undefined).length;
  }
  get hasRight(): boolean {
    return this.#right !== undefined;
  }
  /** The slots' workers serve, or will. */
  get mayServe(): boolean {
    return this.#right !== undefined && this.#nodeTerm !== undefined;
  }

  /** Forks a process for every slot. They wait for `grantSlots`. */
  start(): void {
    this.#staff();
  }

  /** The slots are the node's: given to the processes that are loaded, and to others once they are. They serve once `serve` was called too. */
  grantSlots(right: SlotsRight): void {
    this.#right = right;
    this.#isBarrierPassed = false;
    for (const slot of this.slots) slot.vacantUntilMs = 0;
    this.#staff();
  }

  /** The node is active under this term (0: they are fronts). */
  serve(nodeTerm: number): void {
    this.#nodeTerm = nodeTerm;
    this.#passBarrier();
  }

  /** The node is no longer active: drains the slots' workers at once; resolves when none is left. Its other processes stay. */
  async drainSlots(deadlineMs: number): Promise<void> {
    this.#giveUpRight();
    const workers = this.slots.flatMap(({ worker }) => worker ?? []);
    await this.#drainTogether(workers, deadlineMs, 0);
    await this.until(() => this.slots.every(({ worker }) => worker === undefined));
  }

  /** As `drainSlots`, by force. */
  async killSlots(reason: string): Promise<void> {
    this.#giveUpRight();
    for (const { worker } of this.slots) worker?.kill(reason);
    await this.until(() => this.slots.every(({ worker }) => worker === undefined));
  }

  /** They have asked each other for what they have in hand: none closes before all are drained. Resolves when all are told to close. */
  async #drainTogether(workers: readonly WorkerProcess[], deadlineMs: number, quietMs?: number): Promise<void> {
    for (const worker of workers)
      worker.drain(deadlineMs, { ...(quietMs === undefined ? {} : { quietMs }), staysOpen: true });
    await this.until(() => workers.every(({ isDrained, state }) => isDrained || state === 'exited'));
    for (const worker of workers) worker.close();
  }

  /** New processes would take the machine from whoever takes over now. */
  #giveUpRight(): void {
    this.#right = undefined;
    this.#nodeTerm = undefined;
    this.#forkNotBeforeMs = this.#options.nowMs() + REWARM_DELAY_MS;
  }

  /** Resolves when `holds` does; asked after each change of state. */
  until(holds: () => boolean): Promise<void> {
    if (holds()) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push({ holds, resolve }));
  }

  /** Forks a process of another generation to see whether it loads: `adopt` it or `dismiss` it. Rejects with what is wrong. */
  async tryGeneration(generation: Generation): Promise<WorkerProcess> {
    const trial = this.#fork(generation, this.#others);
    await this.until(() => trial.state !== 'loading');
    if (trial.state !== 'loaded') throw trial.failure ?? new TandemError('TANDEM_WORKER_LOST');
    return trial;
  }

  /** From now on processes are of the trial's generation. Slots keep their workers: see `replace`. */
  adopt(trial: WorkerProcess): void {
    this.#generation = trial.generation;
    for (const worker of [...this.#pool]) this.dismiss(worker);
    this.#others.delete(trial);
    this.#pool.add(trial);
    this.#staff();
  }

  dismiss(worker: WorkerProcess): void {
    this.#pool.delete(worker);
    this.#others.add(worker);
    worker.drain(0);
  }

  /** Moves a slot to a process of the current generation: waits for a spare, drains the old one, resolves when the new one serves. */
  async replace(slot: Slot, drainTimeoutMs: number): Promise<void> {
    const isCurrent = (worker: WorkerProcess | undefined): boolean => worker?.generation === this.#generation;
    const hasSpare = (): boolean => [...this.#pool].some((worker) => worker.state === 'loaded' && isCurrent(worker));
    const isOver = (): boolean => this.#isEnding || !this.hasRight;
    await this.until(() => isOver() || isCurrent(slot.worker) || hasSpare());
    if (isOver()) return;
    if (!isCurrent(slot.worker)) slot.worker?.drain(drainTimeoutMs);
    const isInPlace = (): boolean => (this.mayServe ? slot.worker?.state === 'serving' : isOpen(slot));
    await this.until(() => isOver() || (isInPlace() && isCurrent(slot.worker)));
  }

  /** Drains all workers at once; resolves when no process is left. */
  async end(drainTimeoutMs: number): Promise<void> {
    this.#isEnding = true;
    clearTimeout(this.#timer);
    void this.#drainTogether(this.processes, drainTimeoutMs);
    this.#changed();
    await this.until(() => this.processes.length === 0);
  }

  killAll(reason: string): void {
    this.#isEnding = true;
    clearTimeout(this.#timer);
    for (const worker of this.processes) worker.kill(reason);
  }

  /** Fills vacant slots, then keeps the pool large enough: one process per vacant slot, and one spare once the node serves. */
  #staff(): void {
    if (this.#isEnding) return;
    const nowMs = this.#options.nowMs();
    const vacant = this.slots.filter(({ worker }) => worker === undefined);
    const right = this.#right;
    const fillable = right === undefined ? [] : vacant.filter(({ vacantUntilMs }) => vacantUntilMs <= nowMs);
    for (const slot of fillable) {
      const worker = [...this.#pool].find((spare) => spare.isReadyFor(nowMs));
      if (worker !== undefined) this.#grant(slot, worker, right as SlotsRight);
    }
    const left = this.slots.filter(({ worker }) => worker === undefined);
    // Loading takes a core for a while: the spare is forked when no slot waits for one or opens, and clients have come back.
    const isSettled = this.slots.every(({ worker }) => worker?.hadServed === true);
    const promising = [...this.#pool].filter((spare) => spare.isPromising(nowMs)).length;
    const isCalm = this.#isBarrierPassed && isSettled && this.#spareNotBeforeMs <= nowMs;
    const hasSpare = !this.#options.isOfFronts && isCalm;
    const missing = left.length + (hasSpare ? 1 : 0) - promising;
    // After a failed load one at a time, until one has loaded; those that had loaded before do not count.
    const isLoading = [...this.#pool].some(({ state }) => state === 'loading');
    const forks = this.#hasLoadFailed ? Math.min(missing, isLoading ? 0 : 1) : missing;
    if (this.#forkNotBeforeMs <= nowMs) for (let i = 0; i < forks; i++) this.#fork(this.#generation, this.#pool);
    this.#wakeAt(
      [this.#forkNotBeforeMs, this.#spareNotBeforeMs, ...left.map(({ vacantUntilMs }) => vacantUntilMs)],
      nowMs,
    );
    this.#changed();
  }

  #wakeAt(timesMs: readonly number[], nowMs: number): void {
    clearTimeout(this.#timer);
    const next = Math.min(...timesMs.filter((timeMs) => timeMs > nowMs));
    if (Number.isFinite(next)) this.#timer = setTimeout(() => this.#staff(), Math.ceil(next - nowMs));
  }

  #fork(generation: Generation, into: Set<WorkerProcess>): WorkerProcess {
    const { workerEntry, nowMs, logger } = this.#options;
    const worker = new WorkerProcess({
      generation,
      entry: workerEntry,
      nowMs,
      events: {
        onState: (changed) => this.#advance(changed),
        onExit: (dead, cause) => this.#lost(dead, cause),
        onUndelivered: (connections) => this.#options.events.onUndelivered(connections),
      },
    });
    into.add(worker);
    try {
      this.#options.roll?.add(worker.pid);
    } catch (error) {
      // Nobody could end it if this keeper died: it gets no slot.
      logger.error('worker_not_written_down', { pid: worker.pid, problem: String(error) });
      worker.kill('it could not be written down');
    }
    logger.debug('worker_forked', { pid: worker.pid, generation: generation.number });
    return worker;
  }

  #grant(slot: Slot, worker: WorkerProcess, { issueTerm }: SlotsRight): void {
    this.#pool.delete(worker);
    slot.worker = worker;
    slot.sinceMs = Date.now();
    const assign = (term: number): void => {
      if (slot.worker !== worker || worker.state !== 'loaded') return;
      slot.term = term;
      const { isOfFronts: isFront } = this.#options;
      worker.assign({ isFront, slot: slot.index, slots: this.slots.length, slotTerm: term });
    };
    void Promise.resolve()
      .then(issueTerm)
      .then(assign, (error: unknown) => {
        this.#options.logger.error('term_not_issued', { slot: slot.index, problem: String(error) });
        worker.kill('no term could be issued for it');
      });
  }

  #advance(worker: WorkerProcess): void {
    const slot = this.slots.find((candidate) => candidate.worker === worker);
    if (slot !== undefined) slot.sinceMs = Date.now();
    if (worker.state === 'loaded') {
      this.#hasLoadFailed = false;
      this.#staff();
    }
    if (worker.state === 'recovered' && this.#right !== undefined) this.#passBarrier();
    if (worker.state === 'serving') this.#served(worker);
    this.#changed();
  }

  #passBarrier(): void {
    const nodeTerm = this.#nodeTerm;
    if (nodeTerm === undefined || (!this.#isBarrierPassed && !this.slots.every(isOpen))) return;
    if (!this.#isBarrierPassed) this.#spareNotBeforeMs = this.#options.nowMs() + SPARE_DELAY_MS;
    this.#isBarrierPassed = true;
    const { events } = this.#options;
    // Once: a worker that is being built is still `recovered` when the next one recovers.
    for (const { worker } of this.slots)
      if (worker?.state === 'recovered' && !worker.isStarted)
        worker.serve(nodeTerm, events.health(), events.pausedConsumers());
  }

  #served(worker: WorkerProcess): void {
    this.#loadBudget.served();
    this.slots[worker.slotIndex]?.budget.served();
    const { logger, events } = this.#options;
    logger.info('worker_serving', {
      slot: worker.slotIndex,
      pid: worker.pid,
      term: worker.slot?.slotTerm,
      recoveryMs: worker.spentMs('opening', 'recovered'),
      buildMs: worker.spentMs('recovered', 'serving'),
    });
    events.onServing(worker);
    this.#staff();
  }

  #lost(worker: WorkerProcess, cause: LogFields): void {
    this.#options.roll?.remove(worker.pid);
    const slot = this.slots.find((candidate) => candidate.worker === worker);
    const wasInPool = this.#pool.delete(worker);
    this.#others.delete(worker);
    // Without the right the slots' workers go, one way or the other.
    const isExpected = cause['isExpected'] === true || this.#isEnding || (slot !== undefined && !this.hasRight);
    if (slot !== undefined) {
      slot.worker = undefined;
      slot.sinceMs = Date.now();
      if (!isExpected) slot.restarts++;
    }
    const { logger } = this.#options;
    const facts = { slot: slot?.index ?? 'spare', pid: worker.pid, term: worker.slot?.slotTerm, ...cause };
    if (isExpected) logger.info('worker_exited', facts);
    else {
      logger.error('worker_died', facts);
      if (slot !== undefined || wasInPool) this.#backOff(worker, slot);
      this.#judgeStart(worker);
    }
    this.#staff();
    this.#changed();
  }

  /** What does not load, or cannot be mended by trying again, ends the start of a node; later it is only logged. */
  #judgeStart({ failure, slot }: WorkerProcess): void {
    if (this.#isBarrierPassed || failure === undefined) return;
    if (slot === undefined || !failure.retryable) this.#options.events.onStartFailed(failure);
  }

  #backOff(worker: WorkerProcess, slot: Slot | undefined): void {
    const nowMs = this.#options.nowMs();
    const budget = slot?.budget ?? this.#loadBudget;
    const delayMs = budget.died(nowMs, worker.hadServed);
    if (slot !== undefined) slot.vacantUntilMs = nowMs + delayMs;
    else {
      this.#forkNotBeforeMs = nowMs + delayMs;
      this.#hasLoadFailed = true;
    }
    if (delayMs > 0)
      this.#options.logger.error('restart_delayed', {
        slot: slot?.index ?? 'spare',
        delayMs,
        hint: budget.isExceeded ? HINT_CRASHES : HINT_START,
      });
  }

  #changed(): void {
    const ready = this.#waiters.filter(({ holds }) => holds());
    this.#waiters = this.#waiters.filter((waiter) => !ready.includes(waiter));
    for (const { resolve } of ready) resolve();
    this.#options.events.onChange();
  }
}

/** Its worker has recovered it. */
const isOpen = ({ worker }: Slot): boolean => worker?.state === 'recovered' || worker?.state === 'serving';
