/**
 * Records as JSON, the same on HTTP, SSE and WebSocket.
 *
 * Out: `"partition","offset","time","key"?,"headers"?,"data"`; bytes that are not UTF-8 stand as `"base64"` instead of `"data"`.
 * In: `"data"` (text) or `"base64"` (bytes; standard alphabet, padded), `"key"?`, `"headers"?` (an object of strings).
 */
import { isUtf8 } from 'node:buffer';
import type { Receipt } from '../../core/contracts/ingest.ts';
import { TandemError } from '../../core/errors.ts';
import type { RecordHeaders, RecordInput, TandemRecord } from '../../core/record.ts';

const KEY_BYTES_MAX = 65_534;

/** The members of a record's JSON object, without the braces. */
export function recordMembers(record: TandemRecord): string {
  const { data } = record;
  let json = `"partition":${record.partition},"offset":${record.offset},"time":${record.timeMs}`;
  if (record.key !== undefined) json += `,"key":${JSON.stringify(record.key)}`;
  if (record.headers !== undefined) json += `,"headers":${JSON.stringify(record.headers)}`;
  return isUtf8(data)
    ? `${json},"data":${JSON.stringify(data.toString('utf8'))}`
    : `${json},"base64":"${data.toString('base64')}"`;
}

/**
 * `"epoch","partition","offset"` of a receipt's JSON object, without the braces; a repeat has `"isDuplicate":true`. `"offset":null`: the place is not
 * known, of a repeat no longer, of a record in a spool not yet (then the epoch is "").
 */
export function receiptMembers(receipt: Receipt, count?: number): string {
  const { epoch, partition, firstOffset, isDuplicate } = receipt;
  let json = `"epoch":${JSON.stringify(epoch)},"partition":${partition},"offset":${firstOffset === -1 ? 'null' : firstOffset}`;
  if (count !== undefined) json += `,"count":${count}`;
  return isDuplicate ? `${json},"isDuplicate":true` : json;
}

/** `{…},{…}` of several, each with its count. */
export const receiptList = (receipts: readonly Receipt[]): string =>
  receipts.map((receipt) => `{${receiptMembers(receipt, receipt.count)}}`).join(',');

export interface RecordMembers {
  data?: unknown;
  base64?: unknown;
  key?: unknown;
  headers?: unknown;
}

/** Errors: TANDEM_INPUT_MALFORMED. */
export function recordInputOf(members: RecordMembers): RecordInput {
  const data = dataOf(members);
  if (members.key === undefined && members.headers === undefined) return { data };
  const record: { data: Buffer; key?: string; headers?: RecordHeaders } = { data };
  if (members.key !== undefined) record.key = checkKey(members.key);
  if (members.headers !== undefined) record.headers = headersOf(members.headers);
  return record;
}

/** Errors: TANDEM_INPUT_MALFORMED. */
export function checkKey(key: unknown): string {
  if (typeof key !== 'string') throw malformed('"key" must be a string');
  if (!key.isWellFormed()) throw malformed('"key" has half a surrogate pair');
  if (key.length * 3 > KEY_BYTES_MAX && Buffer.byteLength(key) > KEY_BYTES_MAX)
    throw malformed(`"key" is longer than ${KEY_BYTES_MAX} bytes`);
  return key;
}

function dataOf({ data, base64 }: RecordMembers): Buffer {
  if ((data === undefined) === (base64 === undefined)) throw malformed('give one of "data" and "base64"');
  if (base64 === undefined) {
    if (typeof data !== 'string') throw malformed('"data" must be a string');
    if (!data.isWellFormed()) throw malformed('"data" has half a surrogate pair; send bytes as "base64"');
    return Buffer.from(data, 'utf8');
  }
  if (typeof base64 !== 'string') throw malformed('"base64" must be a string');
  const bytes = Buffer.from(base64, 'base64');
  // The decoder skips what it does not know: then less comes out than the length promises.
  if (base64.length % 4 !== 0 || bytes.length !== Buffer.byteLength(base64, 'base64'))
    throw malformed('"base64" is not base64');
  return bytes;
}

function headersOf(value: unknown): RecordHeaders {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw malformed('"headers" must be an object of strings');
  for (const text of Object.values(value))
    if (typeof text !== 'string') throw malformed('"headers" must be an object of strings');
  return value as RecordHeaders;
}

const malformed = (detail: string): TandemError => new TandemError('TANDEM_INPUT_MALFORMED', { detail });
