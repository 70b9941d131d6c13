/**
 * What fan-out costs without sockets: records x sessions per second, from stored record to `transport.write`, on transports that take everything.
 * Run: node src/push/fan-out.bench.ts [sessions]. Not measured: sockets, framing, the disk.
 */
import type { PushEncoder, Transport } from '../core/contracts/push.ts';
import { silentLogger } from '../core/contracts/telemetry.ts';
import { DEFAULT_LIMITS } from '../core/limits.ts';
import { systemClock } from '../core/ports/clock.ts';
import { seededRandom } from '../core/ports/random.ts';
import { recordSetOf } from '../core/record-set.ts';
import { openMemoryEngine } from '../engines/memory/memory-engine.ts';
import { createSessionQueues } from '../sessions/session-queue.ts';
import { createPush } from './push-hub.ts';

const HEAD = Buffer.from([0x81, 126, 1, 44]);

class FrameEncoder implements PushEncoder {
  encode(channel: string, record: Parameters<PushEncoder['encode']>[1], position: () => string): Buffer {
    const { partition, offset, timeMs } = record;
    const text = JSON.stringify({
      channel,
      partition,
      offset,
      time: timeMs,
      data: record.data.toString(),
      position: position(),
    });
    return Buffer.concat([HEAD, Buffer.from(text)]);
  }
  encodeGap(): Buffer {
    return HEAD;
  }
}

class NullTransport implements Transport {
  readonly encoder: PushEncoder;
  readonly bufferedBytes = 0;
  writes = 0;
  bytes = 0;
  constructor(encoder: PushEncoder) {
    this.encoder = encoder;
  }
  write(bytes: Buffer): void {
    this.writes++;
    this.bytes += bytes.length;
  }
  whenDrained(): void {}
  end(): void {}
}

async function measure(sessions: number, inFlight: number, channels: number): Promise<void> {
  const engine = openMemoryEngine({ clock: systemClock, random: seededRandom(1), limits: DEFAULT_LIMITS });
  const names = Array.from({ length: channels }, (_, i) => `c${i}`);
  for (const name of names) await engine.topics.ensure({ name, partitions: 2, retentionMs: null, retentionBytes: 1e6 });
  const push = createPush({
    topics: engine.topics,
    store: engine.store,
    limits: DEFAULT_LIMITS,
    policyFor: () => ({ policy: 'disconnect', queueBytesMax: 1 << 20 }),
    queues: createSessionQueues(DEFAULT_LIMITS),
    clock: systemClock,
    logger: silentLogger,
  });
  const encoder = new FrameEncoder();
  const transports = Array.from({ length: sessions }, () => new NullTransport(encoder));
  for (const transport of transports) {
    const session = push.openSession(transport);
    for (const name of names) await session.subscribe(name, 'now', () => {});
  }
  const set = recordSetOf([{ data: Buffer.alloc(200, 120) }]);
  const last = transports.at(-1) as NullTransport;
  const delivered = (): number => push.metrics().find(({ name }) => name.endsWith('live_deliveries_total'))?.value ?? 0;
  const run = async (ms: number): Promise<number> => {
    const start = delivered();
    const end = performance.now() + ms;
    while (performance.now() < end) {
      const writes = last.writes;
      for (let i = 0; i < inFlight; i++)
        void engine.store.append({ topic: names[i % channels] as string, partition: 0, set });
      while (last.writes === writes) await new Promise((resolve) => setImmediate(resolve));
    }
    return delivered() - start;
  };
  await run(500);
  const writesBefore = last.writes;
  const began = performance.now();
  const count = await run(1500);
  const seconds = (performance.now() - began) / 1000;
  const writes = last.writes - writesBefore;
  console.log(
    `${sessions} sessions, ${inFlight} in flight, ${channels} channels: ${(count / seconds / 1e6).toFixed(2)} M deliveries/s, ` +
      `${((writes * sessions) / seconds / 1e6).toFixed(2)} M writes/s, ${(count / sessions / writes).toFixed(1)} records per write`,
  );
  push.close();
  await engine.close();
}

const sessions = Number(process.argv[2] ?? 1000);
await measure(sessions, 1, 1);
await measure(sessions, 16, 1);
await measure(sessions, 16, 4);
