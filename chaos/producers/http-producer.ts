/** HTTP producer with a sequence: single records or NDJSON batches, repeated until they are answered with 201. */
import { sourceHistory } from '../history.ts';
import { type Producer, pause, RECONNECT_MS, recordOf, valueAt } from './producer.ts';

const REQUEST_TIMEOUT_MS = 3000;

interface Answer {
  readonly partition: number;
  readonly offset: number | null;
}

export class HttpProducer implements Producer {
  readonly history;
  readonly complaints: string[] = [];
  readonly #url: string;
  readonly #name: string;
  readonly #batch: number;
  #isStopping = false;
  readonly #ended: Promise<void>;

  /** `batch` 1: one record per request, as it is. */
  constructor(name: string, port: number, batch: number) {
    this.#url = `http://127.0.0.1:${port}/topics/data_queue`;
    this.#name = name;
    this.#batch = batch;
    this.history = sourceHistory(name, true);
    this.#ended = this.#run();
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#ended;
  }

  async #run(): Promise<void> {
    for (let sequence = 1; !this.#isStopping; sequence += this.#batch) await this.#sendUntilStored(sequence);
  }

  async #sendUntilStored(sequence: number): Promise<void> {
    const values = Array.from({ length: this.#batch }, (_, i) => valueAt(this.#name, sequence + i));
    for (;;) {
      const answer = await this.#post(sequence, values);
      if (answer !== undefined) {
        values.forEach((value, i) => {
          const offset = answer.offset === null || answer.offset < 0 ? -1 : answer.offset + i;
          this.history.acked.set(value, { partition: answer.partition, offset });
        });
        return;
      }
      await pause(RECONNECT_MS);
    }
  }

  async #post(sequence: number, values: readonly string[]): Promise<Answer | undefined> {
    const isBatch = this.#batch > 1;
    try {
      const response = await fetch(this.#url, {
        method: 'POST',
        headers: {
          'tandem-producer': this.#name,
          'tandem-sequence': String(sequence),
          ...(isBatch ? { 'content-type': 'application/x-ndjson' } : {}),
        },
        body: isBatch
          ? values.map((value) => JSON.stringify({ data: recordOf(value) })).join('\n')
          : recordOf(values[0] as string),
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
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
