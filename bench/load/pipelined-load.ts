/**
 * The load of the ingest benches: N connections, each keeping K requests in flight over one TCP stream. The same code drives Tandem (lines,
 * answered by a line) and Redis (RPUSH, answered by a line; XADD, answered by two), so that the client's share of the machine is the same.
 * Latency is measured per write: from sending a run of requests to the answer of its last one.
 */
import { connect, type Socket } from 'node:net';

export interface LoadOptions {
  readonly port: number;
  readonly connections: number;
  readonly inFlight: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly request: Buffer;
  /** Every answer to it has so many lines. */
  readonly answerLines: 1 | 2;
  /** First byte of a good answer. Any other byte ends the run with an error. */
  readonly goodAnswer: number;
}

export interface LoadResult {
  readonly answered: number;
  /** When counting began and ended, Unix ms. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly seconds: number;
  readonly perSecond: number;
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly max: number };
}

const LINE_FEED = 10;
const LATENCIES_MAX = 1_000_000;

export async function runLoad(options: LoadOptions): Promise<LoadResult> {
  const meter = new Meter(options);
  const lanes = await Promise.all(Array.from({ length: options.connections }, () => Lane.open(options, meter)));
  for (const lane of lanes) lane.start();
  const result = await meter.finished;
  for (const lane of lanes) lane.close();
  return result;
}

class Meter {
  readonly finished: Promise<LoadResult>;
  readonly #settle: PromiseWithResolvers<LoadResult> = Promise.withResolvers();
  #answered = 0;
  #isCounting = false;
  #fromMs = 0;
  #latencies: number[] = [];

  constructor(options: LoadOptions) {
    this.finished = this.#settle.promise;
    setTimeout(() => {
      this.#isCounting = true;
      this.#fromMs = Date.now();
      const startedMs = performance.now();
      setTimeout(() => this.#finish(performance.now() - startedMs), options.seconds * 1000);
    }, options.warmUpSeconds * 1000);
  }

  count(answers: number): void {
    if (this.#isCounting) this.#answered += answers;
  }

  latency(ms: number): void {
    if (this.#isCounting && this.#latencies.length < LATENCIES_MAX) this.#latencies.push(ms);
  }

  fail(error: Error): void {
    this.#settle.reject(error);
  }

  #finish(elapsedMs: number): void {
    const sorted = Float64Array.from(this.#latencies).sort();
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
    const seconds = elapsedMs / 1000;
    const latencyMs = { p50: at(0.5), p99: at(0.99), max: at(1) };
    const answered = this.#answered;
    const times = { fromMs: this.#fromMs, toMs: Date.now(), seconds };
    this.#settle.resolve({ answered, ...times, perSecond: answered / seconds, latencyMs });
  }
}

/** One connection. */
class Lane {
  readonly #socket: Socket;
  readonly #options: LoadOptions;
  readonly #meter: Meter;
  readonly #requests: Buffer;
  /** When runs were sent and how many of their answers are missing; from `#oldest` on. */
  #sentMs: number[] = [];
  #missing: number[] = [];
  #oldest = 0;
  #isLineStart = true;
  /** How many lines of the current answer are there. */
  #lines = 0;

  static async open(options: LoadOptions, meter: Meter): Promise<Lane> {
    const socket = connect(options.port, '127.0.0.1');
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new Lane(socket, options, meter);
  }

  constructor(socket: Socket, options: LoadOptions, meter: Meter) {
    this.#socket = socket;
    this.#options = options;
    this.#meter = meter;
    this.#requests = Buffer.alloc(options.request.length * options.inFlight, options.request);
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('error', (error) => meter.fail(error));
  }

  start(): void {
    this.#send(this.#options.inFlight);
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    const { goodAnswer, answerLines } = this.#options;
    let answers = 0;
    let lines = this.#lines;
    let isLineStart = this.#isLineStart;
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i];
      if (isLineStart && lines === 0 && byte !== goodAnswer) {
        this.#meter.fail(new RangeError(`a bad answer: ${chunk.toString('latin1', i, i + 200)}`));
        return;
      }
      isLineStart = byte === LINE_FEED;
      if (!isLineStart || ++lines < answerLines) continue;
      answers++;
      lines = 0;
    }
    this.#isLineStart = isLineStart;
    this.#lines = lines;
    if (answers === 0) return;
    this.#meter.count(answers);
    this.#settle(answers);
    this.#send(answers);
  }

  #settle(answers: number): void {
    const nowMs = performance.now();
    let left = answers;
    while (left > 0) {
      const missing = this.#missing[this.#oldest] as number;
      const taken = Math.min(left, missing);
      left -= taken;
      this.#missing[this.#oldest] = missing - taken;
      if (taken < missing) return;
      this.#meter.latency(nowMs - (this.#sentMs[this.#oldest] as number));
      this.#oldest++;
    }
    if (this.#oldest < 256) return;
    this.#sentMs = this.#sentMs.slice(this.#oldest);
    this.#missing = this.#missing.slice(this.#oldest);
    this.#oldest = 0;
  }

  #send(count: number): void {
    this.#sentMs.push(performance.now());
    this.#missing.push(count);
    this.#socket.write(this.#requests.subarray(0, this.#options.request.length * count));
  }
}
