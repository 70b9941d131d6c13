/** TCP listener: a stream of records per connection, lines or length-framed, plain or TLS. Wire format: docs/protocols.md. */
import type { Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';
import type { StreamListener } from '../../core/contracts/listener.ts';
import type { MetricSample } from '../../core/contracts/telemetry.ts';
import { TandemError } from '../../core/errors.ts';
import { inheritClient } from '../proxy-protocol/client-address.ts';
import { frameText, refusalText } from './answers.ts';
import { TcpConnection } from './tcp-connection.ts';
import type { TcpListenerOptions } from './tcp-options.ts';

export function createTcpListener(options: TcpListenerOptions): StreamListener {
  return new TcpListener(options);
}

class TcpListener implements StreamListener {
  readonly #options: TcpListenerOptions;
  readonly #open = new Map<Socket, TcpConnection | undefined>();
  #isDraining = false;
  #accepted = 0;
  #turnedAway = 0;
  #drained: (() => void) | undefined;

  constructor(options: TcpListenerOptions) {
    this.#options = options;
  }

  get connections(): number {
    return this.#open.size;
  }

  accept(raw: Socket): void {
    const { limits, framing } = this.#options;
    // A client may go away at any moment; what it had in hand is answered to nobody.
    raw.on('error', () => raw.destroy());
    const isFull = this.#open.size >= limits.connectionsMax;
    if (isFull || this.#isDraining) {
      this.#turnedAway++;
      raw.end(
        frameText(refusalText(new TandemError(isFull ? 'TANDEM_CONNECTIONS_LIMIT' : 'TANDEM_DRAINING')), framing),
      );
      return;
    }
    this.#accepted++;
    if (this.#options.secureContext === undefined) this.#serve(raw, raw);
    else this.#handshake(raw, this.#options.secureContext);
  }

  async drain(deadlineMs: number): Promise<void> {
    this.#isDraining = true;
    for (const connection of this.#open.values()) connection?.drain();
    if (this.#open.size === 0) return;
    const timer = setTimeout(() => {
      for (const socket of this.#open.keys()) socket.destroy();
    }, deadlineMs);
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
    clearTimeout(timer);
  }

  metrics(): MetricSample[] {
    const labels = { listener: 'tcp', topic: this.#options.topic };
    return [
      { name: 'tandem_listener_connections', kind: 'gauge', help: 'Open connections', labels, value: this.#open.size },
      {
        name: 'tandem_listener_accepted_total',
        kind: 'counter',
        help: 'Accepted connections',
        labels,
        value: this.#accepted,
      },
      {
        name: 'tandem_listener_turned_away_total',
        kind: 'counter',
        help: 'Connections over the limit',
        labels,
        value: this.#turnedAway,
      },
    ];
  }

  #handshake(raw: Socket, secureContext: SecureContext): void {
    this.#track(raw, raw, undefined);
    const secure = new TLSSocket(raw, { isServer: true, secureContext });
    inheritClient(raw, secure);
    secure.setTimeout(this.#options.limits.headerTimeoutMs, () => secure.destroy());
    secure.on('error', () => secure.destroy());
    secure.once('secure', () => this.#serve(raw, secure));
  }

  #serve(raw: Socket, socket: Socket): void {
    socket.removeAllListeners('timeout');
    const connection = new TcpConnection(socket, this.#options);
    this.#track(raw, socket, connection);
    if (this.#isDraining) connection.drain();
    socket.resume();
  }

  #track(raw: Socket, socket: Socket, connection: TcpConnection | undefined): void {
    this.#open.set(raw, connection);
    socket.once('close', () => {
      this.#open.delete(raw);
      if (this.#open.size === 0) this.#drained?.();
    });
  }
}
