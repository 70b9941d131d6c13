/** For tests: listeners behind a load balancer that writes the header which it is told to. All of it ends with the test. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import type { StreamListener } from '../../core/contracts/listener.ts';
import type { LogFields, Logger } from '../../core/contracts/telemetry.ts';
import { DEFAULT_LIMITS, type Limits } from '../../core/limits.ts';
import { systemClock } from '../../core/ports/clock.ts';
import { createProxiedListener, type ProxiedListenerOptions } from './proxied-listener.ts';

export interface KeptLog extends Logger {
  readonly lines: (LogFields & { readonly event: string })[];
}

export function keptLog(): KeptLog {
  const lines: KeptLog['lines'] = [];
  const keep = (event: string, fields?: LogFields): void => void lines.push({ event, ...fields });
  return { lines, debug: keep, info: keep, warn: keep, error: keep };
}

export interface ProxiedChanges extends Partial<Omit<ProxiedListenerOptions, 'limits'>> {
  readonly limits?: Partial<Limits>;
}

/** `inner` behind a header, on a free port. */
export async function serveProxied(t: TestContext, inner: StreamListener, changes: ProxiedChanges = {}) {
  const logger = keptLog();
  const proxied = createProxiedListener({
    ...{ inner, logger, trustedProxies: ['127.0.0.0/8'], clock: systemClock },
    ...changes,
    limits: { ...DEFAULT_LIMITS, ...changes.limits },
  });
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => proxied.accept(socket));
  const port = await listen(t, server);
  return { proxied, port, logger };
}

/** A load balancer: sends the header, then passes bytes on both ways. `pieces`: how the header and the client's first bytes are cut. */
export async function balance(
  t: TestContext,
  target: number,
  header: Buffer,
  pieces: 'one' | 'bytes',
): Promise<number> {
  const server = createServer((client) => {
    const upstream = connect({ port: target, host: '127.0.0.1', noDelay: true });
    client.once('data', (first: Buffer) => {
      client.pause();
      const bytes = Buffer.concat([header, first]);
      // The cut that matters most is the one at the header's end, and bytes by themselves are the rest.
      const cuts = pieces === 'one' ? [bytes] : [...header.map((_, i) => i)].map((i) => header.subarray(i, i + 1));
      if (pieces === 'bytes') cuts.push(first);
      void writeApart(upstream, cuts).then(() => client.pipe(upstream));
    });
    upstream.pipe(client);
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      socket.on('error', () => {});
      socket.on('close', () => other.destroy());
    }
  });
  return listen(t, server);
}

/** Each piece in a packet of its own, as far as one process can see to it. */
async function writeApart(socket: Socket, pieces: readonly Uint8Array[]): Promise<void> {
  for (const piece of pieces) {
    await new Promise<void>((resolve) => socket.write(piece, () => resolve()));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function listen(t: TestContext, server: ReturnType<typeof createServer>): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}
