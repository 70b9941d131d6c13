/**
 * Who talks to the nodes of a drill over Redis: producers over every listener that go to another node when theirs does not serve them, one beside
 * each node that goes nowhere else, subscribers that resume at any node, and what the handlers of all nodes were given.
 */
import { Clients } from '../clients.ts';
import { HandledFile } from '../evidence/handled-watch.ts';
import type { Values } from '../evidence/values.ts';
import type { DataPorts, NodeUnderTest } from '../node-under-test.ts';
import { HttpProducer } from '../producers/http-producer.ts';
import type { Producer } from '../producers/producer.ts';
import { Route } from '../producers/route.ts';
import { TcpProducer } from '../producers/tcp-producer.ts';
import { UdpProducer } from '../producers/udp-producer.ts';
import { WebSocketProducer } from '../producers/websocket-producer.ts';
import { SseSubscriber } from '../readers/sse-subscriber.ts';
import { WebSocketSubscriber } from '../readers/websocket-subscriber.ts';
import type { RedisMode } from './redis-nodes.ts';

export interface RedisClientOptions {
  readonly seed: number;
  readonly values: Values;
  readonly nodes: readonly NodeUnderTest[];
  readonly mode: RedisMode;
  /** Over all producers, about. */
  readonly recordsPerSecond: number;
  readonly handledPath: string;
}

const PROBE_PER_SECOND = 50;

export function startRedisClients(options: RedisClientOptions): Clients {
  const { values, nodes, mode, handledPath } = options;
  const doors = (name: keyof DataPorts, first: number): Route =>
    new Route(
      nodes.map(({ host, ports }) => ({ host: host.address, port: ports[name] })),
      first,
    );
  const probes = startProbes(options);
  const watch = { mayBeTold: true, hasManyTerms: mode === 'active-active' };
  const reader = (name: string, first: number) => ({ name, port: doors('http', first), values, watch });
  return new Clients({
    producers: [...probes, ...startLoad(options, doors)],
    probe: probes[0] as Producer,
    subscribers: [
      new WebSocketSubscriber(reader('websocket subscriber', 0)),
      new WebSocketSubscriber(reader('websocket subscriber b', 1)),
      new SseSubscriber(reader('sse subscriber', 2)),
    ],
    handled: new HandledFile(handledPath, values, { mayLoseHistory: true }),
  });
}

/** One record in flight. Where all nodes serve, one for each, that knows no other: it tells whether that node goes on. */
function startProbes({ seed, values, nodes, mode }: RedisClientOptions): Producer[] {
  const options = { values, hasSequence: true, inFlight: 1, reconnectMs: 2, framing: 'line' } as const;
  const addresses = nodes.map(({ host, ports }) => ({ host: host.address, port: ports.lines }));
  if (mode === 'active-standby') {
    const probe = { name: `probe-${seed}`, port: new Route(addresses), recordsPerSecond: PROBE_PER_SECOND };
    return [new TcpProducer({ ...options, ...probe }).start()];
  }
  return nodes.map((node, i) => {
    const port = new Route(addresses.slice(i, i + 1));
    const probe = { name: `probe-${node.name}-${seed}`, port, recordsPerSecond: PROBE_PER_SECOND / nodes.length };
    return new TcpProducer({ ...options, ...probe }).start();
  });
}

function startLoad(
  { seed, values, recordsPerSecond: all }: RedisClientOptions,
  doors: (name: keyof DataPorts, first: number) => Route,
): Producer[] {
  let first = 0;
  const load = (kind: string, door: keyof DataPorts, share: number) => {
    const recordsPerSecond = (all - PROBE_PER_SECOND) * share;
    return { name: `${kind}-${seed}`, port: doors(door, first++), values, recordsPerSecond };
  };
  const [line, length] = [{ framing: 'line' } as const, { framing: 'length' } as const];
  return [
    new TcpProducer({ ...load('lines', 'lines', 0.25), ...line, hasSequence: true, inFlight: 32 }).start(),
    new TcpProducer({ ...load('lines-b', 'lines', 0.15), ...line, hasSequence: true, inFlight: 8 }).start(),
    new TcpProducer({ ...load('plain', 'lines', 0.15), ...line, hasSequence: false, inFlight: 32 }).start(),
    new TcpProducer({ ...load('frames', 'frames', 0.15), ...length, hasSequence: true, inFlight: 16 }).start(),
    new UdpProducer(load('udp', 'udp', 0.03)),
    new HttpProducer({ ...load('http', 'http', 0.02), batch: 1 }),
    new HttpProducer({ ...load('ndjson', 'http', 0.15), batch: 10 }),
    new WebSocketProducer({ ...load('websocket', 'http', 0.1), inFlight: 8 }).start(),
  ];
}
