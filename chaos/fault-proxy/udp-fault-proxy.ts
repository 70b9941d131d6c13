/** The bad network for datagrams: see link-faults.ts. Each client has a socket of its own to the server, so that answers find back. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
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
  OVERTAKEN_MS,
} from './link-faults.ts';

/** A client that was not heard for so long is forgotten. */
const FORGOTTEN_AFTER_MS = 3000;
/** Datagrams under way, over all clients. Above: dropped, as a router would. */
const UNDER_WAY_MAX = 10_000;

interface Client {
  readonly upstream: Socket;
  heardMs: number;
}

export class UdpFaultProxy implements FaultProxy {
  readonly #socket: Socket;
  readonly #random: Random;
  readonly #pace = { 'to-server': new LinkPace(), 'to-client': new LinkPace() };
  readonly #clients = new Map<string, Client>();
  readonly #underWay = new Set<NodeJS.Timeout>();
  #sweptMs = 0;
  #faults = NO_FAULTS;
  vanished = 0;

  static async open({ upstreamPort, random }: FaultProxyOptions): Promise<FaultProxy> {
    const socket = createSocket('udp4');
    const proxy = new UdpFaultProxy(socket, upstreamPort, random);
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return proxy;
  }

  constructor(socket: Socket, upstreamPort: number, random: Random) {
    this.#socket = socket;
    this.#random = random;
    socket.on('message', (datagram, from) => {
      const { upstream } = this.#clientAt(from.port, from.address);
      this.#carry(datagram, 'to-server', () => upstream.send(datagram, upstreamPort, '127.0.0.1', () => {}));
    });
    socket.on('error', () => {});
  }

  get port(): number {
    return this.#socket.address().port;
  }

  get connections(): number {
    return this.#clients.size;
  }

  set(faults: Partial<LinkFaults>): void {
    this.#faults = { ...this.#faults, ...faults };
  }

  heal(): void {
    this.#faults = NO_FAULTS;
  }

  /** There is nothing to end; answers under way are lost. */
  cut(): number {
    const count = this.#clients.size;
    for (const key of [...this.#clients.keys()]) this.#forget(key);
    return count;
  }

  async close(): Promise<void> {
    for (const timer of this.#underWay) clearTimeout(timer);
    this.cut();
    this.#socket.close();
    await once(this.#socket, 'close');
  }

  #clientAt(port: number, address: string): Client {
    this.#sweep();
    const key = `${address}:${port}`;
    let client = this.#clients.get(key);
    if (client === undefined) {
      const upstream = createSocket('udp4');
      upstream.on('error', () => {});
      upstream.on('message', (datagram) => {
        this.#carry(datagram, 'to-client', () => this.#socket.send(datagram, port, address, () => {}));
      });
      client = { upstream, heardMs: 0 };
      this.#clients.set(key, client);
    }
    client.heardMs = performance.now();
    return client;
  }

  #sweep(): void {
    const nowMs = performance.now();
    if (nowMs - this.#sweptMs < FORGOTTEN_AFTER_MS) return;
    this.#sweptMs = nowMs;
    for (const [key, { heardMs }] of this.#clients) if (nowMs - heardMs > FORGOTTEN_AFTER_MS) this.#forget(key);
  }

  #forget(key: string): void {
    this.#clients.get(key)?.upstream.close();
    this.#clients.delete(key);
  }

  #carry({ length }: Buffer, direction: Direction, send: () => void): void {
    const faults = this.#faults;
    if (isSilent(faults, direction) || hits(faults.lossFraction, this.#random)) {
      this.vanished++;
      return;
    }
    const copies = hits(faults.duplicateFraction, this.#random) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const overtakenMs = hits(faults.reorderFraction, this.#random) ? OVERTAKEN_MS : 0;
      const dueMs = this.#pace[direction].dueMs(length, faults, this.#random) + overtakenMs;
      this.#later(dueMs, faults, send);
    }
  }

  #later(dueMs: number, sentUnder: LinkFaults, send: () => void): void {
    const sendNow = (): void => {
      try {
        send();
      } catch {
        // The client was forgotten meanwhile.
      }
    };
    const waitMs = dueMs - performance.now();
    if (sentUnder === NO_FAULTS || waitMs <= 0) {
      sendNow();
      return;
    }
    if (this.#underWay.size >= UNDER_WAY_MAX) {
      this.vanished++;
      return;
    }
    const timer = setTimeout(() => {
      this.#underWay.delete(timer);
      sendNow();
    }, Math.ceil(waitMs));
    this.#underWay.add(timer);
  }
}
