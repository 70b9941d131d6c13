/**
 * One fan-out run in a process of its own: K broadcasts in flight to all clients; the next one is sent when the oldest has reached everyone.
 * A frame counts as delivered when its last byte has begun to arrive; latency is from sending a broadcast to its last delivery.
 * `node bench/load/fanout-main.ts '<json>'`, prints the result as JSON.
 */
import { connect } from 'node:net';
import { percentile } from '../measure.ts';
import { type ClientsOptions, WebSocketClients } from './websocket-clients.ts';

export interface FanoutArguments extends ClientsOptions {
  /** Lines written here are broadcast. */
  readonly publishPort: number;
  readonly payloadBytes: number;
  readonly inFlight: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
}

export interface FanoutResult {
  readonly deliveriesPerSecond: number;
  readonly latencyMs: { readonly p50: number; readonly p99: number };
}

async function run(args: FanoutArguments): Promise<FanoutResult> {
  const clients = new WebSocketClients(args);
  await clients.open();
  const publisher = connect(args.publishPort, '127.0.0.1');
  publisher.setNoDelay(true);
  // Answers (Tandem's acks) are read and dropped.
  publisher.resume();
  const line = Buffer.from(`${'p'.repeat(args.payloadBytes)}\n`);
  const sentMs: number[] = [];
  const latencies: number[] = [];
  let finished = 0;
  let isCounting = false;
  const send = (): void => {
    sentMs.push(performance.now());
    publisher.write(line);
  };
  clients.onDelivered = () => {
    while (clients.delivered >= (finished + 1) * args.clients) {
      if (isCounting) latencies.push(performance.now() - (sentMs[finished] as number));
      finished++;
      send();
    }
  };
  for (let i = 0; i < args.inFlight; i++) send();
  await new Promise((resolve) => setTimeout(resolve, args.warmUpSeconds * 1000));
  isCounting = true;
  const before = clients.delivered;
  const startedMs = performance.now();
  await new Promise((resolve) => setTimeout(resolve, args.seconds * 1000));
  const deliveriesPerSecond = ((clients.delivered - before) / (performance.now() - startedMs)) * 1000;
  return { deliveriesPerSecond, latencyMs: { p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99) } };
}

console.log(JSON.stringify(await run(JSON.parse(process.argv[2] ?? '{}') as FanoutArguments)));
process.exit(0);
