/**
 * A stream listener behind a load balancer (`proxy=on`): takes the PROXY protocol header off each connection, then hands it on as if the
 * client had connected by itself. It stands in front of the real listener (TCP, HTTP, TLS inside), which knows nothing of it; without
 * `proxy=on` it does not exist, and once the header is read it has no part in the connection.
 *
 * Refused with TANDEM_PROXY_HEADER: whoever is not in `trustedProxies`, no valid header, none complete within headerTimeoutMs. Never guessed.
 * A connection that ends before its first byte is a load balancer's look at the port: no complaint.
 */
import type { Socket } from 'node:net';
import type { StreamListener } from '../../core/contracts/listener.ts';
import type { Logger, MetricSample } from '../../core/contracts/telemetry.ts';
import { asTandemError, TandemError } from '../../core/errors.ts';
import type { Limits } from '../../core/limits.ts';
import type { Clock, Timer } from '../../core/ports/clock.ts';
import { nameClient } from './client-address.ts';
import { malformed, type ProxyHeader, readProxyHeader } from './proxy-header.ts';
import { RefusalLog } from './refusal-log.ts';
import { type TrustedSources, trustedSources } from './trusted-sources.ts';

export interface ProxiedListenerOptions {
  /** Serves what comes after the header. */
  readonly inner: StreamListener;
  /** Addresses and CIDR ranges. */
  readonly trustedProxies: readonly string[];
  /** The answer to who is refused, in the listener's own protocol; absent (TLS): cut without a word. */
  readonly refusal?: (error: TandemError) => string | Buffer;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Who is refused may finish sending meanwhile, or a reset would overtake the answer. */
const LINGER_MS = 1000;
/** Refused connections that linger. Above: cut without a word. */
const LINGERING_MAX = 256;

export function createProxiedListener(options: ProxiedListenerOptions): StreamListener {
  return new ProxiedListener(options);
}

class ProxiedListener implements StreamListener {
  readonly #options: ProxiedListenerOptions;
  readonly #isTrusted: TrustedSources;
  readonly #refusals: RefusalLog;
  /** Those whose header is not complete. */
  readonly #arriving = new Set<Arrival>();
  #lingering = 0;
  #isDraining = false;

  constructor(options: ProxiedListenerOptions) {
    this.#options = options;
    this.#isTrusted = trustedSources(options.trustedProxies);
    this.#refusals = new RefusalLog(options.logger, options.clock);
  }

  get connections(): number {
    return this.#options.inner.connections + this.#arriving.size;
  }

  accept(socket: Socket): void {
    socket.on('error', () => socket.destroy());
    const { limits, clock } = this.#options;
    const from = socket.remoteAddress;
    if (from === undefined) {
      socket.destroy();
    } else if (!this.#isTrusted(from)) {
      this.#refuse(socket, from, malformed(`${from} is not in trustedProxies`));
    } else if (this.#isDraining || this.connections >= limits.connectionsMax) {
      this.#turnAway(socket);
    } else {
      const timer = clock.after(limits.headerTimeoutMs, () => arrival.fail(malformed('it did not come in time')));
      const arrival = new Arrival(socket, timer, (header) => {
        this.#arriving.delete(arrival);
        if (header === undefined) return;
        if (header instanceof TandemError) this.#refuse(socket, from, header);
        else this.#handOn(socket, header);
      });
      this.#arriving.add(arrival);
      arrival.begin();
    }
  }

  async drain(deadlineMs: number): Promise<void> {
    this.#isDraining = true;
    for (const { socket } of this.#arriving) socket.destroy();
    await this.#options.inner.drain(deadlineMs);
  }

  metrics(): MetricSample[] {
    const refused: MetricSample = {
      name: 'tandem_listener_proxy_refused_total',
      kind: 'counter',
      help: 'Connections without a valid PROXY protocol header from a trusted source',
      value: this.#refusals.count,
    };
    return [...this.#options.inner.metrics(), refused];
  }

  #handOn(socket: Socket, { client }: ProxyHeader): void {
    if (client !== undefined) nameClient(socket, client.source);
    this.#options.inner.accept(socket);
  }

  #refuse(socket: Socket, from: string, error: TandemError): void {
    this.#refusals.note(error, from);
    this.#end(socket, error);
  }

  #turnAway(socket: Socket): void {
    this.#end(socket, new TandemError(this.#isDraining ? 'TANDEM_DRAINING' : 'TANDEM_CONNECTIONS_LIMIT'));
  }

  #end(socket: Socket, error: TandemError): void {
    const { refusal, clock } = this.#options;
    if (refusal === undefined || this.#lingering >= LINGERING_MAX || !socket.writable) {
      socket.destroy();
      return;
    }
    this.#lingering++;
    socket.end(refusal(error));
    socket.resume();
    const timer = clock.after(LINGER_MS, () => socket.destroy());
    socket.once('close', () => {
      timer.cancel();
      this.#lingering--;
    });
  }
}

/** What became of it; undefined: the connection ended and nothing need be said. */
type Outcome = ProxyHeader | TandemError | undefined;

/** One connection until its header is there. Reports once. */
class Arrival {
  readonly socket: Socket;
  readonly #timer: Timer;
  readonly #report: (outcome: Outcome) => void;
  #held: Buffer | undefined;
  readonly #onData = (chunk: Buffer): void => this.#read(chunk);
  readonly #onEnd = (): void => this.fail(this.#held && malformed('the connection ended inside it'));
  readonly #onClose = (): void => this.#settle(undefined);

  constructor(socket: Socket, timer: Timer, report: (outcome: Outcome) => void) {
    this.socket = socket;
    this.#timer = timer;
    this.#report = report;
  }

  begin(): void {
    this.socket.on('data', this.#onData);
    this.socket.on('end', this.#onEnd);
    this.socket.on('close', this.#onClose);
    this.socket.resume();
  }

  /** undefined: without a word. */
  fail(error: TandemError | undefined): void {
    if (error === undefined) this.socket.destroy();
    this.#settle(error);
  }

  #read(chunk: Buffer): void {
    const bytes = this.#held === undefined ? chunk : Buffer.concat([this.#held, chunk]);
    this.#held = bytes;
    try {
      const header = readProxyHeader(bytes);
      if (header === undefined) return;
      this.socket.pause();
      // What came after it is the client's: the next reader gets it first.
      if (header.length < bytes.length) this.socket.unshift(bytes.subarray(header.length));
      this.#settle(header);
    } catch (thrown) {
      this.fail(asTandemError(thrown));
    }
  }

  #settle(outcome: Outcome): void {
    this.#timer.cancel();
    this.socket.off('data', this.#onData);
    this.socket.off('end', this.#onEnd);
    this.socket.off('close', this.#onClose);
    this.#report(outcome);
  }
}
