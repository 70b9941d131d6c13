/** HTTP producer with a sequence: single records or NDJSON batches, repeated until they are answered with 201. */
import { SourceHistory } from '../evidence/source-history.ts';
import {
  ANSWER_TIMEOUT_MS,
  Pace,
  type Producer,
  type ProducerOptions,
  pause,
  RECONNECT_MS,
  recordOf,
  valueAt,
} from './producer.ts';
import { Route } from './route.ts';

export interface HttpProducerOptions extends ProducerOptions {
  /** Records per request; 1: the record as it is. */
  readonly batch: number;
}

interface Answer {
  readonly partition: number;
  readonly offset: number | null;
  readonly term?: number;
}

export class HttpProducer implements Producer {
  readonly history: SourceHistory;
  readonly complaints: string[] = [];
  readonly #route: Route;
  readonly #name: string;
  readonly #batch: number;
  readonly #pace: Pace;
  #isStopping = false;
  #isAbandoned = false;
  readonly #ended: Promise<void>;

  constructor({ name, port, batch, values, recordsPerSecond }: HttpProducerOptions) {
    this.#route = Route.of(port);
    this.#name = name;
    this.#batch = batch;
    this.#pace = new Pace(recordsPerSecond);
    this.history = new SourceHistory({ name, hasSequence: true }, values);
    this.#ended = this.#run();
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#ended;
  }

  abandon(): void {
    this.#isStopping = true;
    this.#isAbandoned = true;
  }

  async #run(): Promise<void> {
    for (let sequence = 1; !this.#isStopping; sequence += this.#batch) {
      await this.#sendUntilStored(sequence);
      this.#pace.spend(this.#batch);
      const waitMs = this.#pace.waitMs();
      if (waitMs > 0) await pause(waitMs);
    }
  }

  async #sendUntilStored(sequence: number): Promise<void> {
    const values = Array.from({ length: this.#batch }, (_, i) => valueAt(this.#name, sequence + i));
    while (!this.#isAbandoned) {
      const sentMs = performance.now();
      const node = this.#route.index;
      const answer = await this.#post(sequence, values);
      if (answer !== undefined) {
        const { partition, offset, term } = answer;
        values.forEach((_, i) => {
          const place = { partition, offset: offset === null || offset < 0 ? -1 : offset + i };
          this.history.ack(sequence + i, place, sentMs, { term, node });
        });
        return;
      }
      if (this.#route.hasOthers) this.history.leaveNode(sequence + this.#batch - 1);
      this.#route.next();
      await pause(RECONNECT_MS);
    }
  }

  async #post(sequence: number, values: readonly string[]): Promise<Answer | undefined> {
    const isBatch = this.#batch > 1;
    try {
      const response = await fetch(`http://${this.#route.authority}/topics/data_queue`, {
        method: 'POST',
        headers: {
          'tandem-producer': this.#name,
          'tandem-sequence': String(sequence),
          ...(isBatch ? { 'content-type': 'application/x-ndjson' } : {}),
        },
        body: isBatch
          ? values.map((value) => JSON.stringify({ data: recordOf(value) })).join('\n')
          : recordOf(values[0] as string),
        signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
      });
      if (response.status === 201) return (await response.json()) as Answer;
      const text = await response.text();
      if (response.status < 500) this.complaints.push(`${this.#name}: HTTP ${response.status} ${text}`);
    } catch {
      // The server is away; it is asked again.
    }
    return undefined;
  }
}
