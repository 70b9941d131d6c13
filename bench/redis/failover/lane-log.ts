/** What one client that sends numbered records has seen, and how long its acknowledgements took, apart for calm and for troubled times. */
import { NumberList } from '../../../chaos/evidence/number-list.ts';

/** A Tandem node; plain XADD; XADD and WAIT 1. */
export type LaneKind = 'tandem' | 'plain' | 'wait';

/** No fault; from the fault until the new master serves; until the old one is its replica, and before the first calm time. */
export type Phase = 'calm' | 'failover' | 'recovery';

/** Of the whole load: a record that was under way during a failover counts as one of it, whenever it is acknowledged. */
export class PhaseClock {
  #phase: Phase = 'recovery';
  #failoverEndedMs = Number.NEGATIVE_INFINITY;

  enter(phase: Phase): void {
    if (this.#phase === 'failover') this.#failoverEndedMs = performance.now();
    this.#phase = phase;
  }

  of(sentMs: number): Phase {
    return sentMs < this.#failoverEndedMs ? 'failover' : this.#phase;
  }
}

export interface LaneResult {
  readonly name: string;
  readonly kind: LaneKind;
  /** By sequence - 1: 1 if it was acknowledged. */
  readonly acked: Uint8Array;
  /** Answered with an error. */
  readonly refused: number;
  /** Times that the connection was lost or given up. */
  readonly breaks: number;
  readonly latenciesMs: { readonly [P in Phase]: Float64Array };
}

export class LaneLog {
  readonly name: string;
  readonly kind: LaneKind;
  readonly #clock: PhaseClock;
  /** By sequence - 1, monotonic ms; negative once it is acknowledged. */
  readonly #sentMs = new NumberList();
  readonly #latenciesMs: { readonly [P in Phase]: NumberList } = {
    calm: new NumberList(),
    failover: new NumberList(),
    recovery: new NumberList(),
  };
  refused = 0;
  breaks = 0;
  acked = 0;

  constructor(name: string, kind: LaneKind, clock: PhaseClock) {
    this.name = name;
    this.kind = kind;
    this.#clock = clock;
  }

  /** The highest sequence that was sent. */
  get sent(): number {
    return this.#sentMs.length;
  }

  /** For the first time; returns its sequence. */
  send(): number {
    this.#sentMs.push(performance.now());
    return this.#sentMs.length;
  }

  ack(sequence: number): void {
    const sentMs = this.#sentMs.at(sequence - 1);
    this.#latenciesMs[this.#clock.of(sentMs)].push(performance.now() - sentMs);
    this.#sentMs.set(sequence - 1, -sentMs);
    this.acked++;
  }

  result(): LaneResult {
    const acked = new Uint8Array(this.#sentMs.length);
    for (let i = 0; i < acked.length; i++) acked[i] = this.#sentMs.at(i) < 0 ? 1 : 0;
    const { calm, failover, recovery } = this.#latenciesMs;
    const latenciesMs = { calm: numbers(calm), failover: numbers(failover), recovery: numbers(recovery) };
    const { name, kind, refused, breaks } = this;
    return { name, kind, acked, refused, breaks, latenciesMs };
  }
}

const numbers = (list: NumberList): Float64Array => Float64Array.from({ length: list.length }, (_, i) => list.at(i));
