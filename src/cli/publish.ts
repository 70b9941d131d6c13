/**
 * `tandem publish`: records from the arguments, or one per line from standard input. It survives the death of the node: what was not
 * acknowledged is sent again, to the next address that answers, and stored once.
 */
import { isUtf8 } from 'node:buffer';
import type { Command } from 'commander';
import type { AckLevel, PublishReceipt, TandemClient } from 'tandem-client';
import { TandemError } from '../core/errors.ts';
import { withClient } from './client.ts';
import { action, type ClientOptions, serverOf, withServer } from './options.ts';
import { startProgress } from './progress.ts';
import { countText, err, out, printJson } from './terminal.ts';

interface PublishOptions extends ClientOptions {
  readonly key?: string;
  readonly producer?: string;
  readonly sequence?: string;
}

/** Of consecutive records that have consecutive places. */
interface Receipt {
  readonly term: number;
  readonly ack?: AckLevel;
  readonly epoch: string;
  readonly partition: number;
  /** null: the place is not known: no longer, or not yet. */
  readonly offset: number | null;
  readonly count: number;
  readonly isDuplicate?: boolean;
}

const BATCH_RECORDS_MAX = 1000;
const BATCH_BYTES_MAX = 1024 * 1024;
/** Under way. */
const BATCHES_MAX = 4;
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
  const firstSequence = sequenceOf(options);
  const isStream = data.length === 0;
  const use = { producer: options.producer, inFlightMax: BATCH_RECORDS_MAX * BATCHES_MAX };
  const progress = startProgress('published');
  const report = (receipts: readonly Receipt[], stored: number): void => {
    if (options.json) for (const receipt of receipts) printJson(receipt);
    else if (!isStream) for (const receipt of receipts) out(receiptText(receipt));
    progress.update(stored);
  };
  await withClient(serverOf(options), use, async (client) => {
    const publisher = new Publisher(client, { topic, key: options.key, firstSequence, report });
    try {
      if (isStream) for await (const records of readBatches(process.stdin)) await publisher.send(records);
      else await publisher.send(data.map((text) => Buffer.from(text)));
    } catch (error) {
      // Of the input, which the publisher ends when it fails.
      if (publisher.failure === undefined) throw error;
    }
    await publisher.settled();
    progress.end();
    const { stored, failure } = publisher;
    if (failure !== undefined) {
      if (stored > 0) err(`${countText(stored)} records were stored before this:`);
      throw failure;
    }
    if (options.json !== true && isStream) out(`${countText(stored)} records stored`);
  }).finally(() => progress.end());
}

function sequenceOf({ producer, sequence }: PublishOptions): number | undefined {
  const first = Number(sequence ?? 1);
  if (!Number.isSafeInteger(first) || first < 1)
    throw new TandemError('TANDEM_CONFIG_INVALID', { detail: '--sequence must be an integer from 1' });
  if (sequence !== undefined && producer === undefined)
    throw new TandemError('TANDEM_CONFIG_INVALID', { detail: '--sequence needs --producer' });
  return producer === undefined ? undefined : first;
}

function receiptText({ partition, offset, count, isDuplicate }: Receipt): string {
  const last = offset === null || count === 1 ? '' : `-${offset + count - 1}`;
  return `OK ${partition}:${offset ?? '-'}${last}${isDuplicate === true ? ' (stored earlier)' : ''}`;
}

interface PublisherOptions {
  readonly topic: string;
  readonly key: string | undefined;
  /** undefined: the client counts by itself. */
  readonly firstSequence: number | undefined;
  /** The receipts of a batch, and how many records are stored by now; in the order of the batches. */
  readonly report: (receipts: readonly Receipt[], stored: number) => void;
}

/** Keeps a few batches under way. After the first refusal nothing more is sent. */
class Publisher {
  stored = 0;
  failure: Error | undefined;
  readonly #client: TandemClient;
  readonly #options: PublisherOptions;
  #nextSequence: number | undefined;
  #underWay = 0;
  #reported: Promise<void> = Promise.resolve();
  #wake: () => void = () => {};

  constructor(client: TandemClient, options: PublisherOptions) {
    this.#client = client;
    this.#options = options;
    this.#nextSequence = options.firstSequence;
  }

  /** Resolves when there is room for the next batch. */
  async send(records: readonly Buffer[]): Promise<void> {
    const batch = Promise.all(records.map((record) => this.#publish(record)));
    const fail = (error: Error): void => this.#fail(error);
    batch.catch(fail);
    this.#underWay++;
    this.#reported = this.#reported.then(async () => this.#report(await batch));
    this.#reported.catch(fail);
    while (this.#underWay >= BATCHES_MAX && this.failure === undefined)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
  }

  /** Resolves when nothing is under way any more. */
  async settled(): Promise<void> {
    await this.#reported.catch(() => {});
  }

  async #publish(record: Buffer): Promise<PublishReceipt> {
    const sequence = this.#nextSequence;
    if (sequence !== undefined) this.#nextSequence = sequence + 1;
    const data = isUtf8(record) ? record.toString('utf8') : record;
    const { topic, key } = this.#options;
    const receipt = await this.#client.publish(topic, data, { key, sequence });
    this.stored++;
    return receipt;
  }

  #report(receipts: readonly PublishReceipt[]): void {
    this.#underWay--;
    this.#options.report(joined(receipts), this.stored);
    this.#wake();
  }

  /** At once, before the client sends what stands behind the refused record. */
  #fail(error: Error): void {
    if (this.failure !== undefined) return;
    this.failure = error;
    void this.#client.close({ flush: false });
    process.stdin.destroy();
    this.#wake();
  }
}

/** One receipt for each run of places. */
function joined(receipts: readonly PublishReceipt[]): Receipt[] {
  const runs: { -readonly [Member in keyof Receipt]: Receipt[Member] }[] = [];
  for (const { term, ack, epoch, partition, offset, isDuplicate } of receipts) {
    const last = runs.at(-1);
    const place = last === undefined || last.offset === null ? null : last.offset + last.count;
    const continues =
      last?.partition === partition &&
      last.term === term &&
      place === offset &&
      (last.isDuplicate ?? false) === isDuplicate;
    if (last !== undefined && continues) last.count++;
    else
      runs.push({
        term,
        ...(ack === undefined ? {} : { ack }),
        epoch,
        partition,
        offset,
        count: 1,
        ...(isDuplicate ? { isDuplicate } : {}),
      });
  }
  return runs;
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
