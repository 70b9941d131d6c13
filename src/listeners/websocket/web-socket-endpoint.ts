/** The WebSocket side of the HTTP listener: takes a socket over after the HTTP request for it was read and checked. */
import type { Socket } from 'node:net';
import type { Identity } from '../../core/contracts/auth.ts';
import type { AckLevel } from '../../core/contracts/engine.ts';
import type { Ingest } from '../../core/contracts/ingest.ts';
import type { Push } from '../../core/contracts/push.ts';
import type { Logger } from '../../core/contracts/telemetry.ts';
import type { TandemError } from '../../core/errors.ts';
import type { Limits } from '../../core/limits.ts';
import type { Clock } from '../../core/ports/clock.ts';
import type { ByteBudget } from '../http/byte-budget.ts';
import { encodeCloseFrame } from './frame-encoder.ts';
import { createMethods } from './methods.ts';
import { PingWheel } from './ping-wheel.ts';
import { WebSocketEncoder } from './record-notification.ts';
import { WebSocketConnection, type WebSocketHub } from './web-socket-connection.ts';

/** Every connection is pinged once in so long, or in limits.idleTimeoutMs if that is less; a missed pong ends it at the next turn. */
const PING_TURN_MS = 30_000;

export interface WebSocketEndpointOptions {
  readonly ingest: Ingest;
  readonly push: Push;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly budget: ByteBudget;
  readonly nodeTerm: number;
  readonly ackLevel: AckLevel;
}

export class WebSocketEndpoint {
  readonly #hub: WebSocketHub;

  constructor({ ingest, push, limits, clock, logger, budget, nodeTerm, ackLevel }: WebSocketEndpointOptions) {
    const turnMs = limits.idleTimeoutMs === 0 ? PING_TURN_MS : Math.min(PING_TURN_MS, limits.idleTimeoutMs);
    this.#hub = {
      ingest,
      push,
      clock,
      logger,
      budget,
      encoder: new WebSocketEncoder(nodeTerm),
      methods: createMethods(ingest, nodeTerm, ackLevel),
      wheel: new PingWheel(clock, turnMs),
      messageBytesMax: limits.requestBytesMax,
    };
  }

  get connections(): number {
    return this.#hub.wheel.size;
  }

  /** The opening handshake is answered; `rest` came after the request. */
  serve(socket: Socket, rest: Buffer, identity: Identity, affinity: number): void {
    socket.setNoDelay(true);
    const connection = new WebSocketConnection(this.#hub, socket, identity, affinity);
    if (rest.length > 0) connection.received(Buffer.from(rest));
    socket.resume();
  }

  /** Opens the connection with `head` only to close it with the error. */
  refusal(head: string, error: TandemError): Buffer {
    const closing = this.#hub.encoder.closing(error, new Map());
    return Buffer.concat([Buffer.from(head), closing, encodeCloseFrame(error.closeCode, error.code)]);
  }

  /** Ends all connections with TANDEM_DRAINING once their requests in hand are answered. */
  drain(): void {
    for (const connection of this.#hub.wheel.members()) connection.drain();
  }
}
