/** A client that sends unique values until it is told to stop, whatever happens to the server, and keeps what it was answered. */
import type { SourceHistory } from '../evidence/source-history.ts';
import type { Values } from '../evidence/values.ts';
import type { Route } from './route.ts';

export interface Producer {
  readonly history: SourceHistory;
  /** What it noticed itself: answers that make no sense. */
  readonly complaints: string[];
  /** Sends no new values; resolves when all that must be answered are. */
  stop(): Promise<void>;
  /** Ends whatever is outstanding. */
  abandon(): void;
}

export interface ProducerOptions {
  readonly name: string;
  /** Of the listener, or of a bad network before it; or the listeners of several nodes. */
  readonly port: number | Route;
  readonly values: Values;
  /** At most. Default: as fast as answers come. */
  readonly recordsPerSecond?: number;
}

/** Padding makes records of some size; the value before the '|' is what identifies. */
const PADDING = '.'.repeat(40);
export const recordOf = (value: string): string => `${value}|${PADDING}`;

/** Sequence n of a source has this value. */
export const valueAt = (name: string, sequence: number): string => `${name}:${sequence}`;

/** Pause between attempts to connect. */
export const RECONNECT_MS = 20;
/** Nothing was answered for so long, though something is outstanding: the connection is given up. Longer than any hang that is not ended. */
export const ANSWER_TIMEOUT_MS = 3500;
export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** After a pause a client may catch up on what it did not send, but no more than this. */
const CATCH_UP_MS = 50;

/** Spreads records over time. */
export class Pace {
  readonly #intervalMs: number;
  #dueMs = 0;

  constructor(recordsPerSecond = Number.POSITIVE_INFINITY) {
    this.#intervalMs = 1000 / recordsPerSecond;
  }

  /** Until the next record may go; 0: now. */
  waitMs(): number {
    return Math.max(0, this.#dueMs - performance.now());
  }

  spend(records: number): void {
    this.#dueMs = Math.max(this.#dueMs, performance.now() - CATCH_UP_MS) + records * this.#intervalMs;
  }
}
