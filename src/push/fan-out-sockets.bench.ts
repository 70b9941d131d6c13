/**
 * A probe of fan-out over real WebSocket connections: this stage on a memory engine beside the `ws` library's plain broadcast, the same message, the
 * same clients (another process on the same machine). Run: node src/push/fan-out-sockets.bench.ts [sessions] [seconds].
 * Says deliveries/s, server CPU per delivery, and p50/p99 of latency from the append (or send) to the client.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import type { PushEncoder, Transport } from '../core/contracts/push.ts';
import { silentLogger } from '../core/contracts/telemetry.ts';
import { DEFAULT_LIMITS } from '../core/limits.ts';
import { systemClock } from '../core/ports/clock.ts';
import { seededRandom } from '../core/ports/random.ts';
import { recordSetOf } from '../core/record-set.ts';
import { openMemoryEngine } from '../engines/memory/memory-engine.ts';
import { createSessionQueues } from '../sessions/session-queue.ts';
import { createPush } from './push-hub.ts';

interface Report {
  readonly frames: number;
  readonly latenciesMs: number[];
}
interface Contender {
  readonly port: number;
  broadcast(data: string): void;
  close(): void;
}

const nowMs = (): number => Number(process.hrtime.bigint() / 1000n) / 1000;
const textOf = (offset: number, data: string, position: string): string =>
  JSON.stringify({ jsonrpc: '2.0', method: 'record', params: { channel: 'c', partition: 0, offset, data, position } });

// ---------------------------------------------------------------- the clients

/** Counts frames of `ws`-style servers (unmasked, up to 64 KiB); every 64th connection reads the time in them. */
class FrameCounter {
  #rest: Buffer = Buffer.alloc(0);
  readonly #isSampled: boolean;
  constructor(isSampled: boolean) {
    this.#isSampled = isSampled;
  }
  take(chunk: Buffer, latenciesMs: number[]): number {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    let frames = 0;
    while (at + 4 <= bytes.length) {
      const short = (bytes[at + 1] as number) & 127;
      const head = short === 126 ? 4 : 2;
      const end = at + head + (short === 126 ? bytes.readUInt16BE(at + 2) : short);
      if (end > bytes.length) break;
      if (this.#isSampled) {
        const text = bytes.toString('latin1', at, end);
        const time = text.indexOf('"data":"') + 8;
        latenciesMs.push(nowMs() - Number.parseFloat(text.slice(time, time + 20)));
      }
      frames++;
      at = end;
    }
    this.#rest = bytes.subarray(at);
    return frames;
  }
}

function runClients(): void {
  process.once('message', async ({ port, sessions }: { port: number; sessions: number }) => {
    let frames = 0;
    let done = 0;
    let latenciesMs: number[] = [];
    for (let i = 0; i < sessions; i++) {
      const socket = connect(port, '127.0.0.1');
      socket.write(
        'GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n',
      );
      await once(socket, 'data');
      const counter = new FrameCounter(i % 64 === 0);
      socket.on('data', (chunk: Buffer) => {
        frames += counter.take(chunk, latenciesMs);
        if (Math.floor(frames / sessions) === done) return;
        done = Math.floor(frames / sessions);
        process.send?.({ frames, latenciesMs });
        latenciesMs = [];
      });
    }
    process.send?.({ frames: 0, latenciesMs: [] });
  });
}

// ---------------------------------------------------------------- the servers

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function plainWs(): Promise<Contender> {
  const server = createServer();
  const wss = new WebSocketServer({ server, perMessageDeflate: false });
  let offset = 0;
  const port = await listening(server);
  const broadcast = (data: string): void => {
    const text = textOf(offset++, data, 'W1swLCI0NDAwMzkyNTc3OGI5ZGE2Iiw0XV0');
    for (const client of wss.clients as Set<WebSocket>) client.send(text);
  };
  return { port, broadcast, close: () => process.nextTick(() => server.closeAllConnections()) };
}

