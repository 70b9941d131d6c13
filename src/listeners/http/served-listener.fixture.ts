/** For tests: the HTTP listener on a free port of loopback, before the real ingest, push and memory engine. All of it ends with the test. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import type { Authenticator } from '../../core/contracts/auth.ts';
import { silentLogger } from '../../core/contracts/telemetry.ts';
import { TandemError } from '../../core/errors.ts';
import { DEFAULT_LIMITS, type Limits } from '../../core/limits.ts';
import { createOriginGuard, type OriginGuard, type OriginRules } from '../../core/origin-guard.ts';
import { systemClock } from '../../core/ports/clock.ts';
import { systemRandom } from '../../core/ports/random.ts';
import { recordsOf } from '../../core/record-set.ts';
import { openMemoryEngine } from '../../engines/memory/memory-engine.ts';
import { createIngest } from '../../ingest/ingest.ts';
import { createPush } from '../../push/push-hub.ts';
import { createSessionQueues } from '../../sessions/session-queue.ts';
import { createHttpListener, type HttpListenerOptions } from './http-listener.ts';

const everybody: Authenticator = {
  isRequired: false,
  authenticate: () => ({ name: 'anonymous', may: () => true }),
};

/** Tokens `all`, `publisher`, `reader`. */
export const threeTokens: Authenticator = {
  isRequired: true,
  authenticate(token) {
    if (token === undefined) throw new TandemError('TANDEM_AUTH_REQUIRED');
    if (token === 'all') return { name: token, may: () => true };
    if (token === 'publisher') return { name: token, may: (right) => right === 'publish' };
    if (token === 'reader') return { name: token, may: (right) => right === 'subscribe' };
    throw new TandemError('TANDEM_AUTH_INVALID');
  },
};

/** By default of a listener that any Host reaches, without tokens. */
export const guardOf = (rules: Partial<OriginRules>): OriginGuard =>
  createOriginGuard({ host: '0.0.0.0', isTls: false, isAuthRequired: false, allowedOrigins: [], ...rules });

interface ServedOptions {
  readonly listener?: Partial<HttpListenerOptions>;
  readonly limits?: Partial<Limits>;
  readonly partitions?: number;
}

export async function serveListener(t: TestContext, { listener: changes = {}, ...more }: ServedOptions = {}) {
  const limits: Limits = { ...DEFAULT_LIMITS, ...more.limits };
  const clock = systemClock;
  const engine = openMemoryEngine({ clock, random: systemRandom, limits: DEFAULT_LIMITS });
  const { topics, store } = engine;
  const newTopic = (name: string) => ({
    name,
    partitions: more.partitions ?? 1,
    retentionMs: null,
    retentionBytes: null,
  });
  const ingest = createIngest({ topics, store, clock, limits, newTopic });
  const policyFor = () => ({ policy: 'disconnect', queueBytesMax: 1 << 20 }) as const;
  const queues = createSessionQueues(limits);
  const push = createPush({ topics, store, limits, policyFor, queues, clock, logger: silentLogger });
  const listener = createHttpListener({
    ...{ ingest, topics, store, push, limits, clock },
    authenticator: everybody,
    originGuard: guardOf({}),
    logger: silentLogger,
    nodeTerm: 7,
    ackLevel: 'memory',
    health: () => ({ isReady: true, role: 'active', term: 7, reason: 'ok' }),
    ...changes,
  });
  const server = createServer({ pauseOnConnect: true }, (socket) => listener.accept(socket));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const sockets: Socket[] = [];
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    push.close();
    await listener.drain(0);
  });
  const dial = (): RawClient => {
    const client = new RawClient(connect(port, '127.0.0.1'));
    sockets.push(client.socket);
    return client;
  };
  const stored = async (topic: string, partition = 0): Promise<string[]> => {
    const { batches } = await store.read({ topic, partition }, { epoch: '', offset: 0 }, 1 << 26);
    return batches.flatMap((batch) => recordsOf(batch).map((record) => record.data.toString()));
  };
  const url = `http://127.0.0.1:${port}`;
  return { engine, ingest, push, listener, port, url, dial, stored, newTopic };
}

/** A client that speaks bytes. */
export class RawClient {
  readonly socket: Socket;
  isEnded = false;
  #chunks: Buffer[] = [];
  #changed: () => void = () => {};

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#changed();
    });
    const ended = (): void => {
      this.isEnded = true;
      this.#changed();
    };
    socket.on('end', ended);
    socket.on('close', ended);
    socket.on('error', () => {});
  }

  get received(): Buffer {
    const all = Buffer.concat(this.#chunks);
    this.#chunks = [all];
    return all;
  }

  get text(): string {
    return this.received.toString();
  }

  /** Resolves when the condition holds; rejects if the server ends first. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.isEnded) throw new Error(`ended early, after: ${this.text.slice(0, 500)}`);
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }

  /** All that came until the server ended. */
  async untilEnd(): Promise<string> {
    while (!this.isEnded) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
    return this.text;
  }
}

/** Resolves when the condition holds, looked at after each turn of the event loop; rejects after ten seconds. */
export async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 10_000;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error('it did not come to pass');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
