/** SSE subscriber; resumes with Last-Event-ID. */
import { type DeliveredRecord, PartitionWatch } from '../evidence/partition-watch.ts';
import { pause, RECONNECT_MS } from '../producers/producer.ts';
import { Route } from '../producers/route.ts';
import { CANNOT_RESUME, GAP, SILENCE_MS, type Subscriber, type SubscriberOptions } from './subscriber.ts';

export class SseSubscriber implements Subscriber {
  readonly watch: PartitionWatch;
  readonly #route: Route;
  #lastEventId: string | undefined;
  #isStopping = false;
  #abort = new AbortController();
  readonly #ended: Promise<void>;

  constructor({ name, port, values, watch = {} }: SubscriberOptions) {
    this.#route = Route.of(port);
    this.watch = new PartitionWatch(name, values, watch);
    this.#ended = this.#run();
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#abort.abort();
    await this.#ended;
  }

  async #run(): Promise<void> {
    while (!this.#isStopping) {
      this.#abort = new AbortController();
      const silence = setTimeout(() => this.#abort.abort(), SILENCE_MS);
      try {
        await this.#converse(silence);
      } catch {
        // The server is away.
      }
      clearTimeout(silence);
      this.#route.next();
      await pause(RECONNECT_MS);
    }
  }

  async #converse(silence: NodeJS.Timeout): Promise<void> {
    const headers = this.#lastEventId === undefined ? {} : { 'last-event-id': this.#lastEventId };
    const response = await fetch(`http://${this.#route.authority}/topics/data_queue/stream?from=start`, {
      headers,
      signal: this.#abort.signal,
    });
    if (response.status !== 200 || response.body === null) {
      await response.body?.cancel();
      return;
    }
    let held = '';
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      silence.refresh();
      held += chunk;
      const events = held.split('\n\n');
      held = events.pop() as string;
      for (const event of events) this.#hear(event);
    }
  }

  #hear(event: string): void {
    let data: string | undefined;
    let id: string | undefined;
    for (const line of event.split('\n')) {
      if (line.startsWith('data:')) data = line.slice(5);
      else if (line.startsWith('id:')) id = line.slice(3).trim();
    }
    if (data === undefined) return;
    const body = JSON.parse(data) as DeliveredRecord & {
      readonly isComplete?: boolean;
      readonly missed?: number | null;
      readonly position?: string;
    };
    if (body.isComplete === false) {
      this.watch.tellGap(CANNOT_RESUME);
      this.#lastEventId = body.position;
    } else if (body.missed !== undefined) this.watch.tellGap(GAP);
    else if (body.offset === undefined) return;
    else this.watch.take(body);
    this.#lastEventId = id ?? this.#lastEventId;
  }
}
