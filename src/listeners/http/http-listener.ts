/**
 * HTTP listener: HTTP/1.1, Server-Sent Events and WebSocket on one port, plain or TLS. The keeper accepts; nothing here listens.
 *
 * Limits: request heads (16 KiB, headerTimeoutMs), bodies (request-body.ts; complete within idleTimeoutMs), idle connections (idleTimeoutMs),
 * connections (connectionsMax). A client that breaks a rule is answered where it can be and loses its own connection only.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';
import type { Authenticator } from '../../core/contracts/auth.ts';
import type { AckLevel, RecordStore, TopicCatalog } from '../../core/contracts/engine.ts';
import type { Health } from '../../core/contracts/health.ts';
import type { Ingest } from '../../core/contracts/ingest.ts';
import type { StreamListener } from '../../core/contracts/listener.ts';
import type { Push } from '../../core/contracts/push.ts';
import type { Logger, MetricSample } from '../../core/contracts/telemetry.ts';
import { asTandemError, TandemError } from '../../core/errors.ts';
import type { Limits } from '../../core/limits.ts';
import type { OriginGuard } from '../../core/origin-guard.ts';
import type { Clock } from '../../core/ports/clock.ts';
import { inheritClient } from '../proxy-protocol/client-address.ts';
import { acceptHandshake, offersSubprotocol, WEBSOCKET_VERSION } from '../websocket/handshake.ts';
import { WebSocketEndpoint } from '../websocket/web-socket-endpoint.ts';
import { tokenOf } from './access.ts';
import { rawErrorAnswer } from './answers.ts';
import { ByteBudget } from './byte-budget.ts';
import type { HttpHub } from './http-exchange.ts';
import { route, splitUrl, WEBSOCKET_PATH } from './router.ts';
import { SseEncoder } from './sse-encoder.ts';
import { SseStreams } from './sse-streams.ts';

export interface HttpListenerOptions {
  readonly ingest: Ingest;
  readonly topics: TopicCatalog;
  readonly store: RecordStore;
  readonly push: Push;
  readonly authenticator: Authenticator;
  readonly originGuard: OriginGuard;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly health: () => Health;
  /** Under which the node serves: in answers and deliveries. */
  readonly nodeTerm: number;
  /** What an acknowledged record has reached: in answers. */
  readonly ackLevel: AckLevel;
  /** Present: TLS (HTTPS and WSS). */
  readonly secureContext?: SecureContext;
}

export function createHttpListener(options: HttpListenerOptions): StreamListener {
  return new HttpListener(options);
}

const HEAD_BYTES_MAX = 16 * 1024;
/** How often Node looks for heads and bodies that are late. */
const CHECK_MS_MAX = 2000;
const DRAIN_POLL_MS = 20;
/** A client that is turned away may finish sending meanwhile. */
const TURN_AWAY_MS = 1000;

const AFFINITY: unique symbol = Symbol('affinity');
const RESPONSE: unique symbol = Symbol('response');
const BYTES_BEFORE: unique symbol = Symbol('bytes before');
interface ServedSocket extends Socket {
  [AFFINITY]?: number;
  /** What was read of the connection before it came here: a PROXY protocol header. */
  [BYTES_BEFORE]?: number;
  /** The latest; for errors of the connection. */
  [RESPONSE]?: ServerResponse;
}

class HttpListener implements StreamListener {
  readonly #options: HttpListenerOptions;
  readonly #server: Server;
  readonly #hub: HttpHub;
  readonly #webSockets: WebSocketEndpoint;
  readonly #open = new Set<ServedSocket>();
  readonly #onClosed: (this: Socket) => void;
  #isDraining = false;
  #accepted = 0;
  #turnedAway = 0;
  #requests = 0;
  #upgrades = 0;
  #malformed = 0;

