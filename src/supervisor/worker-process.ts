/**
 * The keeper's view of one worker process, from fork to exit. States: loading -> loaded (may be a spare) -> opening -> recovered ->
 * serving -> draining -> exited; a process goes forward only and never gets a second slot.
 *
 * Connections in transit: a socket stays open here until the worker confirms it (`took`), which it does before it reads a byte. Those
 * that a dead worker has not confirmed are returned once its channel is read to the end, and nothing of them is lost.
 */
import { type ChildProcess, fork, type SendHandle } from 'node:child_process';
import type { Health } from '../core/contracts/health.ts';
import type { LogFields } from '../core/contracts/telemetry.ts';
import type { DrainedLoad, WorkerSlot } from '../core/contracts/worker.ts';
import { TandemError } from '../core/errors.ts';
import type { Binding } from './address-bindings.ts';
import type { AcceptedConnection, ConnectionTaker } from './connection-spread.ts';
import type { Heart } from './heartbeat.ts';
import type { ConnectionCount, Question, ToKeeper, ToWorker, WorkerAnswer } from './ipc.ts';
import {
  ANSWER_TIMEOUT_MS,
  DRAIN_GRACE_MS,
  DRAIN_QUIET_MS,
  LOADING_SILENCE_FACTOR,
  OPENING_SILENCE_FACTOR,
  SUSPECT_MS,
  YOUNG_GENERATION_MB,
} from './plan.ts';

export type WorkerState = 'loading' | 'loaded' | 'opening' | 'recovered' | 'serving' | 'draining' | 'exited';

const SILENCE_FACTORS: { readonly [state in WorkerState]?: number } = {
  loading: LOADING_SILENCE_FACTOR,
  opening: OPENING_SILENCE_FACTOR,
  recovered: OPENING_SILENCE_FACTOR,
  draining: OPENING_SILENCE_FACTOR,
};

/** One configuration and what it means for its workers. */
export interface Generation {
  readonly number: number;
  readonly config: unknown;
  readonly heartbeatTimeoutMs: number;
  /** Index in this generation's `listen`, by address key. */
  readonly listenerIndexes: ReadonlyMap<string, number>;
}

export interface WorkerProcessOptions {
  readonly generation: Generation;
  /** The module that runs the worker. */
  readonly entry: URL;
  readonly nowMs: () => number;
  readonly events: WorkerEvents;
}

export interface WorkerEvents {
  onState(worker: WorkerProcess): void;
  /** The process is gone (reaped). `cause` is for the log. */
  onExit(worker: WorkerProcess, cause: LogFields): void;
  /** Connections that the dead worker never took. */
  onUndelivered(connections: readonly AcceptedConnection[]): void;
}

interface PendingQuestion {
  readonly settle: (answer: WorkerAnswer) => void;
  readonly timer: NodeJS.Timeout;
}

/** Unless the user has chosen. */
function youngGeneration(): string[] {
  const flags = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].join(' ').replaceAll('_', '-');
  return flags.includes('--max-semi-space-size') ? [] : [`--max-semi-space-size=${YOUNG_GENERATION_MB}`];
}

export class WorkerProcess implements Heart, ConnectionTaker {
  state: WorkerState = 'loading';
  slot: WorkerSlot | undefined;
  hadServed = false;
  /** It has answered all that it had in hand. */
  isDrained = false;
  /** What it had in hand when it began to drain. */
  drainedLoad: DrainedLoad = { records: 0, clients: 0 };
  /** As its latest beat said. */
  storeProblem: string | undefined;
  /** As its latest beat said. */
  pressure = 0;
  lastBeatMs: number;
  readonly generation: Generation;
  readonly #options: WorkerProcessOptions;
  readonly #child: ChildProcess;
  readonly #enteredMs = new Map<WorkerState, number>();
  #connections = 0;
  #taken = 0;
  #given = 0;
  #inTransit = new Map<number, AcceptedConnection>();
  #isStarted = false;
  readonly #shared = new Set<Binding>();
  #questions = new Map<number, PendingQuestion>();
  #questionCount = 0;
  #failure: TandemError | undefined;
  #killReason: string | undefined;
  #drainTimer: NodeJS.Timeout | undefined;
  #staysOpen = false;

