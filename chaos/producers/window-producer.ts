/**
 * What producers share that have several records in flight on a connection and are answered in order: with a sequence they go on after a loss
 * from the first unanswered one; without one they go on with new values and count the unanswered as uncertain.
 */
import { type Place, SourceHistory } from '../evidence/source-history.ts';
import { ANSWER_TIMEOUT_MS, Pace, type Producer, type ProducerOptions, pause, RECONNECT_MS } from './producer.ts';
import { Route } from './route.ts';

export interface WindowOptions extends ProducerOptions {
  readonly inFlight: number;
  readonly hasSequence: boolean;
  /** Between attempts to connect. */
  readonly reconnectMs?: number;
}

export abstract class WindowProducer implements Producer {
  readonly history: SourceHistory;
  readonly complaints: string[] = [];
  protected readonly route: Route;
  readonly #options: WindowOptions;
  readonly #pace: Pace;
  /** The first sequence that is not answered. */
  #next = 1;
  /** The first sequence that was not sent on this connection. */
  #unsent = 1;
  /** The last sequence that was sent on any. */
  #sentMax = 0;
  /** Monotonic ms; of what is in flight, by sequence modulo its length. */
  readonly #sentMs: Float64Array;
  #heardMs = 0;
  #isStopping = false;
  #isAbandoned = false;
  #ended: Promise<void> | undefined;
  #paced: NodeJS.Timeout | undefined;

  constructor(options: WindowOptions) {
    this.#options = options;
    this.route = Route.of(options.port);
    this.#pace = new Pace(options.recordsPerSecond);
    this.#sentMs = new Float64Array(options.inFlight + 1);
    this.history = new SourceHistory(options, options.values);
  }

  /** One connection, to its end: calls `fill` once it may send. */
  protected abstract converse(): Promise<void>;
  protected abstract send(fromSequence: number, toSequence: number): void;
  protected abstract disconnect(): void;

  start(): this {
    this.#ended = this.#run();
    return this;
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    if (!this.#mustGoOn) this.disconnect();
    await this.#ended;
  }

  abandon(): void {
    this.#isAbandoned = true;
    this.disconnect();
  }

  /** The first sequence that is not answered. */
  protected get next(): number {
    return this.#next;
  }

  protected answered(place: Place, term: number | undefined): void {
    this.#heardMs = performance.now();
    this.history.ack(this.#next, place, this.#sentMs[this.#next % this.#sentMs.length] as number, {
      term,
      node: this.route.index,
    });
    this.#next++;
    this.fill();
    if (!this.#mustGoOn) this.disconnect();
  }

  /** Sends on while there is room; when stopping, only what had been sent before. */
  protected fill(): void {
    const end = this.#isStopping ? this.#sentMax + 1 : this.#next + this.#options.inFlight;
    const from = this.#unsent;
    // Nothing is outstanding, so nobody owes an answer.
    if (from === this.#next) this.#heardMs = performance.now();
    for (; this.#unsent < end; this.#unsent++) {
      // Paced is only what is new.
      if (this.#unsent > this.#sentMax) {
        if (this.#pace.waitMs() > 0) break;
        this.#pace.spend(1);
      }
      this.#sentMs[this.#unsent % this.#sentMs.length] = performance.now();
    }
    this.#sentMax = Math.max(this.#sentMax, this.#unsent - 1);
    if (this.#unsent > from) this.send(from, this.#unsent);
    clearTimeout(this.#paced);
    if (this.#unsent < end) this.#paced = setTimeout(() => this.fill(), Math.ceil(this.#pace.waitMs()));
  }

  get #mustGoOn(): boolean {
    return !this.#isAbandoned && (!this.#isStopping || this.#next <= this.#sentMax);
  }

  async #run(): Promise<void> {
    while (this.#mustGoOn) {
      this.#unsent = this.#next;
      this.#heardMs = performance.now();
      const watch = setInterval(() => this.#giveUpIfSilent(), ANSWER_TIMEOUT_MS / 5);
      await this.converse();
      clearInterval(watch);
      clearTimeout(this.#paced);
      if (!this.#options.hasSequence)
        for (; this.#next <= this.#sentMax; this.#next++) this.history.doubt(this.#next, this.route.index);
      if (this.route.hasOthers) this.history.leaveNode(this.#sentMax);
      this.route.next();
      await pause(this.#options.reconnectMs ?? RECONNECT_MS);
    }
  }

  #giveUpIfSilent(): void {
    if (performance.now() - this.#heardMs > ANSWER_TIMEOUT_MS) this.disconnect();
  }
}