  constructor(options: HttpListenerOptions) {
    this.#options = options;
    const { limits, clock, nodeTerm, ackLevel } = options;
    const budget = new ByteBudget(limits.ingestBytesMax);
    const isDraining = (): boolean => this.#isDraining;
    const streams = new SseStreams(clock);
    this.#hub = {
      ...options,
      budget,
      streams,
      sseEncoder: new SseEncoder(nodeTerm),
      nodeMembers: `"term":${nodeTerm},"ack":"${ackLevel}"`,
      get isDraining() {
        return isDraining();
      },
    };
    this.#webSockets = new WebSocketEndpoint({ ...options, budget });
    const open = this.#open;
    this.#onClosed = function onClosed(this: Socket): void {
      open.delete(this);
    };
    this.#server = this.#createServer(limits);
  }

  get connections(): number {
    return this.#open.size;
  }

  accept(raw: ServedSocket): void {
    raw.on('error', ignore);
    const isFull = this.#open.size >= this.#options.limits.connectionsMax;
    if (isFull || this.#isDraining) {
      this.#turnAway(raw, new TandemError(isFull ? 'TANDEM_CONNECTIONS_LIMIT' : 'TANDEM_DRAINING'));
      return;
    }
    this.#accepted++;
    this.#open.add(raw);
    raw[BYTES_BEFORE] = raw.bytesRead - raw.readableLength;
    raw.once('close', this.#onClosed);
    raw.setNoDelay(true);
    if (this.#options.secureContext === undefined) this.#serve(raw);
    else this.#handshake(raw, this.#options.secureContext);
  }

  async drain(deadlineMs: number): Promise<void> {
    const { clock } = this.#options;
    this.#isDraining = true;
    this.#hub.streams.drain();
    this.#webSockets.drain();
    for (const socket of this.#open) if (socket.bytesRead === socket[BYTES_BEFORE]) socket.destroy();
    const endMs = clock.monotonicMs() + deadlineMs;
    while (this.#open.size > 0 && clock.monotonicMs() < endMs) {
      this.#server.closeIdleConnections();
      const waitMs = Math.min(DRAIN_POLL_MS, Math.max(endMs - clock.monotonicMs(), 0));
      await new Promise<void>((resolve) => clock.after(waitMs, resolve));
    }
    for (const socket of this.#open) socket.destroy();
    this.#server.close();
  }

  metrics(): MetricSample[] {
    const labels = { listener: 'http' };
    const sample = (name: string, kind: 'counter' | 'gauge', help: string, value: number): MetricSample => ({
      name: `tandem_listener_${name}`,
      kind,
      help,
      labels,
      value,
    });
    return [
      sample('connections', 'gauge', 'Open connections', this.#open.size),
      sample('accepted_total', 'counter', 'Accepted connections', this.#accepted),
      sample('turned_away_total', 'counter', 'Connections over the limit', this.#turnedAway),
      sample('requests_total', 'counter', 'HTTP requests', this.#requests),
      sample('upgrades_total', 'counter', 'WebSocket connections opened', this.#upgrades),
      sample('malformed_total', 'counter', 'Connections ended for malformed or late HTTP', this.#malformed),
      sample('websockets', 'gauge', 'Open WebSocket connections', this.#webSockets.connections),
      sample('streams', 'gauge', 'Open SSE streams', this.#hub.streams.size),
    ];
  }

  #createServer({ headerTimeoutMs, idleTimeoutMs }: Limits): Server {
    const options = {
      maxHeaderSize: HEAD_BYTES_MAX,
      headersTimeout: headerTimeoutMs,
      requestTimeout: idleTimeoutMs,
      keepAliveTimeout: idleTimeoutMs,
      connectionsCheckingInterval: Math.min(Math.ceil(headerTimeoutMs / 4), CHECK_MS_MAX),
      // Others (h2c, say) are answered as if they had not asked.
      shouldUpgradeCallback: (request: IncomingMessage) => request.headers.upgrade?.toLowerCase() === 'websocket',
    };
    const server = createServer(options, (request, response) => this.#answer(request, response, false));
    server.timeout = idleTimeoutMs;
    // A client may end its side after its request and still wants the answer. Node has the switch, its types do not.
    Object.assign(server, { httpAllowHalfOpen: true });
    server.on('checkContinue', (request, response) => this.#answer(request, response, true));
    server.on('upgrade', (request, socket, rest) => this.#upgrade(request, socket as Socket, rest));
    server.on('clientError', (error, socket) => this.#clientFailed(error, socket as Socket));
    // Node starts its check for late heads and bodies when a server listens; this one never does.
    server.emit('listening');
    return server;
  }

  #serve(socket: ServedSocket): void {
    socket[AFFINITY] = this.#accepted;
    // Not every maker of sockets says so, and without it a half-closed client would get no answer.
    socket.allowHalfOpen = true;
    this.#server.emit('connection', socket);
    socket.resume();
  }

  #handshake(raw: Socket, secureContext: SecureContext): void {
    const secure = new TLSSocket(raw, { isServer: true, secureContext });
    inheritClient(raw, secure);
    secure.setTimeout(this.#options.limits.headerTimeoutMs, () => secure.destroy());
    secure.on('error', () => secure.destroy());
    secure.once('secure', () => {
      secure.setTimeout(0);
      secure.removeAllListeners('timeout');
      this.#serve(secure);
    });
  }

  #answer(request: IncomingMessage, response: ServerResponse, awaitsContinue: boolean): void {
    this.#requests++;
    const socket: ServedSocket = request.socket;
    socket[RESPONSE] = response;
    void route(this.#hub, { request, response, awaitsContinue, affinity: socket[AFFINITY] ?? 0 });
  }

  #upgrade(request: IncomingMessage, socket: ServedSocket, rest: Buffer): void {
    const { path, query } = splitUrl(request.url ?? '');
    let head: string | undefined;
    try {
      if (path !== WEBSOCKET_PATH) throw new TandemError('TANDEM_METHOD_UNKNOWN', { detail: JSON.stringify(path) });
      this.#options.originGuard.admit(request.headers);
      head = acceptHandshake(request.method, request.headers);
      if (this.#isDraining) throw new TandemError('TANDEM_DRAINING');
      const identity = this.#options.authenticator.authenticate(tokenOf(request.headers, query));
      this.#upgrades++;
      detach(socket);
      socket.write(head);
      this.#webSockets.serve(socket, rest, identity, socket[AFFINITY] ?? 0);
    } catch (thrown) {
      const error = asTandemError(thrown);
      this.#options.logger.debug('websocket_refused', { code: error.code, path: path.slice(0, 200) });
      const answer =
        head !== undefined && offersSubprotocol(request.headers)
          ? this.#webSockets.refusal(head, error)
          : rawErrorAnswer(error, `Sec-WebSocket-Version: ${WEBSOCKET_VERSION}\r\n`);
      endWith(socket, answer, this.#options.clock);
    }
  }

  /** Not HTTP, too large a head, or too late: the connection cannot go on. */
  #clientFailed(failure: NodeJS.ErrnoException, socket: ServedSocket): void {
    this.#malformed++;
    const isAnswering = socket[RESPONSE]?.headersSent === true && !socket[RESPONSE].writableFinished;
    if (!socket.writable || failure.code === 'ECONNRESET' || isAnswering) {
      socket.destroy();
      return;
    }
    this.#options.logger.debug('http_malformed', { code: failure.code, remote: socket.remoteAddress });
    endWith(socket, rawErrorAnswer(errorOf(failure)), this.#options.clock);
  }

  #turnAway(raw: Socket, error: TandemError): void {
    this.#turnedAway++;
    // A client of TLS could not read an answer before its handshake.
    if (this.#options.secureContext !== undefined) raw.destroy();
    else endWith(raw, rawErrorAnswer(error), this.#options.clock);
  }
}

/** Takes from the socket all that HTTP put on it, so that the request and its parser can go. */
function detach(socket: ServedSocket): void {
  socket.setTimeout(0);
  socket.removeAllListeners('timeout');
  delete socket[RESPONSE];
}

/** The last that the client gets. What it still sends is dropped, or the reset would overtake the answer. */
function endWith(socket: Socket, answer: string | Buffer, clock: Clock): void {
  socket.end(answer);
  socket.resume();
  const timer = clock.after(TURN_AWAY_MS, () => socket.destroy());
  socket.once('close', () => timer.cancel());
}

function errorOf({ code, message }: NodeJS.ErrnoException): TandemError {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new TandemError('TANDEM_SESSION_IDLE', { detail: 'the request was not complete in time' });
  const detail = code === 'HPE_HEADER_OVERFLOW' ? `the head is larger than ${HEAD_BYTES_MAX} bytes` : message;
  return new TandemError('TANDEM_INPUT_MALFORMED', { detail });
}

// Node destroys the socket after it; what the client had in hand is answered to nobody.
function ignore(): void {}
