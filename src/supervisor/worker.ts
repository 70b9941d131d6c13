/**
 * The inside of a worker process: speaks ipc.ts with the keeper and runs what the builder builds. Signals of the terminal or the service
 * manager are the keeper's business: a worker obeys its channel, and exits at once when that closes.
 */
import { Socket as DatagramSocket } from 'node:dgram';
import { Socket } from 'node:net';
import type { Health } from '../core/contracts/health.ts';
import type { Logger, MetricSample } from '../core/contracts/telemetry.ts';
import type { WorkerRuntime, WorkerSlot } from '../core/contracts/worker.ts';
import { asTandemError, TandemError } from '../core/errors.ts';
import { type Question, type ToKeeper, type ToWorker, type WorkerAnswer, workerErrorOf } from './ipc.ts';
import { HEARTBEAT_MS } from './plan.ts';

/** What a worker is made of; topology/ implements it. Each step is called once, in this order. */
export interface WorkerBuilder {
  /** Loads everything that needs no slot (handler modules). Throws what is wrong with it. */
  preload(config: unknown): Promise<void>;
  /** Opens the engine under the slot's term and recovers it; waits until an earlier process of the slot has let go. */
  open(slot: WorkerSlot): Promise<void>;
  /**
   * All slots are open, and the node has the right to be active under `nodeTerm` (0: it is a front): build the rest. `health` is what the keeper
   * last said; `pausedConsumers` must deliver nothing until resumed.
   */
  serve(nodeTerm: number, health: () => Health, pausedConsumers: readonly string[]): Promise<WorkerRuntime>;
  /** Of what is open before it serves. */
  metrics(): MetricSample[];
}

type Link = { send(message: ToKeeper): void };

/** Takes over this process. Returns at once; the process ends with the keeper's drain, its death, or an uncaught error (exit code 1). */
export function runWorker(builder: WorkerBuilder, logger: Logger): void {
  if (process.send === undefined)
    throw new TandemError('TANDEM_INTERNAL', { detail: 'a worker is started by a keeper' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
  process.on('disconnect', () => process.exit(1));
  const link: Link = { send: (message) => process.send?.(message, undefined, undefined, () => {}) };
  const fail = (thrown: unknown): void => {
    const error = asTandemError(thrown);
    const stack = thrown instanceof Error ? thrown.stack : undefined;
    logger.error('worker_failed', { code: error.code, problem: error.message, stack });
    link.send({ kind: 'failed', ...workerErrorOf(error) });
    process.exit(1);
  };
  process.on('uncaughtException', fail);
  // Tandem's own code leaves no promise unhandled and rejects with its own errors: any other one is a handler's, and must not take the
  // worker's connections down with it.
  process.on('unhandledRejection', (thrown) => {
    if (thrown instanceof TandemError) fail(thrown);
    else
      logger.error('handler_rejection_unhandled', {
        problem: String(thrown),
        stack: (thrown as Error | undefined)?.stack,
      });
  });
  const worker = new Worker(builder, link);
  process.on('message', (message, handle) => void worker.receive(message as ToWorker, handle).catch(fail));
  setInterval(() => worker.beat(), HEARTBEAT_MS);
}

class Worker {
  readonly #builder: WorkerBuilder;
  readonly #link: Link;
  #building: Promise<WorkerRuntime> | undefined;
  #runtime: WorkerRuntime | undefined;
  #health: Health = { isReady: false, role: 'standby', term: 0, reason: 'starting' };
  #taken = 0;

  constructor(builder: WorkerBuilder, link: Link) {
    this.#builder = builder;
    this.#link = link;
  }

  beat(): void {
    const { connections = 0, storeProblem, pressure = 0 } = this.#runtime ?? {};
    this.#link.send({ kind: 'beat', connections, taken: this.#taken, storeProblem, pressure });
  }

  async receive(message: ToWorker, handle: unknown): Promise<void> {
    switch (message.kind) {
      case 'preload':
        process.title = 'tandem spare';
        await this.#builder.preload(message.config);
        return this.#link.send({ kind: 'loaded' });
      case 'assign':
        process.title = `tandem ${message.slot.isFront ? 'front' : 'worker'} ${message.slot.slot}`;
        await this.#builder.open(message.slot);
        return this.#link.send({ kind: 'recovered' });
      case 'serve':
        this.#building = this.#builder.serve(message.nodeTerm, () => this.#health, message.pausedConsumers);
        this.#runtime = await this.#building;
        return this.#link.send({ kind: 'serving' });
      case 'connection':
        return this.#take(message.id, message.listener, handle);
      case 'datagrams':
        if (handle instanceof DatagramSocket) this.#runtime?.attach(message.listener, handle);
        return;
      case 'health':
        this.#health = message.health;
        return;
      case 'ask':
        return this.#link.send({ kind: 'answer', id: message.id, answer: await this.#answer(message.question) });
      case 'drain':
        return this.#drain(message.deadlineMs);
      case 'close':
        await this.#runtime?.close();
        process.exit(0);
    }
  }

  /** Confirms first: what is confirmed is never given to another worker, what is not has not been read. */
  #take(id: number, listener: number, handle: unknown): void {
    const runtime = this.#runtime as WorkerRuntime;
    const isOpen = handle instanceof Socket;
    this.#taken++;
    const connections = runtime.connections + (isOpen ? 1 : 0);
    this.#link.send({ kind: 'took', id, connections, taken: this.#taken });
    if (!isOpen) return;
    handle.pause();
    // A client may send, close its side and still wait for answers.
    handle.allowHalfOpen = true;
    runtime.accept(listener, handle);
  }

  async #answer(question: Question): Promise<WorkerAnswer> {
    try {
      if (question.about === 'metrics' && this.#runtime === undefined) return { result: this.#builder.metrics() };
      const runtime = await this.#building;
      if (runtime === undefined) throw new TandemError('TANDEM_WORKER_LOST', { detail: 'it does not serve yet' });
      return { result: question.about === 'metrics' ? runtime.metrics() : await runtime.admin(question.request) };
    } catch (thrown) {
      return { error: workerErrorOf(thrown) };
    }
  }

  async #drain(deadlineMs: number): Promise<void> {
    const runtime = this.#runtime;
    if (runtime === undefined) process.exit(0);
    this.#link.send({ kind: 'draining', load: runtime.load });
    await runtime.drain(deadlineMs);
    this.#link.send({ kind: 'drained' });
  }
}
