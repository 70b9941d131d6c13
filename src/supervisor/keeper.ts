/**
 * The keeper: the parent process of a node. Forks and watches the workers; while the node is active it holds the addresses, hands accepted
 * connections over, and rolls out a changed configuration. With fronts (active-active) it holds the addresses and serves all the time, and
 * only the slots come and go. Runs no user code and touches no records, so that it is small and has nothing to
 * crash of. Whether the node is active is not its decision: `activate` and `deactivate` are called by whoever holds the right.
 *
 * Promises: an address once bound refuses nobody until the node is no longer active; a slot has at most one live process; a dead worker is
 * replaced at once (within the restart budget), a hung one after heartbeatTimeoutMs; a reload changes everything or nothing; after
 * `deactivate` or `cut` nothing of this node can write.
 */
import type { Socket } from 'node:net';
import type { Health } from '../core/contracts/health.ts';
import type { Logger } from '../core/contracts/telemetry.ts';
import type { AdminRequest, DrainedLoad } from '../core/contracts/worker.ts';
import { asTandemError, TandemError } from '../core/errors.ts';
import { AddressBindings, addressKeys } from './address-bindings.ts';
import { ConnectionSpread } from './connection-spread.ts';
import { HeartbeatWatch } from './heartbeat.ts';
import type { Question } from './ipc.ts';
import { type KeeperStatus, statusOf } from './keeper-status.ts';
import { BIND_PATIENCE_MS, BIND_RETRY_MS, COMMAND_TIMEOUT_MS, HEARTBEAT_MS, type KeeperPlan } from './plan.ts';
import type { ProcessRoll } from './process-roll.ts';
import { Roster } from './roster.ts';
import type { SlotsRight } from './roster-options.ts';
import type { Generation, WorkerProcess } from './worker-process.ts';

export interface KeeperOptions {
  readonly plan: KeeperPlan;
  /** The module that a worker process runs; it calls `runWorker`. */
  readonly workerEntry: URL;
  readonly logger: Logger;
  /** Where worker processes are written down for the next keeper; absent: nowhere. */
  readonly roll?: ProcessRoll | undefined;
  /** Names of consumers that a worker which begins to serve must not run; asked for each worker. */
  readonly pausedConsumers?: () => readonly string[];
  /** Called after every change of a worker's state. */
  readonly onChange?: () => void;
}

/** What the workers said to a question to all. */
export interface SlotAnswers {
  readonly answers: readonly { readonly slot: number; readonly result: unknown }[];
  readonly failures: readonly { readonly slot: number; readonly error: TandemError }[];
}

export class Keeper {
  readonly #options: KeeperOptions;
  readonly #bindings: AddressBindings;
  readonly #spread: ConnectionSpread;
  /** Of the slots. */
  readonly #roster: Roster;
  readonly #fronts: Roster | undefined;
  #plan: KeeperPlan;
  #health: Health;
  #beats: NodeJS.Timeout | undefined;
  #rollout: Promise<void> = Promise.resolve();
  #isStopping = false;
  readonly #stopped = Promise.withResolvers<void>();
  /** Who waits for processes that may not load. */
  readonly #starts = new Set<(error: TandemError) => void>();

