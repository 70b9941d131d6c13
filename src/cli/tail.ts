/**
 * `tandem tail`: follows a topic over SSE. Survives a restart of the server: it connects again and resumes after the last record.
 * When it ends, it says from where the next one can go on.
 */
import type { Command } from 'commander';
import { TandemError } from '../core/errors.ts';
import { countOf } from './bench.ts';
import { readEvents, type ServerEvent } from './event-stream.ts';
import { action, type ClientOptions, serverOf, withServer } from './options.ts';
import { refusalOf, request } from './server.ts';
import { err, out, styled } from './terminal.ts';

interface TailOptions extends ClientOptions {
  readonly from: string;
  readonly count?: number;
}

/** As the server sends it, on one line of JSON. */
interface RecordEvent {
  readonly partition: number;
  readonly offset: number;
  readonly key?: string;
  readonly data?: string;
  readonly base64?: string;
}

const RECONNECT_MS = 500;
const RECONNECTS_MAX = 60;
const COUNT_MAX = Number.MAX_SAFE_INTEGER;

export function addTail(program: Command): void {
  withServer(program.command('tail'))
    .description('print the records of a topic as they are stored')
    .argument('<topic>', 'topic')
    .option('--from <where>', 'start, now, or a position that an earlier run printed', 'now')
    .option('--count <count>', 'end after so many records', countOf(COUNT_MAX))
    .action(action(tail));
}

async function tail(topic: string, options: TailOptions): Promise<void> {
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  const follower = new Follower(topic, options, stop.signal);
  try {
    await follower.run();
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    if (follower.position !== undefined && options.json !== true && process.stderr.isTTY)
      err(`to go on from here: tandem tail ${topic} --from ${follower.position}`);
  }
}

class Follower {
  /** After the last record that was printed. */
  position: string | undefined;
  readonly #topic: string;
  readonly #options: TailOptions;
  readonly #signal: AbortSignal;
  readonly #countMax: number;
  #count = 0;
  #isConnected = false;

  constructor(topic: string, options: TailOptions, signal: AbortSignal) {
    this.#topic = topic;
    this.#options = options;
    this.#signal = signal;
    this.#countMax = options.count ?? COUNT_MAX;
  }

  async run(): Promise<void> {
    for (let failures = 0; !this.#isDone; failures++) {
      if (failures > 0) await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
      try {
        this.#isConnected = false;
        await this.#follow();
      } catch (thrown) {
        if (this.#signal.aborted) return;
        if (!this.#isWorthTrying(thrown, failures)) throw thrown;
      }
      if (this.#isConnected) failures = 0;
    }
  }

  get #isDone(): boolean {
    return this.#signal.aborted || this.#count >= this.#countMax;
  }

  /** A server that never answered, and a refusal, end the command; a connection that breaks later does not. */
  #isWorthTrying(thrown: unknown, failures: number): boolean {
    if (this.position === undefined || failures > RECONNECTS_MAX) return false;
    return !(thrown instanceof TandemError) || thrown.retryable;
  }

  async #follow(): Promise<void> {
    const query = this.position === undefined ? `?from=${encodeURIComponent(this.#options.from)}` : '';
    const response = await request(
      serverOf(this.#options),
      `/topics/${encodeURIComponent(this.#topic)}/stream${query}`,
      {
        headers: {
          accept: 'text/event-stream',
          ...(this.position === undefined ? {} : { 'last-event-id': this.position }),
        },
        signal: this.#signal,
      },
    );
    if (response.body === null) return;
    for await (const event of readEvents(response.body)) {
      this.#take(event);
      if (this.#isDone) return;
    }
  }

  #take({ event, data, id }: ServerEvent): void {
    this.#isConnected = true;
    if (id !== '') this.position = id;
    switch (event) {
      case 'message':
        this.#count++;
        if (this.#options.json) out(data);
        else printRecord(JSON.parse(data) as RecordEvent);
        return;
      case 'position':
        if (!(JSON.parse(data) as { isComplete: boolean }).isComplete)
          err(styled('yellow', 'the position is lost: records were missed'));
        return;
      case 'closing':
        throw refusalOf(JSON.parse(data) as { code: string; message: string });
      default:
        err(styled('yellow', `${event} ${data}`));
    }
  }
}

/** The data alone, so that it can be piped on; on a terminal with its place. */
function printRecord({ partition, offset, key, data, base64 }: RecordEvent): void {
  const text = data ?? `(base64) ${base64}`;
  if (process.stdout.isTTY !== true) out(data ?? Buffer.from(base64 ?? '', 'base64').toString('latin1'));
  else out(`${styled('dim', `${partition}:${offset}${key === undefined ? '' : ` ${key}`}`)} ${text}`);
}
