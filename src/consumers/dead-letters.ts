/**
 * Dead letters: records whose last delivery failed, kept in topic `<topic>.dead` as they were, with headers that say why and from where.
 *
 *   tandem-consumer, tandem-reason, tandem-attempts     who gave up, why, after how many deliveries
 *   tandem-topic, -partition, -epoch, -offset, -time    the record's own place and time (ms)
 *   tandem-original-headers   JSON; only if the record itself had headers that begin with `tandem-` (a dead letter of a dead letter)
 *   tandem-omitted            only if the record with these headers would exceed limits.recordBytesMax: the letter then has no key, headers
 *                             or data (the value is the data's size), and a replay reads the record from its own place
 *
 * Written through ingest, as everything is. At least once: a crash between the letter and the commit gives a second letter.
 */
import type { TopicCatalog } from '../core/contracts/engine.ts';
import type { Ingest } from '../core/contracts/ingest.ts';
import { asTandemError } from '../core/errors.ts';
import type { RecordHeaders, RecordInput, TandemRecord } from '../core/record.ts';
import { DeliveredRecord } from './delivered-record.ts';
import type { HandlerRecord } from './handler-api.ts';
import type { Failure } from './targets/target.ts';

export const deadTopicOf = (topic: string): string => `${topic}.dead`;

const PREFIX = 'tandem-';
const SHORT_REASON_CHARS = 100;

/** A replayed letter whose data was left out: the target of the replay reads it from the place before it delivers. */
export class OmittedRecord extends DeliveredRecord {
  readonly omittedBytes: string;

  constructor(record: TandemRecord, epoch: string, omittedBytes: string) {
    super(record, epoch);
    this.omittedBytes = omittedBytes;
  }
}

export class DeadLetters {
  readonly #ingest: Ingest;
  readonly #topics: TopicCatalog;
  readonly #ensured = new Map<string, Promise<void>>();

  constructor(ingest: Ingest, topics: TopicCatalog) {
    this.#ingest = ingest;
    this.#topics = topics;
  }

  /** Resolves when the letter is durable. Errors: as `Ingest.append` and `TopicCatalog.ensure`, except TANDEM_RECORD_TOO_LARGE. */
  async bury(consumer: string, record: HandlerRecord, failure: Failure, attempts: number): Promise<void> {
    await this.#ensureTopic(record.topic);
    const letter = letterOf(consumer, record, failure, attempts);
    if (record instanceof OmittedRecord) return this.#append(record, omitted(letter, record.omittedBytes));
    try {
      await this.#append(record, letter);
    } catch (thrown) {
      if (asTandemError(thrown).code !== 'TANDEM_RECORD_TOO_LARGE') throw thrown;
      await this.#append(record, omitted(letter, String(record.data.length)));
    }
  }

  async #append(record: HandlerRecord, letter: RecordInput): Promise<void> {
    const topic = deadTopicOf(record.topic);
    await this.#ingest.append({ topic, records: [letter], affinity: record.partition });
  }

  /** Never changes a dead topic that exists: its retention is the operator's. */
  #ensureTopic(topic: string): Promise<void> {
    let ensured = this.#ensured.get(topic);
    if (ensured === undefined) {
      ensured = ensureDeadTopic(this.#topics, topic);
      this.#ensured.set(topic, ensured);
      ensured.catch(() => this.#ensured.delete(topic));
    }
    return ensured;
  }
}

/** Makes `<topic>.dead` with as many partitions as the topic, kept for ever, unless it exists. */
async function ensureDeadTopic(topics: TopicCatalog, topic: string): Promise<void> {
  const name = deadTopicOf(topic);
  if ((topics.peek(name) ?? (await topics.find(name))) !== undefined) return;
  const origin = await topics.find(topic);
  await topics.ensure({ name, partitions: origin?.partitions ?? 1, retentionMs: null, retentionBytes: null });
}

function letterOf(consumer: string, record: HandlerRecord, failure: Failure, attempts: number): RecordInput {
  const headers: { [name: string]: string } = {};
  let isNested = false;
  for (const [name, value] of Object.entries(record.headers ?? {})) {
    if (name.startsWith(PREFIX)) isNested = true;
    else headers[name] = value;
  }
  if (isNested) headers['tandem-original-headers'] = JSON.stringify(record.headers);
  headers['tandem-consumer'] = consumer;
  headers['tandem-reason'] = failure.reason;
  headers['tandem-attempts'] = String(attempts);
  headers['tandem-topic'] = record.topic;
  headers['tandem-partition'] = String(record.partition);
  headers['tandem-epoch'] = record.epoch;
  headers['tandem-offset'] = String(record.offset);
  headers['tandem-time'] = String(record.timeMs);
  return record.key === undefined ? { headers, data: record.data } : { key: record.key, headers, data: record.data };
}

/** The same letter with nothing of the record but its place. */
function omitted(letter: RecordInput, bytes: string): RecordInput {
  const headers: { [name: string]: string } = {};
  for (const [name, value] of Object.entries(letter.headers ?? {}))
    if (name.startsWith(PREFIX) && name !== 'tandem-original-headers') headers[name] = value;
  headers['tandem-reason'] = (headers['tandem-reason'] ?? '').slice(0, SHORT_REASON_CHARS);
  headers['tandem-omitted'] = bytes;
  return { headers, data: Buffer.alloc(0) };
}

/** The record that a letter holds, as its consumer saw it; undefined: it is not a letter of this consumer, or nothing that Tandem wrote. */
export function recordOfLetter(letter: TandemRecord, consumer: string, topic: string): DeliveredRecord | undefined {
  const { headers } = letter;
  if (headers?.['tandem-consumer'] !== consumer || headers['tandem-topic'] !== topic) return undefined;
  const partition = Number(headers['tandem-partition']);
  const offset = Number(headers['tandem-offset']);
  const original = originalHeaders(headers);
  if (!Number.isSafeInteger(partition) || !Number.isSafeInteger(offset) || original === 'malformed') return undefined;
  const timeMs = Number(headers['tandem-time']);
  const epoch = headers['tandem-epoch'] ?? '';
  const { key, data } = letter;
  const record = { topic, partition, offset, timeMs, key, headers: original, data };
  const omittedBytes = headers['tandem-omitted'];
  return omittedBytes === undefined
    ? new DeliveredRecord(record, epoch)
    : new OmittedRecord(record, epoch, omittedBytes);
}

function originalHeaders(headers: RecordHeaders): RecordHeaders | undefined | 'malformed' {
  const nested = headers['tandem-original-headers'];
  if (nested === undefined) {
    const own = Object.entries(headers).filter(([name]) => !name.startsWith(PREFIX));
    return own.length === 0 ? undefined : Object.fromEntries(own);
  }
  try {
    return JSON.parse(nested) as RecordHeaders;
  } catch {
    return 'malformed';
  }
}
