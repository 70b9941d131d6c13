/**
 * `GET /topics/:topic/stream`: the topic's records as Server-Sent Events (events: sse-encoder.ts).
 *
 * Where it begins: the header `Last-Event-ID` (sent by browsers when they reconnect), else `?lastEventId=`, else `?from=start|now|POSITION`
 * (default now). For an error that passes by itself (draining, overload) the answer is 200 with an event `closing` instead of the error's
 * status, because browsers never try again after any other status.
 */
import type { ServerResponse } from 'node:http';
import type { PushEncoder, PushSession, SubscribeAnswer, SubscribeFrom, Transport } from '../../core/contracts/push.ts';
import { asTandemError, TandemError } from '../../core/errors.ts';
import { requireRight } from './access.ts';
import type { HttpExchange, HttpHub } from './http-exchange.ts';
import { KEEP_ALIVE_COMMENT } from './sse-encoder.ts';
import type { KeptStream } from './sse-streams.ts';

const NO_POSITIONS: ReadonlyMap<string, string> = new Map();
const EMPTY = Buffer.alloc(0);
/** A client that does not take the last event in so long is cut off. */
const CLOSE_TIMEOUT_MS = 5000;
/** While an earlier answer on the connection is still going out. */
const SOCKET_WAIT_MS = 50;

export async function streamRecords(exchange: HttpExchange): Promise<void> {
  const { hub, identity, topic, response } = exchange;
  requireRight(identity, 'subscribe', topic);
  const stream = new SseStream(hub, response);
  const session = hub.push.openSession(stream);
  stream.serve(session);
  try {
    if (hub.isDraining) throw new TandemError('TANDEM_DRAINING');
    await session.subscribe(topic, fromOf(exchange), (answer) => stream.begin(answer));
  } catch (thrown) {
    const error = asTandemError(thrown);
    if (response.headersSent || error.retryable) stream.end(error, NO_POSITIONS);
    else {
      stream.forget();
      throw error;
    }
  }
}

function fromOf({ request, query }: HttpExchange): SubscribeFrom {
  const lastEventId = request.headers['last-event-id'];
  const position = (typeof lastEventId === 'string' ? lastEventId : undefined) || query.get('lastEventId');
  if (position) return { position };
  const from = query.get('from') ?? 'now';
  return from === 'now' || from === 'start' ? from : { position: from };
}

class SseStream implements Transport, KeptStream {
  readonly #hub: HttpHub;
  readonly #response: ServerResponse;
  #session: PushSession | undefined;
  #isEnded = false;

  constructor(hub: HttpHub, response: ServerResponse) {
    this.#hub = hub;
    this.#response = response;
  }

  get encoder(): PushEncoder {
    return this.#hub.sseEncoder;
  }

  get bufferedBytes(): number {
    return this.#response.writableLength;
  }

  serve(session: PushSession): void {
    if (this.#isEnded) return;
    this.#session = session;
    this.#hub.streams.add(this);
    this.#response.once('close', () => this.forget());
    // The end of the client's side is the only sign of its going before a write fails; no client of a stream half-closes to go on reading.
    this.#response.req.socket.once('end', () => this.#response.destroy());
  }

  begin(answer: SubscribeAnswer): void {
    this.#writeHead();
    this.#response.write(this.#hub.sseEncoder.opening(answer));
  }

  write(bytes: Buffer): void {
    if (!this.#isEnded) this.#response.write(bytes);
  }

  whenDrained(callback: () => void): void {
    const { socket } = this.#response;
    if (this.#response.destroyed || this.bufferedBytes === 0) this.#hub.clock.soon(callback);
    else if (socket === null) this.#hub.clock.after(SOCKET_WAIT_MS, () => this.whenDrained(callback));
    // An empty write is done when all before it are.
    else
      socket.write(EMPTY, () => {
        if (!this.#response.destroyed && this.bufferedBytes > 0) this.whenDrained(callback);
        else callback();
      });
  }

  end(error: TandemError, positions: ReadonlyMap<string, string>): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    if (!this.#response.headersSent) this.#writeHead();
    this.#response.end(this.#hub.sseEncoder.closing(error, positions));
    const timer = this.#hub.clock.after(CLOSE_TIMEOUT_MS, () => this.#response.destroy());
    this.#response.once('close', () => timer.cancel());
    this.forget();
  }

  keepAlive(): void {
    if (this.#response.headersSent && this.bufferedBytes === 0) this.write(KEEP_ALIVE_COMMENT);
  }

  drain(): void {
    this.#session?.end(new TandemError('TANDEM_DRAINING'));
  }

  /** The client has gone, or never came. */
  forget(): void {
    this.#isEnded = true;
    this.#hub.streams.delete(this);
    this.#session?.close();
    this.#session = undefined;
  }

  #writeHead(): void {
    // Not chunked: each delivery is one write of bytes that all streams share. The end of the connection ends the stream.
    this.#response.removeHeader('Transfer-Encoding');
    this.#response.writeHead(200, {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-cache, no-transform',
      'X-Accel-Buffering': 'no',
      Connection: 'close',
    });
  }
}
