/** The bad network for connections: see link-faults.ts. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Random } from '../../src/core/ports/random.ts';
import {
  type Direction,
  type FaultProxy,
  type FaultProxyOptions,
  hits,
  isSilent,
  type LinkFaults,
  LinkPace,
  NO_FAULTS,
  RETRANSMISSION_MS,
} from './link-faults.ts';

/** Bytes under way in one direction of a connection. Above: its sender is not read. */
const UNDER_WAY_BYTES_MAX = 1024 * 1024;

interface Link {
  readonly faults: LinkFaults;
  readonly random: Random;
  readonly pace: { readonly [D in Direction]: LinkPace };
  vanished: number;
}

export class TcpFaultProxy implements FaultProxy, Link {
  readonly #server: Server;
  readonly #connections = new Set<ProxiedConnection>();
  readonly random: Random;
  readonly pace = { 'to-server': new LinkPace(), 'to-client': new LinkPace() };
  faults = NO_FAULTS;
  vanished = 0;

  static async open({ upstreamPort, random }: FaultProxyOptions): Promise<FaultProxy> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    const proxy = new TcpFaultProxy(server, upstreamPort, random);
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return proxy;
  }

  constructor(server: Server, upstreamPort: number, random: Random) {
    this.#server = server;
    this.random = random;
    server.on('connection', (socket) => this.#accept(socket, upstreamPort));
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  get connections(): number {
    return this.#connections.size;
  }

  set(faults: Partial<LinkFaults>): void {
    this.faults = { ...this.faults, ...faults };
  }

  heal(): void {
    this.faults = NO_FAULTS;
    for (const pace of Object.values(this.pace)) pace.heal();
    for (const connection of this.#connections) {
      if (connection.isBroken) connection.end('reset');
      else connection.hasten();
    }
  }

  cut(how: 'reset' | 'end'): number {
    const count = this.#connections.size;
    for (const connection of [...this.#connections]) connection.end(how);
    return count;
  }

  async close(): Promise<void> {
    const closed = once(this.#server.close(), 'close');
    this.cut('reset');
    await closed;
  }

  #accept(client: Socket, upstreamPort: number): void {
    if (this.faults.accept === 'refuse') {
      client.on('error', () => {});
      client.resetAndDestroy();
      return;
    }
    const upstream = this.faults.accept === 'silence' ? undefined : upstreamPort;
    const connection = new ProxiedConnection(client, upstream, this, () => this.#connections.delete(connection));
    this.#connections.add(connection);
  }
}

class ProxiedConnection {
  readonly #sockets: Socket[];
  readonly #flows: Flow[] = [];
  readonly #onEnd: () => void;
  #open: number;

  /** Without an upstream port it is never served. */
  constructor(client: Socket, upstreamPort: number | undefined, link: Link, onEnd: () => void) {
    this.#onEnd = onEnd;
    this.#sockets = [client];
    if (upstreamPort !== undefined) {
      const server = connect({ port: upstreamPort, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
      this.#sockets.push(server);
      this.#flows.push(new Flow(client, server, 'to-server', link), new Flow(server, client, 'to-client', link));
    }
    this.#open = this.#sockets.length;
    this.#sockets.forEach((socket, i) => {
      const direction: Direction = i === 0 ? 'to-server' : 'to-client';
      // A reset; where nothing arrives, it does not either.
      socket.on('error', () => {
        if (isSilent(link.faults, direction)) this.#flows[i]?.lose();
        else this.end('reset');
      });
      socket.on('close', () => {
        if (--this.#open === 0) this.end('end');
      });
    });
  }

  /** It was never served, or bytes have vanished. */
  get isBroken(): boolean {
    return this.#flows.length === 0 || this.#flows.some(({ hasLost }) => hasLost);
  }

  hasten(): void {
    for (const flow of this.#flows) flow.hasten();
  }

  end(how: 'reset' | 'end'): void {
    for (const flow of this.#flows) flow.stop();
    for (const socket of this.#sockets) {
      if (how === 'reset' && !socket.connecting) socket.resetAndDestroy();
      else socket.destroy();
    }
    this.#onEnd();
  }
}

interface UnderWay {
  /** null: the end of the stream. */
  readonly chunk: Buffer | null;
  readonly dueMs: number;
}

/** One direction of a connection. */
class Flow {
  readonly #source: Socket;
  readonly #target: Socket;
  readonly #direction: Direction;
  readonly #link: Link;
  #underWay: UnderWay[] = [];
  #underWayBytes = 0;
  #isTargetFull = false;
  #timer: NodeJS.Timeout | undefined;
  hasLost = false;

  constructor(source: Socket, target: Socket, direction: Direction, link: Link) {
    this.#source = source;
    this.#target = target;
    this.#direction = direction;
    this.#link = link;
    source.on('data', (chunk: Buffer) => this.#take(chunk));
    source.on('end', () => this.#take(null));
    target.on('drain', () => {
      this.#isTargetFull = false;
      this.#balance();
    });
  }

  lose(): void {
    this.hasLost = true;
    this.#link.vanished++;
  }

  /** What is under way arrives now. */
  hasten(): void {
    this.#underWay = this.#underWay.map(({ chunk }) => ({ chunk, dueMs: 0 }));
    this.#deliver();
    this.#balance();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#underWay = [];
  }

  #take(chunk: Buffer | null): void {
    const { faults, random, pace } = this.#link;
    if (this.hasLost || isSilent(faults, this.#direction)) {
      this.lose();
      return;
    }
    const retransmissionMs = hits(faults.lossFraction, random) ? RETRANSMISSION_MS : 0;
    const dueMs = pace[this.#direction].dueMs(chunk?.length ?? 0, faults, random) + retransmissionMs;
    // Behind all that is under way: bytes keep their order.
    this.#underWay.push({ chunk, dueMs: Math.max(dueMs, this.#underWay.at(-1)?.dueMs ?? 0) });
    this.#underWayBytes += chunk?.length ?? 0;
    this.#deliver();
    this.#balance();
  }

  #deliver(): void {
    clearTimeout(this.#timer);
    for (;;) {
      const next = this.#underWay[0];
      if (next === undefined) break;
      const waitMs = next.dueMs - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#deliver(), Math.ceil(waitMs));
        break;
      }
      this.#underWay.shift();
      this.#hand(next.chunk);
    }
    this.#balance();
  }

  /** What was under way when the outage began is lost too. */
  #hand(chunk: Buffer | null): void {
    this.#underWayBytes -= chunk?.length ?? 0;
    if (this.hasLost || isSilent(this.#link.faults, this.#direction)) this.lose();
    else if (chunk === null) this.#target.end();
    else if (!this.#target.write(chunk)) this.#isTargetFull = true;
  }

  #balance(): void {
    const isFull = this.#isTargetFull || this.#underWayBytes > UNDER_WAY_BYTES_MAX;
    if (isFull) this.#source.pause();
    else if (this.#source.isPaused()) this.#source.resume();
  }
}
