/** SSE subscriber from the start; after each loss it resumes with Last-Event-ID. */
import { pause, RECONNECT_MS } from '../producers/producer.ts';
import { type DeliveredRecord, PartitionWatch } from './partition-watch.ts';

export class SseSubscriber {
  readonly watch: PartitionWatch;
  readonly #url: string;
  readonly #name: string;
  #lastEventId: string | undefined;
  #isStopping = false;
  readonly #abort = new AbortController();
  readonly #ended: Promise<void>;

  constructor(name: string, port: number) {
    this.#name = name;
    this.#url = `http://127.0.0.1:${port}/topics/data_queue/stream?from=start`;
    this.watch = new PartitionWatch(name);
    this.#ended = this.#run();
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#abort.abort();
    await this.#ended;
  }

  async #run(): Promise<void> {
    while (!this.#isStopping) {
      try {
        await this.#converse();
      } catch {
        // The server is away.
      }
      await pause(RECONNECT_MS);
    }
  }

  async #converse(): Promise<void> {
    const headers = this.#lastEventId === undefined ? {} : { 'last-event-id': this.#lastEventId };
    const response = await fetch(this.#url, { headers, signal: this.#abort.signal });
    if (response.status !== 200 || response.body === null) return;
    let held = '';
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      held += chunk;
      const events = held.split('\n\n');
      held = events.pop() as string;
      for (const event of events) this.#hear(event);
    }
  }

  #hear(event: string): void {
    const field = (name: string): string | undefined =>
      event
        .split('\n')
        .find((line) => line.startsWith(`${name}:`))
        ?.slice(name.length + 1)
        .trim();
    const data = field('data');
    if (data === undefined) return;
    const body = JSON.parse(data) as DeliveredRecord & { readonly isComplete?: boolean };
    if (body.isComplete === false)
      this.watch.complaints.push(`${this.#name}: cannot resume, though nothing was trimmed`);
    if (body.offset === undefined) return;
    this.watch.take(body);
    this.#lastEventId = field('id') ?? this.#lastEventId;
  }
}