class FrameEncoder implements PushEncoder {
  encode(_channel: string, record: Parameters<PushEncoder['encode']>[1], position: () => string): Buffer {
    const text = Buffer.from(textOf(record.offset, record.data.toString(), position()));
    const frame = Buffer.allocUnsafeSlow(text.length + 4);
    frame[0] = 0x81;
    frame[1] = 126;
    frame.writeUInt16BE(text.length, 2);
    frame.set(text, 4);
    return frame;
  }
  encodeGap(): Buffer {
    throw new Error('a gap in the probe');
  }
}

class SocketTransport implements Transport {
  readonly encoder: PushEncoder;
  readonly #socket: Socket;
  constructor(socket: Socket, encoder: PushEncoder) {
    this.#socket = socket;
    this.encoder = encoder;
  }
  get bufferedBytes(): number {
    return this.#socket.writableLength;
  }
  write(bytes: Buffer): void {
    this.#socket.write(bytes);
  }
  whenDrained(callback: () => void): void {
    // 'drain' comes only above the high-water mark; an empty write is called back when all before it are taken.
    this.#socket.write('', () => callback());
  }
  end(error: Error): void {
    if (!error.message.includes('shutting down')) console.error('ended:', error.message);
    this.#socket.destroy();
  }
}

async function tandem(): Promise<Contender> {
  const engine = openMemoryEngine({ clock: systemClock, random: seededRandom(1), limits: DEFAULT_LIMITS });
  await engine.topics.ensure({ name: 'c', partitions: 1, retentionMs: null, retentionBytes: 4e6 });
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
  const server = createServer();
  const sockets: Socket[] = [];
  server.on('upgrade', (request, socket: Socket) => {
    sockets.push(socket);
    socket.setNoDelay(true);
    const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash('sha1').update(key).digest('base64');
    const session = push.openSession(new SocketTransport(socket, encoder));
    socket.on('error', () => {}).on('close', () => session.close());
    void session.subscribe('c', 'now', () => {
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      );
    });
  });
  const port = await listening(server);
  return {
    port,
    broadcast: (data) =>
      void engine.store.append({ topic: 'c', partition: 0, set: recordSetOf([{ data: Buffer.from(data) }]) }),
    close: () => {
      push.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

// ---------------------------------------------------------------- the measure

const padding = 'x'.repeat(180);
const stamped = (): string => `${nowMs().toFixed(3)} `.padEnd(20) + padding;

async function measure(
  name: string,
  open: () => Promise<Contender>,
  sessions: number,
  inFlight: number,
  seconds: number,
) {
  const contender = await open();
  const clients: ChildProcess = fork(import.meta.filename, ['clients']);
  clients.send({ port: contender.port, sessions });
  await once(clients, 'message');
  let sent = 0;
  let received = 0;
  let latenciesMs: number[] = [];
  clients.on('message', (report: Report) => {
    received = report.frames;
    for (const latencyMs of report.latenciesMs) latenciesMs.push(latencyMs);
    for (const done = Math.floor(received / sessions); sent < done + inFlight; sent++) contender.broadcast(stamped());
  });
  for (; sent < inFlight; sent++) contender.broadcast(stamped());
  await new Promise((resolve) => setTimeout(resolve, 500));
  const [before, cpu, began] = [received, process.cpuUsage(), performance.now()];
  latenciesMs = [];
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const count = received - before;
  const { user, system } = process.cpuUsage(cpu);
  const perSecond = count / ((performance.now() - began) / 1000);
  latenciesMs.sort((a, b) => a - b);
  const at = (share: number): string => (latenciesMs[Math.floor(latenciesMs.length * share)] ?? 0).toFixed(1);
  console.log(
    `${name.padEnd(7)} ${sessions} x ${String(inFlight).padStart(2)} in flight: ${(perSecond / 1000).toFixed(0).padStart(5)} k deliveries/s, ` +
      `${((user + system) / count).toFixed(2)} us CPU each, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`,
  );
  clients.kill();
  await once(clients, 'exit');
  contender.close();
}

if (process.argv[2] === 'clients') runClients();
else {
  const sessions = Number(process.argv[2] ?? 1000);
  const seconds = Number(process.argv[3] ?? 3);
  for (const inFlight of [1, 16])
    for (const [name, open] of [
      ['ws', plainWs],
      ['tandem', tandem],
    ] as const)
      await measure(name, open, sessions, inFlight, seconds);
  process.exit(0);
}
