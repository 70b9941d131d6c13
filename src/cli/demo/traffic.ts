/** The producers and subscribers of the demo, at an even rate, and all that they tell. */
import { Meter } from './meter.ts';
import { ClientSource, LineSource, type Source, type SourceOptions } from './sources.ts';
import { Subscriber } from './subscriber.ts';
import type { Takeovers } from './takeovers.ts';
import type { TermWatch } from './term-watch.ts';
import { waitUntil } from './wait-until.ts';

const CLIENT_SOURCES = 4;
/** And one that speaks lines. */
export const SOURCES: number = CLIENT_SOURCES + 1;
export const SUBSCRIBERS = 3;

const TICK_MS = 10;
/** After a stall of this process nothing is made up for beyond this. */
const TICK_MS_MAX = 1000;
/** Producers go on for so long while nobody takes anything; then they wait. */
const WAITING_SECONDS = 3;
const WAITING_MIN = 100;

export interface TrafficOptions {
  readonly url: string;
  readonly linesPort: number;
  readonly topic: string;
  readonly recordsPerSecond: number;
  readonly takeovers: Takeovers;
  readonly terms: TermWatch;
  readonly onProblem: (problem: string) => void;
}

export class Traffic {
  readonly sources: readonly Source[];
  readonly subscribers: readonly Subscriber[];
  readonly acked = new Meter();
  readonly delivered = new Meter();
  readonly #options: TrafficOptions;
  readonly #timer: NodeJS.Timeout;
  #lastTickMs: number = performance.now();
  #due = 0;
  #turn = 0;
  #isFlowing = true;
  #isClosing = false;

  /** Begins at once. */
  constructor(options: TrafficOptions) {
    const { url, linesPort, topic, recordsPerSecond, onProblem } = options;
    this.#options = options;
    this.subscribers = Array.from(
      { length: SUBSCRIBERS },
      (_, i) =>
        new Subscriber({
          ...{ name: `subscriber-${i + 1}`, url, topic, sources: SOURCES },
          onRecord: () => this.delivered.add(1, performance.now()),
          onEnded: (name, problem) => {
            if (!this.#isClosing) onProblem(`${name} follows no more: ${problem}`);
          },
        }),
    );
    const waitingMax = Math.max(WAITING_MIN, Math.ceil((recordsPerSecond * WAITING_SECONDS) / SOURCES));
    this.sources = Array.from({ length: SOURCES }, (_, index) => {
      const source: SourceOptions = {
        ...{ index, name: `producer-${index + 1}`, topic, waitingMax },
        onAck: ({ term, partition, offset, isRepeat }) => {
          const nowMs = performance.now();
          this.acked.add(1, nowMs);
          options.takeovers.acked(term, nowMs);
          options.terms.acked(term);
          if (!isRepeat && offset !== null) options.terms.stored(term, partition, offset);
        },
        onRefused: (name, problem) => onProblem(`${name}: a record was refused: ${problem}`),
      };
      return index < CLIENT_SOURCES ? new ClientSource(source, url) : new LineSource(source, linesPort);
    });
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  /** Handed in and not acked. */
  get waiting(): number {
    return this.sources.reduce((sum, { offered, acked }) => sum + offered - acked.count, 0);
  }

  /** Nothing new is sent; resolves when all is acked, or after `boundMs`. */
  async drain(boundMs: number): Promise<void> {
    this.#isFlowing = false;
    await waitUntil(() => this.waiting === 0, boundMs);
  }

  /** Resolves when each subscriber has had so many records, or after `boundMs`. */
  async delivery(records: number, boundMs: number): Promise<void> {
    await waitUntil(() => this.subscribers.every(({ tally }) => tally.records >= records), boundMs);
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    clearInterval(this.#timer);
    await Promise.all([...this.sources, ...this.subscribers].map((each) => each.close()));
  }

  #tick(): void {
    const nowMs = performance.now();
    const passedMs = Math.min(nowMs - this.#lastTickMs, TICK_MS_MAX);
    this.#lastTickMs = nowMs;
    this.#options.terms.turn();
    if (!this.#isFlowing) return;
    this.#due += (this.#options.recordsPerSecond * passedMs) / 1000;
    for (let refusals = 0; this.#due >= 1 && refusals < SOURCES; ) {
      const source = this.sources[this.#turn++ % SOURCES] as Source;
      if (source.offer()) {
        this.#due--;
        refusals = 0;
      } else refusals++;
    }
    // All are full: what they could not take is not made up for.
    if (this.#due >= 1) this.#due = 0;
  }
}
