/**
 * Blocks the event loop of a worker: a record with a marker, at which the drill's own handler (`HANDLERS`) computes for so long, once. Nothing in
 * the product knows of it.
 */
import { SourceHistory } from '../evidence/source-history.ts';
import type { Values } from '../evidence/values.ts';
import { ANSWER_TIMEOUT_MS, type Producer, pause, RECONNECT_MS, valueAt } from '../producers/producer.ts';

/** Beside it: handled.txt and the folder `blocked`. The keeper's pid is asked at once: later it may be another's. */
export const HANDLERS = `import { appendFileSync, openSync, closeSync } from 'node:fs';
const handled = new URL('./handled.txt', import.meta.url);
const keeper = process.ppid;
export function save(record) {
  const [value, rest] = record.data.toString().split('|', 2);
  appendFileSync(handled, record.partition + ' ' + record.offset + ' ' + keeper + ' ' + value + '\\n');
  const block = /^block=(\\d+)$/.exec(rest ?? '');
  if (block !== null && isFirst(value)) {
    const end = performance.now() + Number(block[1]);
    while (performance.now() < end);
  }
}
function isFirst(value) {
  try {
    closeSync(openSync(new URL('./blocked/' + value, import.meta.url), 'wx'));
    return true;
  } catch {
    return false;
  }
}
`;

export class LoopBlocker implements Producer {
  readonly history: SourceHistory;
  readonly complaints: string[] = [];
  readonly #url: string;
  #sequence = 0;
  #isAbandoned = false;
  #sent: Promise<void> = Promise.resolve();

  constructor(name: string, httpPort: number, values: Values) {
    this.#url = `http://127.0.0.1:${httpPort}/topics/data_queue`;
    this.history = new SourceHistory({ name, hasSequence: true }, values);
  }

  /** Resolves when the marker is stored, or it is abandoned. */
  block(forMs: number): Promise<void> {
    const sequence = ++this.#sequence;
    this.#sent = this.#sent.then(() => this.#publish(sequence, forMs));
    return this.#sent;
  }

  async stop(): Promise<void> {
    await this.#sent;
  }

  abandon(): void {
    this.#isAbandoned = true;
  }

  async #publish(sequence: number, forMs: number): Promise<void> {
    const { name } = this.history;
    const headers = { 'tandem-producer': name, 'tandem-sequence': String(sequence) };
    const body = `${valueAt(name, sequence)}|block=${Math.round(forMs)}`;
    while (!this.#isAbandoned) {
      const sentMs = performance.now();
      try {
        const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
        const response = await fetch(this.#url, { method: 'POST', headers, body, signal });
        const answer = (await response.json()) as { partition: number; offset: number | null; term?: number };
        if (response.status === 201) {
          this.history.ack(sequence, { partition: answer.partition, offset: answer.offset ?? -1 }, sentMs, answer);
          return;
        }
      } catch {
        // The server is away; it is asked again.
      }
      await pause(RECONNECT_MS);
    }
  }
}
