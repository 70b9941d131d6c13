/**
 * `tandem tail`: follows a topic. Survives the death of the node: it goes on after the last record, at the next address that answers. When it
 * ends, it says from where the next one can go on.
 */
import type { Command } from 'commander';
import type { Gap, ReceivedRecord } from 'tandem-client';
import { countOf } from './bench.ts';
import { withClient } from './client.ts';
import { action, type ClientOptions, serverOf, withServer } from './options.ts';
import { err, styled } from './terminal.ts';

interface TailOptions extends ClientOptions {
  readonly from: string;
  readonly count?: number;
}

const COUNT_MAX = Number.MAX_SAFE_INTEGER;
const OUTPUT_CHARS = 64 * 1024;

export function addTail(program: Command): void {
  withServer(program.command('tail'))
    .description('print the records of a topic as they are stored')
    .argument('<topic>', 'topic')
    .option('--from <where>', 'start, now, or a position that an earlier run printed', 'now')
    .option('--count <count>', 'end after so many records', countOf(COUNT_MAX))
    .action(action(tail));
}

async function tail(topic: string, options: TailOptions): Promise<void> {
  const { from, json = false, count: countMax = COUNT_MAX } = options;
  const output = new Output();
  let count = 0;
  let position: string | undefined;
  await withClient(serverOf(options), {}, async (client) => {
    const onRecord = (record: ReceivedRecord): Promise<void> | undefined => {
      if (++count >= countMax) subscription.close();
      return output.add(json ? jsonOf(record) : textOf(record));
    };
    const subscription = client.subscribe(topic, { from, onRecord, onGap: printGap });
    const stop = (): void => subscription.close();
    process.once('SIGINT', stop).once('SIGTERM', stop);
    try {
      await subscription.closed;
    } finally {
      process.off('SIGINT', stop).off('SIGTERM', stop);
      output.flush();
      position = subscription.position;
    }
  }).finally(() => {
    if (position !== undefined && !json && process.stderr.isTTY)
      err(`to go on from here: tandem tail ${topic} --from ${position}`);
  });
}

/** As it is read over HTTP. */
function jsonOf({ partition, offset, timeMs, key, headers, data }: ReceivedRecord): string {
  const payload = typeof data === 'string' ? { data } : { base64: Buffer.from(data).toString('base64') };
  return JSON.stringify({ partition, offset, time: timeMs, key, headers, ...payload });
}

/** The data alone, so that it can be piped on; on a terminal with its place. */
function textOf({ partition, offset, key, data }: ReceivedRecord): string {
  const isText = typeof data === 'string';
  if (process.stdout.isTTY !== true) return isText ? data : Buffer.from(data).toString('latin1');
  const text = isText ? data : `(base64) ${Buffer.from(data).toString('base64')}`;
  return `${styled('dim', `${partition}:${offset}${key === undefined ? '' : ` ${key}`}`)} ${text}`;
}

function printGap({ missed, reason }: Gap): void {
  err(styled('yellow', `${missed === null ? 'records' : `${missed} records`} were missed here (${reason})`));
}

/** What came together is written together. */
class Output {
  #text = '';

  /** A promise: whoever reads the output takes it more slowly than it comes. */
  add(line: string): Promise<void> | undefined {
    if (this.#text === '') setImmediate(() => this.flush());
    this.#text += `${line}\n`;
    if (this.#text.length < OUTPUT_CHARS || this.flush()) return undefined;
    return new Promise((resolve) => process.stdout.once('drain', resolve));
  }

  flush(): boolean {
    const text = this.#text;
    this.#text = '';
    return text === '' || process.stdout.write(text);
  }
}