  constructor(options: KeeperOptions) {
    const { plan, workerEntry, logger } = options;
    this.#options = options;
    this.#plan = plan;
    this.#health = { isReady: false, role: 'standby', term: 0, reason: 'starting' };
    this.#bindings = new AddressBindings((addressKey, socket) => this.#accept(addressKey, socket));
    this.#spread = new ConnectionSpread(() => this.#takers, nowMs);
    const rosterOf = (isOfFronts: boolean): Roster =>
      new Roster({
        ...{ isOfFronts, workers: plan.workers, generation: generationOf(plan, 1), workerEntry },
        ...{ roll: options.roll, logger, nowMs },
        events: {
          health: () => this.#health,
          pausedConsumers: () => options.pausedConsumers?.() ?? [],
          onServing: () => this.#opened(),
          onUndelivered: (connections) => {
            for (const connection of connections) this.#spread.offer(connection);
          },
          onStartFailed: (error) => {
            for (const fail of this.#starts) fail(error);
          },
          onChange: () => options.onChange?.(),
        },
      });
    this.#roster = rosterOf(false);
    this.#fronts = plan.hasFronts ? rosterOf(true) : undefined;
  }

  /** Binds all addresses; connections wait until workers serve. Errors: TANDEM_LISTEN_FAILED (data.problems: all that could not be bound). */
  async bind(): Promise<void> {
    await this.#bindings.add(this.#plan.listen);
    this.#shareDatagrams();
  }

  /** Forks a process for every slot; they load and wait. Idempotent. */
  start(): void {
    if (this.#beats !== undefined) return;
    const watch = new HeartbeatWatch<WorkerProcess>(nowMs());
    this.#beats = setInterval(() => this.#killHung(watch), HEARTBEAT_MS);
    for (const roster of this.#rosters) roster.start();
  }

  /** With fronts: binds what is not bound and serves clients from here on. Resolves when every front serves. Errors: as `activate`. */
  async serveFronts(): Promise<void> {
    const fronts = this.#fronts;
    if (fronts === undefined) return;
    fronts.grantSlots({ issueTerm: () => 0 });
    fronts.serve(0);
    const isServing = (): boolean => fronts.serving.length === fronts.slots.length;
    await Promise.all([this.bind(), this.#unlessStartFails(fronts.until(() => this.#isStopping || isServing()))]);
  }

  /** Resolves when a process is ready for every slot. Errors: the first one of a process that could not load (TANDEM_HANDLER_INVALID, ...). */
  warmed(): Promise<void> {
    return this.#unlessStartFails(this.#roster.until(() => this.#isStopping || this.#roster.isWarm));
  }

  /** The slots are this node's, whoever is active: their workers open them and wait. Idempotent. */
  openSlots(right: SlotsRight): void {
    if (!this.#roster.hasRight && !this.#isStopping) this.#roster.grantSlots(right);
  }

  /**
   * The node is active from here on: binds what is not bound and gives the slots away. Resolves when every slot serves. Errors: as `bind`, the
   * first one of a worker that trying again cannot mend (TANDEM_HANDLER_INVALID, TANDEM_DATA_VERSION, ...), and TANDEM_TERM_FENCED if it is
   * cut or deactivated meanwhile; nothing serves then.
   */
  async activate(nodeTerm: number, right: SlotsRight): Promise<void> {
    const roster = this.#roster;
    this.openSlots(right);
    roster.serve(nodeTerm);
    const serving = this.#unlessStartFails(
      roster.until(() => this.#isStopping || this.#isComplete || !roster.mayServe),
    );
    const binding = this.#fronts === undefined ? this.#bindPatiently() : undefined;
    const [bound, served] = await Promise.allSettled([binding, serving]);
    const failed = bound.status === 'rejected' ? bound : served.status === 'rejected' ? served : undefined;
    if (failed === undefined && (roster.mayServe || this.#isStopping)) return;
    await this.cut('the node could not become active');
    throw failed?.reason ?? new TandemError('TANDEM_TERM_FENCED');
  }

  /** The node is no longer active: refuses new connections, then finishes and answers what is in hand. Resolves when no slot has a process. */
  async deactivate(drainTimeoutMs: number): Promise<DrainedLoad> {
    const workers = this.#roster.started;
    if (this.#fronts === undefined) this.#closeAddresses();
    await this.#roster.drainSlots(drainTimeoutMs);
    const sum = (field: keyof DrainedLoad): number =>
      workers.reduce((total, { drainedLoad }) => total + drainedLoad[field], 0);
    return { records: sum('records'), clients: sum('clients') };
  }

  /** As `deactivate`, by force and at once. */
  async cut(reason: string): Promise<void> {
    if (this.#fronts === undefined) this.#closeAddresses();
    await this.#roster.killSlots(reason);
  }

  /**
   * Goes over to a new plan, slot by slot; nobody is refused. Resolves when all workers run it. Before anything changes, new addresses are
   * bound and one worker has loaded the new config. Errors (nothing has changed): TANDEM_LISTEN_FAILED, TANDEM_CONFIG_INVALID (needs a
   * restart), and what the worker could not load.
   */
  reload(plan: KeeperPlan): Promise<void> {
    const rollout = this.#rollout.then(() => this.#rollOut(plan));
    this.#rollout = rollout.catch(() => {});
    return rollout;
  }

  /** Refuses new connections, drains all workers. Resolves when no process is left. Idempotent. */
  async stop(): Promise<void> {
    if (!this.#isStopping) {
      this.#isStopping = true;
      this.#stopped.resolve();
      this.#options.onChange?.();
      this.#closeAddresses();
    }
    // Fronts first: what they have in hand, the slots answer.
    await this.#fronts?.end(this.#plan.workers.drainTimeoutMs);
    await this.#roster.end(this.#plan.workers.drainTimeoutMs);
    clearInterval(this.#beats);
  }

  /** Resolves when it has been told to stop. */
  get stopped(): Promise<void> {
    return this.#stopped.promise;
  }

  /** SIGKILLs all workers. Data is safe: that is what a crash does. */
  stopNow(reason: string): void {
    this.#isStopping = true;
    this.#stopped.resolve();
    this.#closeAddresses();
    clearInterval(this.#beats);
    for (const roster of this.#rosters) roster.killAll(reason);
  }

  /** Told to every worker, now and when it begins to serve. */
  setHealth(health: Health): void {
    this.#health = health;
    for (const roster of this.#rosters) for (const worker of roster.serving) worker.tellHealth(health);
  }

  /** Asks every worker that serves a slot. Never rejects. */
  ask(question: Question): Promise<SlotAnswers> {
    const { serving, open } = this.#roster;
    return answersOf(question.about === 'metrics' ? open : serving, (worker) => worker.ask(question));
  }

  /** Asks every front. Never rejects. */
  askFronts(question: Question): Promise<SlotAnswers> {
    return answersOf(this.#fronts?.serving ?? [], (worker) => worker.ask(question));
  }

  /**
   * Commands every worker that may be working: one that is still being built obeys once it is, one on its way out before it goes. What a worker
   * did not answer that has exited is left out: there is nothing left of it that could disobey. Never rejects.
   */
  async commandAll(request: AdminRequest): Promise<SlotAnswers> {
    const workers = this.#roster.started;
    const answers = await answersOf(workers, (worker) => worker.ask({ about: 'admin', request }, COMMAND_TIMEOUT_MS));
    const hasExited = (slot: number): boolean =>
      workers.find(({ slotIndex }) => slotIndex === slot)?.isStarted === false;
    return { ...answers, failures: answers.failures.filter(({ slot }) => !hasExited(slot)) };
  }

  /** Commands the worker that serves the slot now. Errors: TANDEM_WORKER_LOST (none does, it died, or no answer in time) and what it rejects with. */
  async command(slot: number, request: AdminRequest): Promise<unknown> {
    const worker = this.#roster.serving.find(({ slotIndex }) => slotIndex === slot);
    if (worker === undefined) throw new TandemError('TANDEM_WORKER_LOST', { detail: 'it does not serve now' });
    return worker.ask({ about: 'admin', request }, COMMAND_TIMEOUT_MS);
  }

  /** Of the plan in force: that of the start or of the latest reload. */
  get config(): unknown {
    return this.#plan.config;
  }

  get status(): KeeperStatus {
    const { accepted, waiting, refused } = this.#spread;
    return {
      slots: this.#roster.slots.map(statusOf),
      fronts: this.#fronts?.slots.map(statusOf) ?? [],
      sparePids: this.#rosters.flatMap(({ spares }) => spares.map(({ pid }) => pid)),
      listeners: this.#bindings.all.map(({ address: { url, host }, port }) => ({ url, host, port })),
      connections: { accepted, waiting, refused },
      generation: this.#roster.generation.number,
      isStopping: this.#isStopping,
      isActive: this.#roster.mayServe,
      isWarm: this.#roster.isWarm,
    };
  }

  get #rosters(): readonly Roster[] {
    return this.#fronts === undefined ? [this.#roster] : [this.#roster, this.#fronts];
  }

  /** Who serves clients. */
  get #takers(): readonly WorkerProcess[] {
    return (this.#fronts ?? this.#roster).serving;
  }

  get #isComplete(): boolean {
    return this.#roster.serving.length === this.#roster.slots.length;
  }

  /** Whoever was active before may have left its addresses a moment ago. */
  async #bindPatiently(): Promise<void> {
    const deadlineMs = nowMs() + BIND_PATIENCE_MS;
    // Workers first: they have more to do.
    await new Promise((resolve) => setImmediate(resolve));
    for (;;) {
      try {
        return await this.bind();
      } catch (error) {
        if (nowMs() > deadlineMs || !this.#roster.mayServe) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, BIND_RETRY_MS));
    }
  }

  #closeAddresses(): void {
    this.#bindings.closeAll();
    this.#spread.drop();
  }

  async #unlessStartFails(done: Promise<void>): Promise<void> {
    const failed = Promise.withResolvers<never>();
    this.#starts.add(failed.reject);
    try {
      await Promise.race([done, failed.promise]);
    } finally {
      this.#starts.delete(failed.reject);
    }
  }

  #accept(addressKey: string, socket: Socket): void {
    this.#spread.accept({ addressKey, socket });
  }

  #opened(): void {
    this.#shareDatagrams();
    this.#spread.offerWaiting();
  }

  /** Each socket once with each worker that serves clients, whichever of the two came first. */
  #shareDatagrams(): void {
    for (const worker of this.#takers) for (const binding of this.#bindings.all) worker.share(binding);
  }

  #killHung(watch: HeartbeatWatch<WorkerProcess>): void {
    const processes = this.#rosters.flatMap((roster) => roster.processes);
    for (const worker of watch.check(nowMs(), processes)) {
      const silentMs = Math.round(nowMs() - worker.lastBeatMs);
      this.#options.logger.error('worker_hung', { slot: worker.slotIndex, pid: worker.pid, silentMs });
      worker.kill('no heartbeat');
    }
  }

  async #rollOut(plan: KeeperPlan): Promise<void> {
    if (this.#isStopping) throw new TandemError('TANDEM_DRAINING');
    if (plan.workers.count !== this.#roster.slots.length)
      throw new TandemError('TANDEM_CONFIG_INVALID', { detail: 'workers: another number of workers needs a restart' });
    const isServing = (this.#fronts ?? this.#roster).mayServe;
    const added = isServing ? await this.#bindings.add(plan.listen) : [];
    const generation = generationOf(plan, this.#roster.generation.number + 1);
    const trials: WorkerProcess[] = [];
    try {
      for (const roster of this.#rosters) trials.push(await roster.tryGeneration(generation));
    } catch (error) {
      this.#bindings.remove(added);
      throw error;
    }
    this.#plan = plan;
    for (const [i, roster] of this.#rosters.entries()) roster.adopt(trials[i] as WorkerProcess);
    this.#closeUnlisted(plan);
    for (const roster of this.#rosters) await this.#replaceAll(roster, plan.workers.drainTimeoutMs);
  }

  async #replaceAll(roster: Roster, drainTimeoutMs: number): Promise<void> {
    for (const slot of roster.hasRight ? roster.slots : []) {
      await roster.replace(slot, drainTimeoutMs);
      if (this.#isStopping) throw new TandemError('TANDEM_DRAINING');
      this.#options.logger.info('slot_replaced', { slot: slot.index, generation: roster.generation.number });
    }
  }

  #closeUnlisted(plan: KeeperPlan): void {
    const kept = new Set(addressKeys(plan.listen));
    const removed = this.#bindings.all.map(({ key }) => key).filter((key) => !kept.has(key));
    this.#bindings.remove(removed);
    for (const key of removed) this.#spread.drop(key);
  }
}

const nowMs = (): number => performance.now();

async function answersOf(
  workers: readonly WorkerProcess[],
  ask: (worker: WorkerProcess) => Promise<unknown>,
): Promise<SlotAnswers> {
  const results = await Promise.allSettled(workers.map(ask));
  const slotOf = (i: number): number => (workers[i] as WorkerProcess).slotIndex;
  return {
    answers: results.flatMap((result, i) =>
      result.status === 'fulfilled' ? [{ slot: slotOf(i), result: result.value }] : [],
    ),
    failures: results.flatMap((result, i) =>
      result.status === 'rejected' ? [{ slot: slotOf(i), error: asTandemError(result.reason) }] : [],
    ),
  };
}

function generationOf(plan: KeeperPlan, number: number): Generation {
  const listenerIndexes = new Map(addressKeys(plan.listen).map((key, index) => [key, index]));
  return { number, config: plan.config, heartbeatTimeoutMs: plan.workers.heartbeatTimeoutMs, listenerIndexes };
}
