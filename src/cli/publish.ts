/** `tandem publish`: records from the arguments, or one per line from standard input, over HTTP in batches. */
import { isUtf8 } from 'node:buffer';
import type { Command } from 'commander';
import { TandemError } from '../core/errors.ts';
import { action, type ClientOptions, serverOf, withServer } from './options.ts';
import { startProgress } from './progress.ts';
import { request, type ServerOptions } from './server.ts';
import { countText, err, out, printJson } from './terminal.ts';

interface PublishOptions extends ClientOptions {
  readonly key?: string;
  readonly producer?: string;
  readonly sequence?: string;
}

/** As the server answers a batch: one for each partition that it touched. */
export interface Receipt {
  readonly epoch: string;
  readonly partition: number;
  /** null: stored earlier, the place is no longer known. */
  readonly offset: number | null;
  readonly count: number;
  readonly isDuplicate?: boolean;
}

const BATCH_RECORDS_MAX = 1000;
const BATCH_BYTES_MAX = 1024 * 1024;
const LINE_FEED = 10;

export function addPublish(program: Command): void {
  withServer(program.command('publish'))
    .description('store records: the arguments, or the lines of standard input')
    .argument('<topic>', 'topic')
    .argument('[data...]', 'one record each; without: each line of standard input is a record')
    .option('--key <key>', 'key of all records: they go to the same partition, in order')
    .option(
      '--producer <id>',
      'store each sequence of this producer once: the same command can be repeated after a failure',
    )
    .option('--sequence <number>', 'sequence of the first record (with --producer; default 1)')
    .action(action(publish));
}

async function publish(topic: string, data: readonly string[], options: PublishOptions): Promise<void> {
  const batches = data.length > 0 ? [data.map((text) => Buffer.from(text))] : readBatches(process.stdin);
  const publisher = new Publisher(topic, options);
  const progress = startProgress('published');
  let count = 0;
  try {
    for await (const records of batches) {
      const receipts = await publisher.send(records);
      count += records.length;
      if (options.json) for (const receipt of receipts) printJson(receipt);
      else if (data.length > 0) for (const receipt of receipts) out(receiptText(receipt));
      progress.update(count);
    }
  } catch (error) {
    progress.end();
    if (count > 0) err(`${countText(count)} records were stored before this:`);
    throw error;
  }
  progress.end();
  if (options.json !== true && data.length === 0) out(`${countText(count)} records stored`);
}

function receiptText({ partition, offset, count, isDuplicate }: Receipt): string {
  const last = offset === null || count === 1 ? '' : `-${offset + count - 1}`;
  return `OK ${partition}:${offset ?? '-'}${last}${isDuplicate === true ? ' (stored earlier)' : ''}`;
}

class Publisher {
  readonly #server: ServerOptions;
  readonly #path: string;
  readonly #key: string | undefined;
  readonly #producer: string | undefined;
  #sequence: number;

  constructor(topic: string, options: PublishOptions) {
    this.#server = serverOf(options);
    this.#path = `/topics/${encodeURIComponent(topic)}`;
    this.#key = options.key;
    this.#producer = options.producer;
    this.#sequence = Number(options.sequence ?? 1);
    if (!Number.isSafeInteger(this.#sequence) || this.#sequence < 1)
      throw new TandemError('TANDEM_CONFIG_INVALID', { detail: '--sequence must be an integer from 1' });
    if (options.sequence !== undefined && options.producer === undefined)
      throw new TandemError('TANDEM_CONFIG_INVALID', { detail: '--sequence needs --producer' });
  }

  /** Resolves when all are stored. */
  async send(records: readonly Buffer[]): Promise<readonly Receipt[]> {
    const response = await request(this.#server, this.#path, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson', ...this.#producerHeaders() },
      body: records.map((record) => this.#line(record)).join(''),
    });
    this.#sequence += records.length;
    const answer = (await response.json()) as Receipt | { readonly receipts: readonly Receipt[] };
    return 'receipts' in answer ? answer.receipts : [answer];
  }

  #producerHeaders(): { [name: string]: string } {
    if (this.#producer === undefined) return {};
    return { 'tandem-producer': this.#producer, 'tandem-sequence': String(this.#sequence) };
  }

  #line(record: Buffer): string {
    const body = isUtf8(record) ? { data: record.toString('utf8') } : { base64: record.toString('base64') };
    return `${JSON.stringify(this.#key === undefined ? body : { ...body, key: this.#key })}\n`;
  }
}

/** Cuts a stream at its line feeds; what is there when the stream pauses is a batch. */
export async function* readBatches(input: AsyncIterable<Buffer>): AsyncGenerator<Buffer[]> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of input) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let batch: Buffer[] = [];
    let batchStart = 0;
    let start = 0;
    for (let feed = bytes.indexOf(LINE_FEED); feed >= 0; feed = bytes.indexOf(LINE_FEED, start)) {
      batch.push(bytes.subarray(start, feed));
      start = feed + 1;
      if (batch.length === BATCH_RECORDS_MAX || start - batchStart >= BATCH_BYTES_MAX) {
        yield batch;
        batch = [];
        batchStart = start;
      }
    }
    if (batch.length > 0) yield batch;
    rest = bytes.subarray(start);
  }
  if (rest.length > 0) yield [rest];
}
