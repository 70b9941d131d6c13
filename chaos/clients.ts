/** All that talks to the service while a drill runs: producers over every listener, subscribers, and what the handlers were given. */
import { HandledFile } from './evidence/handled-watch.ts';
import type { Values } from './evidence/values.ts';
import type { DataPorts } from './node-under-test.ts';
import { HttpProducer } from './producers/http-producer.ts';
import { type Producer, pause } from './producers/producer.ts';
import { TcpProducer } from './producers/tcp-producer.ts';
import { UdpProducer } from './producers/udp-producer.ts';
import { WebSocketProducer } from './producers/websocket-producer.ts';
import { SseSubscriber } from './readers/sse-subscriber.ts';
import type { Subscriber } from './readers/subscriber.ts';
import { WebSocketSubscriber } from './readers/websocket-subscriber.ts';

export interface ClientOptions {
  readonly seed: number;
  readonly values: Values;
  readonly ports: DataPorts;
  /** Ports of a bad network; absent: all clients go straight. */
  readonly proxied?: DataPorts;
  /** Over all producers, about. Absent: as fast as answers come. */
  readonly recordsPerSecond?: number;
  readonly handledPath: string;
}

const POLL_MS = 5;

export interface ClientParts {
  readonly producers: readonly Producer[];
  readonly probe: Producer;
  readonly subscribers: readonly Subscriber[];
  readonly handled: HandledFile;
}

export class Clients implements ClientParts {
  readonly producers: readonly Producer[];
  readonly subscribers: readonly Subscriber[];
  /** One record in flight, and it tries to connect all the time: what it sees of a takeover is exact to some milliseconds. */
  readonly probe: Producer;
  readonly handled: HandledFile;

  constructor({ producers, probe, subscribers, handled }: ClientParts) {
    this.producers = producers;
    this.probe = probe;
    this.subscribers = subscribers;
    this.handled = handled;
  }

  get acked(): number {
    return this.producers.reduce((sum, { history }) => sum + history.acked, 0);
  }

  get delivered(): number {
    return this.subscribers.reduce((sum, { watch }) => sum + watch.count, 0);
  }

  /** When anybody was answered last. */
  get lastAckedMs(): number {
    return this.producers.reduce((latest, { history }) => Math.max(latest, history.lastAckedMs), 0);
  }

  get complaints(): string[] {
    return [
      ...this.producers.flatMap(({ complaints }) => complaints),
      ...this.subscribers.flatMap(({ watch }) => watch.complaints.map((complaint) => `PUSH: ${complaint}`)),
      ...this.handled.watch.complaints,
    ];
  }

  /** When the first of them was answered under a term above this one. */
  firstAckAboveMs(term: number): number | undefined {
    const times = this.producers.flatMap(({ history }) =>
      history.terms.filter((span) => span.term > term).map((span) => span.firstAnsweredMs),
    );
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /**
   * Resolves when every producer has been answered to something that it sent after `sinceMs`, and all that was acknowledged then has reached
   * subscribers and handlers: with the time at which it was so. After `deadlineMs`: with the names of those for whom it is not.
   */
  async served(sinceMs: number, deadlineMs: number): Promise<number | string[]> {
    const isUnanswered = ({ history }: Producer): boolean => history.lastSentMs <= sinceMs;
    let missing: string[];
    for (;;) {
      missing = this.producers.filter(isUnanswered).map(({ history }) => history.name);
      if (missing.length === 0) break;
      if (performance.now() > deadlineMs) return missing;
      await pause(POLL_MS);
    }
    const { acked } = this;
    for (;;) {
      missing = this.subscribers.filter(({ watch }) => watch.count < acked).map(({ watch }) => watch.name);
      if (this.handled.update().count < acked) missing.push('handlers');
      if (missing.length === 0) return performance.now();
      if (performance.now() > deadlineMs) return missing;
      await pause(POLL_MS);
    }
  }

  abandon(): void {
    for (const producer of this.producers) producer.abandon();
    for (const subscriber of this.subscribers) void subscriber.stop();
    this.handled.close();
  }
}

/** Of a drill on one machine: over every listener, some of them through a bad network. */
export function startClients(options: ClientOptions): Clients {
  const { values, ports, proxied, handledPath } = options;
  const probeOptions = { hasSequence: true, inFlight: 1, reconnectMs: 2, framing: 'line' } as const;
  const name = `probe-${options.seed}`;
  const probe = new TcpProducer({ name, port: ports.lines, values, recordsPerSecond: 200, ...probeOptions }).start();
  const reader = (kind: string, { http }: DataPorts) => ({ name: kind, port: http, values });
  const subscribers: Subscriber[] = [
    new WebSocketSubscriber(reader('websocket subscriber', ports)),
    new SseSubscriber(reader('sse subscriber', ports)),
  ];
  if (proxied !== undefined)
    subscribers.push(new WebSocketSubscriber(reader('websocket subscriber behind a bad network', proxied)));
  const producers = [probe, ...direct(options), ...(proxied === undefined ? [] : distant(options, proxied))];
  return new Clients({ producers, probe, subscribers, handled: new HandledFile(handledPath, values) });
}

function direct({ seed, values, ports, recordsPerSecond: all }: ClientOptions): Producer[] {
  const { lines, frames, udp, http } = ports;
  const load = (kind: string, port: number, share: number) => ({
    name: `${kind}-${seed}`,
    port,
    values,
    ...(all === undefined ? {} : { recordsPerSecond: all * share }),
  });
  const [line, length] = [{ framing: 'line' } as const, { framing: 'length' } as const];
  return [
    new TcpProducer({ ...load('lines', lines, 0.2), ...line, hasSequence: true, inFlight: 32 }).start(),
    new TcpProducer({ ...load('lines-b', lines, 0.1), ...line, hasSequence: true, inFlight: 8 }).start(),
    new TcpProducer({ ...load('plain', lines, 0.1), ...line, hasSequence: false, inFlight: 32 }).start(),
    new TcpProducer({ ...load('frames', frames, 0.15), ...length, hasSequence: true, inFlight: 16 }).start(),
    new UdpProducer(load('udp', udp, 0.03)),
    new HttpProducer({ ...load('http', http, 0.02), batch: 1 }),
    new HttpProducer({ ...load('ndjson', http, 0.1), batch: 10 }),
    new WebSocketProducer({ ...load('websocket', http, 0.07), inFlight: 8 }).start(),
  ];
}

/** Behind the bad network. */
function distant({ seed, values, recordsPerSecond: all = 2000 }: ClientOptions, ports: DataPorts): Producer[] {
  const { lines, udp, http } = ports;
  const load = (kind: string, port: number, share: number) => {
    return { name: `${kind}-far-${seed}`, port, values, recordsPerSecond: all * share };
  };
  return [
    new TcpProducer({ ...load('lines', lines, 0.1), framing: 'line', hasSequence: true, inFlight: 32 }).start(),
    new UdpProducer({ ...load('udp', udp, 0.01), mayRepeat: true }),
    new HttpProducer({ ...load('ndjson', http, 0.08), batch: 10 }),
    new WebSocketProducer({ ...load('websocket', http, 0.04), inFlight: 8 }).start(),
  ];
}
