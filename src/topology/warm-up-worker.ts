/**
 * Makes a process quick at becoming a worker before it has to be: builds one over a store in memory, has a client of each kind store some
 * records through it, and takes it apart. What runs for the first time costs ten times as much and more: measured, 14 ms for the
 * building alone, 0.3 ms the second time.
 */
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ListenConfig, TandemConfig } from '../config/tandem-config.ts';
import { silentLogger } from '../core/contracts/telemetry.ts';
import type { WorkerRuntime } from '../core/contracts/worker.ts';
import { systemClock } from '../core/ports/clock.ts';
import { systemRandom } from '../core/ports/random.ts';
import { buildWorker } from './build-worker.ts';

const TOPIC = 'warm-up';
const ROUNDS = 20;
const LINES = 200;
const ANSWER_TIMEOUT_MS = 1000;

const PLAIN = { url: '', host: '', port: 0, tls: null } as const;
const LISTEN: readonly ListenConfig[] = [
  { ...PLAIN, protocol: 'tcp', topic: TOPIC, framing: 'line', ack: 'offset', trustedProxies: null },
  { ...PLAIN, protocol: 'http', trustedProxies: null },
];

/**
 * Some ten milliseconds, in pieces; gives up when `signal` says so. Resolves with how many clients were answered. Never rejects: without it
 * everything works, only slower.
 */
export async function warmUpWorker(config: TandemConfig, signal: AbortSignal): Promise<number> {
  let answered = 0;
  const path = join(tmpdir(), `tandem-warm-up-${process.pid}.sock`);
  let accept: (socket: Socket) => void = (socket) => socket.destroy();
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => accept(socket));
  try {
    const worker = await build(config);
    await once(server.listen(path), 'listening');
    for (let round = 0; round < ROUNDS && !signal.aborted; round++) {
      const index = round % LISTEN.length;
      accept = (socket) => worker.accept(index, socket);
      if (await isAnswered(path, index === 0 ? linesOf(round) : requestOf())) answered++;
    }
    await worker.drain(0);
    await worker.close();
  } catch {
    // A folder for temporary files that is full, say.
  } finally {
    server.close();
    rmSync(path, { force: true });
  }
  return answered;
}

async function build(config: TandemConfig): Promise<WorkerRuntime> {
  const { openMemoryEngine } = await import('../engines/memory/memory-engine.ts');
  const { limits } = config;
  const engine = openMemoryEngine({ clock: systemClock, random: systemRandom, limits, member: TOPIC });
  const topic = { name: TOPIC, partitions: 2, retentionMs: null, retentionBytes: null };
  return buildWorker({
    config: {
      ...config,
      listen: LISTEN,
      sources: [],
      topics: [topic],
      consumers: [],
      auth: { ...config.auth, isRequired: false, tokens: [] },
    },
    slot: { isFront: false, slot: 0, slots: 1, slotTerm: 2 },
    nodeTerm: 1,
    engine,
    secureContexts: [],
    pausedConsumers: [],
    health: () => ({ isReady: true, role: 'active', term: 1, reason: '' }),
    logger: silentLogger,
  });
}

/** Says it, and waits until the worker ends the connection. */
async function isAnswered(path: string, text: string): Promise<boolean> {
  const socket = connect(path).setEncoding('latin1');
  let answer = '';
  socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy());
  socket.on('error', () => {});
  socket.on('data', (part: string) => {
    answer += part;
  });
  socket.end(text);
  await new Promise((resolve) => socket.once('close', resolve));
  return /^OK |^HTTP\/1.1 201 /.test(answer);
}

/** With a producer every other time. */
function linesOf(round: number): string {
  const hello = round % 4 === 0 ? `HELLO {"producer":"warm-up-${round}","seq":1}\n` : '';
  return hello + `${'x'.repeat(100)}\n`.repeat(LINES);
}

const requestOf = (): string =>
  `POST /topics/${TOPIC} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx`;
