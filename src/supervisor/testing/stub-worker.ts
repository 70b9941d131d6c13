/**
 * A worker without a product inside, for the supervisor's tests: each stream listener answers a line with
 * `<pid> <slot> <slotTerm> <config.label>`, or obeys `block` (its event loop), `crash` and `exit`; datagrams are answered in the same way.
 * `pause` is answered with the consumers that it was told to begin paused and how often it was told to serve.
 */
import type { Socket as DatagramSocket } from 'node:dgram';
import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { Health } from '../../core/contracts/health.ts';
import { silentLogger } from '../../core/contracts/telemetry.ts';
import type { AdminRequest, DrainedLoad, WorkerRuntime, WorkerSlot } from '../../core/contracts/worker.ts';
import { TandemError } from '../../core/errors.ts';
import { runWorker, type WorkerBuilder } from '../worker.ts';

export interface StubConfig {
  readonly label: string;
  /** How long it is being built. */
  readonly buildMs?: number;
  /** The step that fails. */
  readonly broken?: 'preload' | 'preload-for-good' | 'open';
}

class StubRuntime implements WorkerRuntime {
  readonly storeProblem = undefined;
  readonly pressure = 0;
  readonly #sockets = new Set<Socket>();
  readonly #identity: string;
  readonly #health: () => Health;
  readonly #told: object;

  constructor(identity: string, health: () => Health, told: object) {
    this.#identity = identity;
    this.#told = told;
    this.#health = health;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  get load(): DrainedLoad {
    return { records: 0, clients: this.connections };
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
    if (request.kind === 'pause') return Promise.resolve(this.#told);
    if (request.kind === 'status') return Promise.resolve(this.#identity);
    return Promise.reject(new TandemError('TANDEM_CONSUMER_UNKNOWN', { detail: request.kind }));
  }

  metrics() {
    return [];
  }

  async close(): Promise<void> {}

  async drain(): Promise<void> {
    for (const socket of this.#sockets) socket.end();
    while (this.#sockets.size > 0) await new Promise((resolve) => [...this.#sockets][0]?.once('close', resolve));
  }
}

class StubBuilder implements WorkerBuilder {
  #config: StubConfig = { label: '' };
  #slot: WorkerSlot | undefined;
  #builds = 0;

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

  metrics(): [] {
    return [];
  }

  async serve(_nodeTerm: number, health: () => Health, paused: readonly string[]): Promise<WorkerRuntime> {
    const { slot, slotTerm } = this.#slot as WorkerSlot;
    const { label, buildMs = 0 } = this.#config;
    const builds = ++this.#builds;
    await pause(buildMs);
    return new StubRuntime(`${process.pid} ${slot} ${slotTerm} ${label}`, health, { paused, builds });
  }
}

runWorker(new StubBuilder(), silentLogger);