  constructor(options: WorkerProcessOptions) {
    this.#options = options;
    this.generation = options.generation;
    this.lastBeatMs = options.nowMs();
    const execArgv = [...process.execArgv.filter((flag) => !flag.startsWith('--inspect')), ...youngGeneration()];
    const child = fork(options.entry, [], { serialization: 'advanced', execPath: process.execPath, execArgv });
    this.#child = child;
    child.on('message', (message) => this.#receive(message as ToKeeper));
    child.on('exit', (code, signal) => this.#exited({ code, signal }));
    child.on('disconnect', () => this.#returnUndelivered());
    // Without a pid the fork itself failed; otherwise a send met a dying process and 'exit' follows.
    child.on('error', (error) => {
      if (child.pid === undefined) this.#exited({ error: error.message });
    });
    this.#send({ kind: 'preload', config: options.generation.config });
  }

  /** It was told to serve and has not exited: it may be working, even if it is not known to serve yet or is on its way out. */
  get isStarted(): boolean {
    return this.#isStarted && this.state !== 'exited';
  }
  get pid(): number {
    return this.#child.pid ?? 0;
  }
  get slotIndex(): number {
    return this.slot?.slot ?? -1;
  }
  get connections(): number {
    return this.#connections;
  }
  get load(): number {
    return this.#connections + this.#given - this.#taken;
  }
  get isExpectedToExit(): boolean {
    return this.state === 'draining';
  }
  /** What it died of, if it had the time to say. */
  get failure(): TandemError | undefined {
    return this.#failure;
  }
  /** From entering one state to entering a later one. */
  spentMs(from: WorkerState, to: WorkerState): number {
    return Math.round((this.#enteredMs.get(to) ?? 0) - (this.#enteredMs.get(from) ?? 0));
  }
  get silenceMsMax(): number {
    const { heartbeatTimeoutMs } = this.generation;
    return heartbeatTimeoutMs * (SILENCE_FACTORS[this.state] ?? 1);
  }
  /** It has no slot, is loaded, and was alive a moment ago: a slot may be given to it. */
  isReadyFor(nowMs: number): boolean {
    return this.state === 'loaded' && nowMs - this.lastBeatMs < SUSPECT_MS;
  }
  /** It has no slot and no sign of trouble. */
  isPromising(nowMs: number): boolean {
    return this.state === 'loading' || this.isReadyFor(nowMs);
  }

  listenerIndex(addressKey: string): number | undefined {
    return this.generation.listenerIndexes.get(addressKey);
  }

  assign(slot: WorkerSlot): void {
    this.slot = slot;
    this.#enter('opening');
    this.#send({ kind: 'assign', slot });
  }

  serve(nodeTerm: number, health: Health, pausedConsumers: readonly string[]): void {
    this.#isStarted = true;
    this.#send({ kind: 'health', health });
    this.#send({ kind: 'serve', nodeTerm, pausedConsumers });
  }

  tellHealth(health: Health): void {
    this.#send({ kind: 'health', health });
  }

  give(connection: AcceptedConnection, listener: number): void {
    const id = ++this.#given;
    this.#inTransit.set(id, connection);
    this.#send({ kind: 'connection', id, listener }, connection.socket);
  }

  /** Each binding once. */
  share(binding: Binding): void {
    const listener = this.listenerIndex(binding.key);
    if (listener === undefined || binding.datagrams === undefined || this.#shared.has(binding)) return;
    this.#shared.add(binding);
    this.#send({ kind: 'datagrams', listener }, binding.datagrams);
  }

  /** Errors: TANDEM_WORKER_LOST (died or no answer in time) and what the worker rejects with. */
  ask(question: Question, timeoutMs = ANSWER_TIMEOUT_MS): Promise<unknown> {
    const id = ++this.#questionCount;
    return new Promise((resolve, reject) => {
      const settle = (answer: WorkerAnswer): void => {
        clearTimeout(timer);
        this.#questions.delete(id);
        if ('result' in answer) resolve(answer.result);
        else reject(new TandemError(answer.error.code, answer.error));
      };
      const lost = { code: 'TANDEM_WORKER_LOST', detail: `no answer within ${timeoutMs} ms` } as const;
      const timer = setTimeout(() => settle({ error: lost }), timeoutMs);
      this.#questions.set(id, { settle, timer });
      this.#send({ kind: 'ask', id, question });
    });
  }

  /**
   * Finishes what is in hand and exits; killed shortly after the deadline. `quietMs`: it takes what arrives for so long before.
   * `staysOpen`: once it `isDrained` it waits for `close`, so that other workers that drain can still use what it owns.
   */
  drain(deadlineMs: number, options: { readonly quietMs?: number; readonly staysOpen?: boolean } = {}): void {
    const { quietMs = this.state === 'serving' ? DRAIN_QUIET_MS : 0, staysOpen = false } = options;
    if (this.state === 'draining' || this.state === 'exited') return;
    const isEmpty = this.slot === undefined;
    this.#staysOpen = staysOpen;
    this.#enter('draining');
    if (isEmpty) {
      this.kill('not needed');
      return;
    }
    this.#drainTimer = setTimeout(() => {
      this.#send({ kind: 'drain', deadlineMs });
      this.#drainTimer = setTimeout(() => this.kill('did not drain in time'), deadlineMs + DRAIN_GRACE_MS);
    }, quietMs);
  }

  /** After it `isDrained`. */
  close(): void {
    this.#send({ kind: 'close' });
  }

  kill(reason: string): void {
    this.#killReason ??= reason;
    this.#child.kill('SIGKILL');
  }

  #send(message: ToWorker, handle?: SendHandle): void {
    if (!this.#child.connected) return;
    // A failed send means that the process is dying: its exit settles everything.
    this.#child.send(message, handle, { keepOpen: true }, () => {});
  }

  #receive(message: ToKeeper): void {
    this.lastBeatMs = this.#options.nowMs();
    switch (message.kind) {
      case 'loaded':
      case 'recovered':
      case 'serving':
        if (this.state !== 'draining') this.#enter(message.kind);
        return;
      case 'beat':
        this.#count(message);
        this.storeProblem = message.storeProblem;
        this.pressure = message.pressure;
        return;
      case 'took':
        this.#count(message);
        this.#inTransit.get(message.id)?.socket.destroy();
        this.#inTransit.delete(message.id);
        return;
      case 'answer':
        this.#questions.get(message.id)?.settle(message.answer);
        return;
      case 'draining':
        this.drainedLoad = message.load;
        return;
      case 'drained':
        this.isDrained = true;
        if (!this.#staysOpen) this.close();
        this.#options.events.onState(this);
        return;
      case 'failed':
        this.#failure = new TandemError(message.code, message);
    }
  }

  #count({ connections, taken }: ConnectionCount): void {
    this.#connections = connections;
    this.#taken = taken;
  }

  #enter(state: WorkerState): void {
    this.state = state;
    this.#enteredMs.set(state, this.#options.nowMs());
    if (state === 'serving') this.hadServed = true;
    this.#options.events.onState(this);
  }

  #exited(cause: LogFields): void {
    if (this.state === 'exited') return;
    const isExpected = this.isExpectedToExit;
    this.state = 'exited';
    clearTimeout(this.#drainTimer);
    const lost = { code: 'TANDEM_WORKER_LOST', detail: 'it exited' } as const;
    for (const { settle } of [...this.#questions.values()]) settle({ error: lost });
    const reasons = {
      ...(this.#killReason === undefined ? {} : { killed: this.#killReason }),
      ...(this.#failure === undefined ? {} : { code: this.#failure.code, problem: this.#failure.message }),
    };
    this.#options.events.onExit(this, { ...cause, ...reasons, isExpected });
    if (!this.#child.connected) this.#returnUndelivered();
  }

  /** Once both the process has ended and its last messages are read. */
  #returnUndelivered(): void {
    if (this.state !== 'exited' || this.#inTransit.size === 0) return;
    const undelivered = [...this.#inTransit.values()];
    this.#inTransit.clear();
    this.#options.events.onUndelivered(undelivered);
  }
}
