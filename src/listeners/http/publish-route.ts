/**
 * `POST /topics/:topic`: one record (the body, any bytes, also none), or with `Content-Type: application/x-ndjson` a batch (see ndjson.ts).
 *
 * Headers: `Tandem-Key` (UTF-8; one record only), `Tandem-Producer` with `Tandem-Sequence` (of the first record).
 * Answer 201, when all is as durable as `ack` says: `{"term","ack","epoch","partition","offset"}`; a batch has `"count"` besides (and the first
 * offset). A batch whose records went to several places (keys; or repeats among new ones): `{"term","ack","count","receipts":[{"epoch",
 * "partition","offset","count"}, …]}`, in order of first use, with a producer in the order of the records. A repeat of a producer has
 * `"isDuplicate":true`; `"offset":null`: its place is not known, no longer or not yet.
 */
import type { IncomingMessage } from 'node:http';
import type { AppendOptions, Receipt } from '../../core/contracts/ingest.ts';
import { TandemError } from '../../core/errors.ts';
import { BATCH_RECORDS_MAX } from '../../core/limits.ts';
import type { ProducerSequence, RecordInput } from '../../core/record.ts';
import { requireRight } from './access.ts';
import { answerJson } from './answers.ts';
import type { HttpExchange } from './http-exchange.ts';
import { parseNdjson } from './ndjson.ts';
import { checkKey, receiptList, receiptMembers } from './record-json.ts';
import { readBody } from './request-body.ts';

const NDJSON = /^application\/x-ndjson *(;|$)/i;
const CREATED = 201;

export async function publish(exchange: HttpExchange): Promise<void> {
  const { identity, topic, request } = exchange;
  requireRight(identity, 'publish', topic);
  const producer = producerOf(request);
  if (NDJSON.test(request.headers['content-type'] ?? '')) await publishBatch(exchange, producer);
  else await publishOne(exchange, producer);
}

async function publishOne(exchange: HttpExchange, producer: ProducerSequence | undefined): Promise<void> {
  const { hub, request } = exchange;
  const key = keyOf(request);
  const data = await readBody(exchange, hub.limits.recordBytesMax, 'TANDEM_RECORD_TOO_LARGE');
  const record: RecordInput = key === undefined ? { data } : { key, data };
  const [receipt] = await append(exchange, [record], producer);
  answerJson(exchange, CREATED, `{${hub.nodeMembers},${receiptMembers(receipt as Receipt)}}`);
}

async function publishBatch(exchange: HttpExchange, producer: ProducerSequence | undefined): Promise<void> {
  const { hub, request } = exchange;
  if (request.headers['tandem-key'] !== undefined)
    throw malformed('Tandem-Key is for one record; in a batch each line has its own "key"');
  const body = await readBody(exchange, hub.limits.requestBytesMax, 'TANDEM_BATCH_TOO_LARGE');
  const records = parseNdjson(body, BATCH_RECORDS_MAX);
  if (records.length === 0) throw malformed('the batch is empty');
  const receipts = await append(exchange, records, producer);
  const [first] = receipts;
  const isOnePlace = receipts.length === 1 && first !== undefined;
  const places = isOnePlace
    ? receiptMembers(first, first.count)
    : `"count":${records.length},"receipts":[${receiptList(receipts)}]`;
  answerJson(exchange, CREATED, `{${hub.nodeMembers},${places}}`);
}

async function append(
  { hub, topic, affinity }: HttpExchange,
  records: readonly RecordInput[],
  producer: ProducerSequence | undefined,
): Promise<readonly Receipt[]> {
  const options: AppendOptions =
    producer === undefined ? { topic, records, affinity } : { topic, records, affinity, producer };
  const receipts = await hub.ingest.append(options);
  if (receipts.length === 0) throw new TandemError('TANDEM_INTERNAL', { detail: 'an append without a receipt' });
  return receipts;
}

function producerOf({ headers }: IncomingMessage): ProducerSequence | undefined {
  const id = headers['tandem-producer'];
  const sequence = headers['tandem-sequence'];
  if (id === undefined && sequence === undefined) return undefined;
  if (typeof id !== 'string' || typeof sequence !== 'string')
    throw new TandemError('TANDEM_PRODUCER_INVALID', { detail: 'Tandem-Producer and Tandem-Sequence go together' });
  return { id, sequence: /^\d{1,16}$/.test(sequence) ? Number(sequence) : Number.NaN };
}

/** Header values arrive as one character per byte; the key is those bytes as UTF-8. */
function keyOf({ headers }: IncomingMessage): string | undefined {
  const value = headers['tandem-key'];
  if (typeof value !== 'string') return undefined;
  const key = Buffer.from(value, 'latin1').toString('utf8');
  if (key.includes('\ufffd')) throw malformed('Tandem-Key is not UTF-8; send such keys in a batch');
  return checkKey(key);
}

const malformed = (detail: string): TandemError => new TandemError('TANDEM_INPUT_MALFORMED', { detail });
