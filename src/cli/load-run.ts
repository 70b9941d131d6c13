/**
 * The load of `tandem bench`: TCP connections that each keep a number of lines in flight and count the answers. Time is measured from the
 * write of a line to the arrival of its answer, per group of lines that one write sent.
 * Non-goal: comparing products; bench/ in the repository does that.
 */
import { connect, type Socket } from 'node:net';
import { createHistogram } from 'node:perf_hooks';
import { TandemError } from '../core/errors.ts';

export interface LoadPlan {
  readonly host: string;
  readonly port: number;
  readonly token: string | undefined;
  readonly connections: number;
  /** Lines per connection that wait for their answer. */
  readonly inFlight: number;
  readonly recordBytes: number;
  readonly warmUpMs: number;
  readonly durationMs: number;
  readonly onProgress?: (ackedRecords: number) => void;
}

export interface LoadResult {
  readonly ackedRecords: number;
  readonly refusedRecords: number;
  readonly elapsedMs: number;
  readonly ackedPerSecond: number;
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly max: number };
}

const LINE_FEED = 10;
const LETTER_E = 69;
const CONNECT_TIMEOUT_MS = 5000;
const TICK_MS = 200;
const NS_PER_MS = 1e6;

/** What all connections of a run count together. */
class Tally {
  acked = 0;
  refused = 0;
  isMeasuring = false;
  isOver = false;
  failure: TandemError | undefined;
  readonly latency = createHistogram();
}

/** Errors: TANDEM_SERVER_UNREACHABLE, TANDEM_DELIVERY_FAILED (the server closed a connection), TANDEM_AUTH_*. */
export async function runLoad(plan: LoadPlan): Promise<LoadResult> {
  const tally = new Tally();
  const opened = await Promise.allSettled(Array.from({ length: plan.connections }, () => open(plan)));
  const sockets = opened.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  try {
    for (const each of opened) if (each.status === 'rejected') throw each.reason;
    for (const socket of sockets) new LoadConnection(plan, socket, tally).start();
    await elapse(plan.warmUpMs, tally);
    tally.isMeasuring = true;
    tally.acked = 0;
    tally.refused = 0;
    const startMs = performance.now();
    await elapse(plan.durationMs, tally, plan.onProgress);
    const elapsedMs = performance.now() - startMs;
    const { acked, refused, latency } = tally;
    tally.isOver = true;
    return {
      ackedRecords: acked,
      refusedRecords: refused,
      elapsedMs,
      ackedPerSecond: Math.round((acked / elapsedMs) * 1000),
      latencyMs: {
        p50: latency.percentile(50) / NS_PER_MS,
        p99: latency.percentile(99) / NS_PER_MS,
        max: latency.max / NS_PER_MS,
      },
    };
  } finally {
    tally.isOver = true;
    for (const socket of sockets) socket.destroy();
  }
}

function open({ host, port }: LoadPlan): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true });
    const fail = (error: Error): void => {
      socket.destroy();
      reject(
        new TandemError('TANDEM_SERVER_UNREACHABLE', {
          detail: `tcp://${host}:${port} (${error.message})`,
          cause: error,
        }),
      );
    };
    socket.once('error', fail);
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => fail(new TandemError('TANDEM_SESSION_IDLE')));
    socket.once('connect', () => {
      socket.off('error', fail);
      socket.setTimeout(0);
      resolve(socket);
    });
  });
}

/** One connection: a run of lines is sent as soon as a run of answers has come. */
class LoadConnection {
  readonly #plan: LoadPlan;
  readonly #socket: Socket;
  readonly #tally: Tally;
  readonly #lines: Buffer;
  /** Groups sent and not fully answered: how many lines, and when (performance.now). Oldest first. */
  readonly #groups: { count: number; sentMs: number }[] = [];
  #isGreeting: boolean;
  #isLineStart = true;
  #isRefusal = false;

  constructor(plan: LoadPlan, socket: Socket, tally: Tally) {
    this.#plan = plan;
    this.#socket = socket;
    this.#tally = tally;
    this.#isGreeting = plan.token !== undefined;
    this.#lines = Buffer.from(`${'x'.repeat(plan.recordBytes)}\n`.repeat(plan.inFlight));
  }

  start(): void {
    this.#socket.on('data', (chunk: Buffer) => this.#answers(chunk));
    const fail = (detail: string): void => {
      if (!this.#tally.isOver) this.#tally.failure ??= new TandemError('TANDEM_DELIVERY_FAILED', { detail });
    };
    this.#socket.on('error', (error) => fail(error.message));
    this.#socket.on('close', () => fail('the server closed a connection'));
    if (this.#plan.token === undefined) this.#send(this.#plan.inFlight);
    else this.#socket.write(`HELLO ${JSON.stringify({ token: this.#plan.token })}\n`);
  }

  #send(count: number): void {
    if (this.#tally.isOver) return;
    this.#groups.push({ count, sentMs: performance.now() });
    this.#socket.write(this.#lines.subarray(0, count * (this.#plan.recordBytes + 1)));
  }

  #answers(chunk: Buffer): void {
    let count = 0;
    let refused = 0;
    for (let at = 0; at < chunk.length; ) {
      if (this.#isLineStart) this.#isRefusal = chunk[at] === LETTER_E;
      const end = chunk.indexOf(LINE_FEED, at);
      this.#isLineStart = end >= 0;
      if (end < 0) break;
      count++;
      if (this.#isRefusal) refused++;
      at = end + 1;
    }
    if (this.#isGreeting) {
      if (count > 0) this.#greeted(chunk, refused > 0);
      return;
    }
    this.#tally.acked += count - refused;
    this.#tally.refused += refused;
    this.#record(count);
    if (count > 0) this.#send(count);
  }

  #greeted(chunk: Buffer, isRefused: boolean): void {
    this.#isGreeting = false;
    if (isRefused)
      this.#tally.failure ??= new TandemError('TANDEM_AUTH_INVALID', { detail: chunk.toString('utf8').trim() });
    else this.#send(this.#plan.inFlight);
  }

  #record(count: number): void {
    const nowMs = performance.now();
    for (let left = count; left > 0; ) {
      const group = this.#groups[0];
      if (group === undefined) return;
      const taken = Math.min(left, group.count);
      if (this.#tally.isMeasuring)
        this.#tally.latency.record(Math.max(1, Math.round((nowMs - group.sentMs) * NS_PER_MS)));
      group.count -= taken;
      left -= taken;
      if (group.count === 0) this.#groups.shift();
    }
  }
}

async function elapse(durationMs: number, tally: Tally, onProgress?: (acked: number) => void): Promise<void> {
  const endMs = performance.now() + durationMs;
  for (let leftMs = durationMs; leftMs > 0; leftMs = endMs - performance.now()) {
    await new Promise((resolve) => setTimeout(resolve, Math.min(TICK_MS, leftMs)));
    if (tally.failure !== undefined) throw tally.failure;
    onProgress?.(tally.acked);
  }
}
