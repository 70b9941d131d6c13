/**
 * A worker without a product inside, for the supervisor's tests: each stream listener answers a line with
 * `<pid> <slot> <slotTerm> <config.label>`, or obeys `block` (its event loop), `crash` and `exit`; datagrams are answered in the same way.
 */
import type { Socket as DatagramSocket } from 'node:dgram';
import type { Socket } from 'node:net';
import type { Health } from '../../core/contracts/health.ts';
import { silentLogger } from '../../core/contracts/telemetry.ts';
import type { AdminRequest, WorkerRuntime, WorkerSlot } from '../../core/contracts/worker.ts';
import { TandemError } from '../../core/errors.ts';
import { runWorker, type WorkerBuilder } from '../worker.ts';

export interface StubConfig {
  readonly label: string;
  /** The step that fails. */
  readonly broken?: 'preload' | 'preload-for-good' | 'open';
}

class StubRuntime implements WorkerRuntime {
  readonly storeProblem = undefined;
  readonly #sockets = new Set<Socket>();
  readonly #identity: string;
  readonly #health: () => Health;

  constructor(identity: string, health: () => Health) {
    this.#identity = identity;
    this.#health = health;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  accept(listener: number, socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => {});
    socket.on('end', () => socket.end());
    socket.on('data', (data) => {
      for (const word of data.toString().split('\n')) if (word !== '') socket.write(`${this.#obey(word, listener)}\n`);
    });
    socket.resume();
  }

  attach(listener: number, socket: DatagramSocket): void {
    socket.on('message', (_, { port, address }) => socket.send(this.#obey('who', listener), port, address));
  }

  #obey(word: string, listener: number): string {
    if (word === 'block') for (;;);
    if (word === 'crash') process.kill(process.pid, 'SIGKILL');
    if (word === 'health') return this.#health().reason;
    return `${this.#identity} ${listener}`;
  }

  admin(request: AdminRequest): Promise<unknown> {
    if (request.kind === 'status') return Promise.resolve(this.#identity);
    return Promise.reject(new TandemError('TANDEM_CONSUMER_UNKNOWN', { detail: request.kind }));
  }

  metrics() {
    return [];
  }

  async drain(): Promise<void> {
    for (const socket of this.#sockets) socket.end();
    while (this.#sockets.size > 0) await new Promise((resolve) => [...this.#sockets][0]?.once('close', resolve));
  }
}

class StubBuilder implements WorkerBuilder {
  #config: StubConfig = { label: '' };
  #slot: WorkerSlot | undefined;

  preload(config: unknown): Promise<void> {
    this.#config = config as StubConfig;
    if (this.#config.broken === 'preload') throw new Error('cannot load now');
    if (this.#config.broken === 'preload-for-good') throw new TandemError('TANDEM_HANDLER_INVALID', { detail: 'stub' });
    return Promise.resolve();
  }

  open(slot: WorkerSlot): Promise<void> {
    this.#slot = slot;
    if (this.#config.broken === 'open') throw new Error('cannot open');
    return Promise.resolve();
  }

  serve(health: () => Health): Promise<WorkerRuntime> {
    const { slot, slotTerm } = this.#slot as WorkerSlot;
    return Promise.resolve(new StubRuntime(`${process.pid} ${slot} ${slotTerm} ${this.#config.label}`, health));
  }
}

runWorker(new StubBuilder(), silentLogger);
