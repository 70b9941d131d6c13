/**
 * Simulated time: events in a heap, run one after the other, each with all the promises that it sets off, before time moves on. No event
 * knows of another but by what it changes; the same seed gives the same run.
 *
 * A process is one incarnation of a node. Stopped (SIGSTOP) its events pend; when it goes on, all that is due runs at once, timers before or
 * after input, as the seed says. Dead, its events are gone.
 */
import type { Clock, Timer } from '../../core/ports/clock.ts';
import type { Random } from '../../core/ports/random.ts';

export interface SimEvent extends Timer {
  atMs: number;
  serial: number;
  readonly process: SimProcess | undefined;
  readonly isTimer: boolean;
  run: (() => void) | undefined;
}

class ScheduledEvent implements SimEvent {
  atMs: number;
  serial: number;
  readonly process: SimProcess | undefined;
  readonly isTimer: boolean;
  run: (() => void) | undefined;

  constructor(atMs: number, serial: number, process: SimProcess | undefined, isTimer: boolean, run: () => void) {
    this.atMs = atMs;
    this.serial = serial;
    this.process = process;
    this.isTimer = isTimer;
    this.run = run;
  }

  cancel(): void {
    this.run = undefined;
  }
}

/** `await settled` resumes when the queue of microtasks is empty: Node runs ticks that a microtask asked for only then. */
// biome-ignore lint/suspicious/noThenProperty: awaited once per event, so it must cost nothing
const settled: PromiseLike<void> = { then: ((resume: () => void) => process.nextTick(resume)) as never };

export class Scheduler {
  nowMs = 0;
  events = 0;
  #serial = 0;
  readonly #heap: SimEvent[] = [];

  at(atMs: number, process: SimProcess | undefined, run: () => void, isTimer: boolean = false): SimEvent {
    const event = new ScheduledEvent(atMs, this.#serial++, process, isTimer, run);
    this.#push(event);
    return event;
  }

  after(delayMs: number, process: SimProcess | undefined, run: () => void): SimEvent {
    return this.at(this.nowMs + delayMs, process, run);
  }

  /** In the order given, behind all that is due at this moment. */
  again(events: readonly SimEvent[]): void {
    for (const event of events) {
      event.atMs = this.nowMs;
      event.serial = this.#serial++;
      this.#push(event);
    }
  }

  /** Runs events until `isOver` says so; it is asked before each. Stops when there is none left. */
  async runUntil(isOver: (nextMs: number) => boolean): Promise<void> {
    for (;;) {
      const event = this.#heap[0];
      if (event === undefined) return;
      if (event.run === undefined) {
        this.#pop();
        continue;
      }
      if (isOver(event.atMs)) return;
      this.#pop();
      if (event.atMs > this.nowMs) this.nowMs = event.atMs;
      const { process } = event;
      if (process !== undefined) {
        if (!process.isAlive) continue;
        if (process.isStopped) {
          process.pending.push(event);
          continue;
        }
      }
      this.events++;
      event.run();
      await settled;
    }
  }

  /** Lets this much time pass. */
  async advance(durationMs: number): Promise<void> {
    const endMs = this.nowMs + durationMs;
    await settled;
    await this.runUntil((nextMs) => nextMs > endMs);
    this.nowMs = endMs;
  }

  #push(event: SimEvent): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent] as SimEvent;
      if (above.atMs < event.atMs || (above.atMs === event.atMs && above.serial < event.serial)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as SimEvent;
    const { length } = heap;
    if (length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= length) break;
      let below = heap[child] as SimEvent;
      const right = heap[child + 1];
      if (
        right !== undefined &&
        (right.atMs < below.atMs || (right.atMs === below.atMs && right.serial < below.serial))
      ) {
        child++;
        below = right;
      }
      if (last.atMs < below.atMs || (last.atMs === below.atMs && last.serial < below.serial)) break;
      heap[index] = below;
      index = child;
    }
    heap[index] = last;
  }
}

export class SimProcess {
  readonly name: string;
  readonly holder: string;
  isAlive = true;
  isStopped = false;
  pending: SimEvent[] = [];
  /** While it has gone on but not yet read its input: what it heard last came before this moment. */
  readUntilMs = Number.POSITIVE_INFINITY;
  readonly clock: Clock;
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #rate: number;
  readonly #wallMs: number;
  readonly #bootMs: number;

  /** `rate`: how fast its clocks run against real time; `wallMs`: what its wall clock shows at the beginning. */
  constructor(name: string, holder: string, scheduler: Scheduler, random: Random, rate: number, wallMs: number) {
    this.name = name;
    this.holder = holder;
    this.#scheduler = scheduler;
    this.#random = random;
    this.#rate = rate;
    this.#wallMs = wallMs;
    this.#bootMs = random.fraction() * 1e6;
    this.clock = {
      nowMs: () => Math.floor(wallMs + scheduler.nowMs),
      monotonicMs: () => this.monotonicMs(scheduler.nowMs),
      after: (delayMs, callback) => scheduler.at(scheduler.nowMs + Math.max(delayMs, 0) / rate, this, callback, true),
      soon: (callback) => void scheduler.at(scheduler.nowMs, this, callback),
    };
  }

  /** Real time as this process's clock shows it. */
  monotonicMs(atMs: number): number {
    return (atMs + this.#bootMs) * this.#rate;
  }

  /** Another process of the same node. */
  sibling(): SimProcess {
    return new SimProcess(this.name, this.holder, this.#scheduler, this.#random, this.#rate, this.#wallMs);
  }

  stop(): void {
    if (this.isStopped) return;
    this.isStopped = true;
    this.readUntilMs = Math.min(this.readUntilMs, this.#scheduler.nowMs);
  }

  goOn(): void {
    if (!this.isAlive || !this.isStopped) return;
    this.isStopped = false;
    const timers = this.pending.filter(({ isTimer }) => isTimer);
    const input = this.pending.filter(({ isTimer }) => !isTimer);
    this.pending = [];
    const isInputFirst = this.#random.fraction() < 0.5;
    this.#scheduler.again(isInputFirst ? input : timers);
    const read = (): void => {
      this.readUntilMs = Number.POSITIVE_INFINITY;
    };
    if (isInputFirst) this.#scheduler.at(this.#scheduler.nowMs, this, read);
    this.#scheduler.again(isInputFirst ? timers : input);
    if (!isInputFirst) this.#scheduler.at(this.#scheduler.nowMs, this, read);
  }
}
