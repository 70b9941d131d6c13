/** A client that sends at a steady rate whatever the answers do, over one connection after the other. */
import { Pace, pause } from '../../../chaos/producers/producer.ts';
import type { LaneLog } from './lane-log.ts';

export interface LaneOptions {
  readonly log: LaneLog;
  readonly recordsPerSecond: number;
}

const TICK_MS = 5;
const RECONNECT_MS = 50;
/** Makes records of some size. */
const PADDING = '.'.repeat(80);
export const recordOf = (name: string, sequence: number): string => `${name}:${sequence}|${PADDING}`;

export abstract class Lane {
  readonly log: LaneLog;
  readonly #pace: Pace;
  #timer: NodeJS.Timeout | undefined;
  #isStopping = false;
  #ended: Promise<void> | undefined;

  constructor({ log, recordsPerSecond }: LaneOptions) {
    this.log = log;
    this.#pace = new Pace(recordsPerSecond);
  }

  /** One connection, to its end; rejects if there is none. */
  protected abstract converse(): Promise<void>;
  /** So many new records are due. */
  protected abstract send(count: number): void;
  /** Nothing that was sent must be answered still. */
  protected abstract get isSettled(): boolean;
  protected abstract disconnect(): void;

  /** A connection is of no use any more. */
  protected get isStopping(): boolean {
    return this.#isStopping;
  }

  start(): this {
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#ended = this.#run();
    return this;
  }

  /** Sends no new records; resolves when what must be answered is, or after `boundMs`. */
  async stop(boundMs: number): Promise<void> {
    clearInterval(this.#timer);
    const startedMs = performance.now();
    while (!this.isSettled && performance.now() - startedMs < boundMs) await pause(TICK_MS);
    this.#isStopping = true;
    this.disconnect();
    await this.#ended;
  }

  #tick(): void {
    let due = 0;
    for (; this.#pace.waitMs() === 0; due++) this.#pace.spend(1);
    if (due > 0) this.send(due);
  }

  async #run(): Promise<void> {
    while (!this.#isStopping) {
      await this.converse().catch(() => {});
      if (!this.#isStopping) this.log.breaks++;
      await pause(RECONNECT_MS);
    }
  }
}
