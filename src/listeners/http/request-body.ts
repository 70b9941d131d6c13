/**
 * Reads a body within its limits, counted while it comes in.
 * Memory: at most twice what was received, however small the pieces are.
 */
import { type ErrorCode, TandemError } from '../../core/errors.ts';
import type { HttpExchange } from './http-exchange.ts';

/**
 * Waits while ingest is saturated; the socket is not read meanwhile. Errors: `tooLarge` above `bytesMax`, TANDEM_OVERLOADED if the half-received
 * bodies of all connections together are too many, TANDEM_INPUT_MALFORMED if the client went away.
 */
export async function readBody(exchange: HttpExchange, bytesMax: number, tooLarge: ErrorCode): Promise<Buffer> {
  const { request, response, hub, awaitsContinue } = exchange;
  const declared = request.headers['content-length'];
  const declaredBytes = declared === undefined ? undefined : Number(declared);
  if (declaredBytes !== undefined && declaredBytes > bytesMax)
    throw new TandemError(tooLarge, { detail: `${declaredBytes} bytes, the limit is ${bytesMax}` });
  if (hub.ingest.isSaturated) await new Promise<void>((resolve) => hub.ingest.whenReady(resolve));
  if (awaitsContinue) response.writeContinue();
  return new BodyReader(exchange, { bytesMax, tooLarge, declaredBytes }).read();
}

interface BodyBounds {
  readonly bytesMax: number;
  readonly tooLarge: ErrorCode;
  readonly declaredBytes: number | undefined;
}

class BodyReader {
  readonly #exchange: HttpExchange;
  readonly #bounds: BodyBounds;
  readonly #whole: PromiseWithResolvers<Buffer> = Promise.withResolvers();
  #buffer: Buffer | undefined;
  #bytes = 0;
  #isSettled = false;

  constructor(exchange: HttpExchange, bounds: BodyBounds) {
    this.#exchange = exchange;
    this.#bounds = bounds;
  }

  read(): Promise<Buffer> {
    const { request } = this.#exchange;
    request.on('data', (chunk: Buffer) => this.#take(chunk));
    request.once('end', () => {
      if (this.#isSettled) return;
      const body = this.#buffer === undefined ? Buffer.alloc(0) : this.#buffer.subarray(0, this.#bytes);
      this.#settle();
      this.#whole.resolve(body);
    });
    request.once('close', () => {
      // Also comes after the end; an error is not cheap to make.
      if (!this.#isSettled) this.#fail(new TandemError('TANDEM_INPUT_MALFORMED', { detail: 'the body was cut off' }));
    });
    return this.#whole.promise;
  }

  #take(chunk: Buffer): void {
    if (this.#isSettled) return;
    const { bytesMax, tooLarge } = this.#bounds;
    this.#append(chunk);
    const isWithin = this.#exchange.hub.budget.change(chunk.length);
    if (this.#bytes > bytesMax) this.#fail(new TandemError(tooLarge, { detail: `the limit is ${bytesMax} bytes` }));
    else if (!isWithin)
      this.#fail(new TandemError('TANDEM_OVERLOADED', { detail: 'half-received bodies; limits.ingestBytesMax' }));
  }

  /** A first chunk that is the whole body is not copied. */
  #append(chunk: Buffer): void {
    const used = this.#bytes;
    this.#bytes += chunk.length;
    if (this.#buffer === undefined) {
      this.#buffer = chunk;
      return;
    }
    if (this.#bytes > this.#buffer.length) {
      const doubled = Math.min(this.#buffer.length * 2, this.#bounds.declaredBytes ?? Number.POSITIVE_INFINITY);
      const grown = Buffer.allocUnsafeSlow(Math.max(doubled, this.#bytes));
      grown.set(this.#buffer.subarray(0, used));
      this.#buffer = grown;
    }
    this.#buffer.set(chunk, used);
  }

  #fail(error: TandemError): void {
    if (this.#isSettled) return;
    this.#settle();
    this.#whole.reject(error);
  }

  #settle(): void {
    this.#isSettled = true;
    this.#exchange.hub.budget.change(-this.#bytes);
    this.#buffer = undefined;
  }
}
