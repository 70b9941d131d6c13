/**
 * `GET /topics/:topic/records?partition=0&from=start&limit=1000&epoch=`: stored records as NDJSON, oldest first, written as fast as the
 * client takes them.
 *
 * `from` is an offset or `start`; `epoch`, if given, must be the partition's (else 410: cannot resume). The headers Tandem-Epoch,
 * Tandem-First-Offset and Tandem-Next-Offset tell the partition's state when the reading began. The end of the partition ends the answer. If
 * reading fails after the answer has begun, the last line is `{"error":…}` and the connection is cut, so that the answer is never taken for whole.
 */
import type { ServerResponse } from 'node:http';
import type { ReadResult } from '../../core/contracts/engine.ts';
import { asTandemError, TandemError } from '../../core/errors.ts';
import type { TopicPartition } from '../../core/record.ts';
import { forEachRecord } from '../../core/record-set.ts';
import { requireRight } from './access.ts';
import type { HttpExchange, HttpHub } from './http-exchange.ts';
import { recordMembers } from './record-json.ts';

const LIMIT_DEFAULT = 1000;
const READ_BYTES = 256 * 1024;
/** A trim may overtake the search for the first offset. */
const START_ATTEMPTS_MAX = 5;

export async function readRecords(exchange: HttpExchange): Promise<void> {
  const { hub, identity, topic, query, response } = exchange;
  requireRight(identity, 'subscribe', topic);
  const partition: TopicPartition = { topic, partition: countOf(query, 'partition', 0) };
  let wanted = countOf(query, 'limit', LIMIT_DEFAULT);
  let { offset, result } = await readFirst(hub, partition, query);
  const { epoch } = result;
  response.writeHead(200, headOf(result, hub.isDraining));
  try {
    while (result.batches.length > 0 && wanted > 0) {
      const lines = linesOf(result, offset, wanted);
      wanted -= lines.count;
      offset += lines.count;
      if (!response.write(lines.text) && !(await isWritableAgain(response))) return;
      if (response.destroyed) return;
      if (wanted > 0) result = await hub.store.read(partition, { epoch, offset }, READ_BYTES);
    }
    response.end();
  } catch (thrown) {
    const error = asTandemError(thrown);
    hub.logger.warn('http_read_failed', { code: error.code, topic, partition: partition.partition, offset });
    response.write(`${JSON.stringify({ error: error.toJSON() })}\n`, () => response.destroy());
  }
}

async function readFirst(
  { store }: HttpHub,
  partition: TopicPartition,
  query: URLSearchParams,
): Promise<{ offset: number; result: ReadResult }> {
  const epoch = query.get('epoch') ?? '';
  const from = query.get('from') ?? 'start';
  if (from !== 'start') {
    const offset = countOf(query, 'from', 0);
    return { offset, result: await store.read(partition, { epoch, offset }, READ_BYTES) };
  }
  for (let attempt = 1; ; attempt++) {
    const offset = (await store.state(partition)).firstOffset;
    try {
      return { offset, result: await store.read(partition, { epoch, offset }, READ_BYTES) };
    } catch (thrown) {
      const isTrimmed = epoch === '' && asTandemError(thrown).code === 'TANDEM_POSITION_LOST';
      if (!isTrimmed || attempt === START_ATTEMPTS_MAX) throw thrown;
    }
  }
}

function headOf({ epoch, firstOffset, nextOffset }: ReadResult, isDraining: boolean): string[] {
  const head = ['Content-Type', 'application/x-ndjson', 'Cache-Control', 'no-store'];
  head.push(
    'Tandem-Epoch',
    epoch,
    'Tandem-First-Offset',
    String(firstOffset),
    'Tandem-Next-Offset',
    String(nextOffset),
  );
  if (isDraining) head.push('Connection', 'close');
  return head;
}

function linesOf(result: ReadResult, fromOffset: number, countMax: number): { text: string; count: number } {
  let text = '';
  let count = 0;
  for (const batch of result.batches) {
    if (count === countMax) break;
    forEachRecord(batch, fromOffset, (record) => {
      if (count === countMax) return;
      text += `{${recordMembers(record)}}\n`;
      count++;
    });
  }
  return { text, count };
}

/** False: the client has gone. */
function isWritableAgain(response: ServerResponse): Promise<boolean> {
  return new Promise((resolve) => {
    if (response.destroyed) return resolve(false);
    const settle = (isWritable: boolean): void => {
      response.off('drain', onDrain);
      response.off('close', onClose);
      resolve(isWritable);
    };
    const onDrain = (): void => settle(true);
    const onClose = (): void => settle(false);
    response.on('drain', onDrain);
    response.on('close', onClose);
  });
}

function countOf(query: URLSearchParams, name: string, absent: number): number {
  const text = query.get(name);
  if (text === null) return absent;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value))
    throw new TandemError('TANDEM_INPUT_MALFORMED', { detail: `"${name}" must be an integer from 0` });
  return value;
}
