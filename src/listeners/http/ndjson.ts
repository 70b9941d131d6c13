/**
 * The body of a batch: one JSON value per line, each line one record.
 *
 * A line that is an object with `"data"` (a string) or `"base64"`, and besides only `"key"`, `"headers"` and what a record has when it is read
 * (`"partition"`, `"offset"`, `"time"`, ignored, so that what was read can be sent back), is that record. Every other JSON value is a record
 * whose data is the line's text, byte for byte. Empty lines and a carriage return at the end of a line do not count.
 */
import { isUtf8 } from 'node:buffer';
import { TandemError } from '../../core/errors.ts';
import type { RecordInput } from '../../core/record.ts';
import { type RecordMembers, recordInputOf } from './record-json.ts';

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
const ENVELOPE_MEMBERS: ReadonlySet<string> = new Set([
  'data',
  'base64',
  'key',
  'headers',
  'partition',
  'offset',
  'time',
]);

/** Errors: TANDEM_INPUT_MALFORMED with the line's number; TANDEM_BATCH_TOO_LARGE above `recordsMax`. All or nothing. */
export function parseNdjson(body: Buffer, recordsMax: number): RecordInput[] {
  if (!isUtf8(body)) throw malformed('the body is not UTF-8');
  const records: RecordInput[] = [];
  let line = 0;
  for (let start = 0; start < body.length; ) {
    const feed = body.indexOf(LINE_FEED, start);
    const next = feed === -1 ? body.length : feed + 1;
    let end = feed === -1 ? body.length : feed;
    if (end > start && body[end - 1] === CARRIAGE_RETURN) end--;
    line++;
    if (end > start) {
      if (records.length === recordsMax)
        throw new TandemError('TANDEM_BATCH_TOO_LARGE', { detail: `more than ${recordsMax} records` });
      records.push(parseLine(body.subarray(start, end), line));
    }
    start = next;
  }
  return records;
}

function parseLine(bytes: Buffer, line: number): RecordInput {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw malformed(`line ${line} is not JSON`);
  }
  if (!isEnvelope(value)) return { data: bytes };
  try {
    return recordInputOf(value);
  } catch (thrown) {
    throw thrown instanceof TandemError
      ? new TandemError(thrown.code, { detail: `line ${line}: ${thrown.message}` })
      : thrown;
  }
}

function isEnvelope(value: unknown): value is RecordMembers {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  if (typeof (value as RecordMembers).data !== 'string' && typeof (value as RecordMembers).base64 !== 'string')
    return false;
  for (const name in value) if (!ENVELOPE_MEMBERS.has(name)) return false;
  return true;
}

const malformed = (detail: string): TandemError => new TandemError('TANDEM_INPUT_MALFORMED', { detail });
