/**
 * The target `to: https://…`: each record is POSTed, signed as Standard Webhooks 1.0.0 has it.
 *
 *   body                the record's data, byte for byte
 *   content-type        the record's own `content-type` header, else application/json if it is a JSON object or array, else text/plain if
 *                       it is UTF-8, else application/octet-stream
 *   webhook-id          HandlerRecord.id: the same on every delivery of the record, so receivers can ignore repeats
 *   webhook-timestamp   of the attempt, Unix seconds
 *   webhook-signature   `v1,` + base64 of HMAC-SHA256 over `<id>.<timestamp>.<body>`; only with a secret. A secret `whsec_<base64>` is
 *                       decoded as the standard says, any other text is the key as it stands
 *   tandem-topic, -partition, -offset, -time, -consumer, -attempt, -replay
 *   tandem-key, tandem-headers   URI-encoded (the headers as JSON); left out, with `tandem-omitted` naming them, above HEADER_CHARS_MAX
 *
 * 2xx: done. 410: the receiver wants no more, the consumer stops. Anything else, redirects included, is a failure; Retry-After (seconds or
 * a date) is honoured up to retry.backoffMsMax.
 */
import { isUtf8 } from 'node:buffer';
import { createHmac } from 'node:crypto';
import type { Clock } from '../../core/ports/clock.ts';
import type { HttpAnswer, HttpClient } from '../../core/ports/http-client.ts';
import type { HandlerContext, HandlerRecord } from '../handler-api.ts';
import { failureOf, type Outcome, type Target } from './target.ts';

export interface WebhookOptions {
  readonly url: string;
  readonly secret: string | undefined;
  readonly http: HttpClient;
  readonly clock: Clock;
}

type Headers = { [name: string]: string };

const SECRET_PREFIX = 'whsec_';
const HEADER_CHARS_MAX = 4096;
const ANSWER_CHARS_SHOWN = 200;
const OPENING_BRACE = 0x7b;
const OPENING_BRACKET = 0x5b;

export function webhookTarget({ url, secret, http, clock }: WebhookOptions): Target {
  const signingKey = secret === undefined ? undefined : signingKeyOf(secret);
  return {
    async deliver(record, context): Promise<Outcome> {
      const headers = headersOf(record, context);
      const timestamp = String(Math.floor(clock.nowMs() / 1000));
      headers['webhook-timestamp'] = timestamp;
      if (signingKey !== undefined)
        headers['webhook-signature'] = signatureOf(signingKey, record.id, timestamp, record.data);
      try {
        return outcomeOf(await http.post({ url, headers, body: record.data, signal: context.signal }), clock);
      } catch (thrown) {
        return failureOf(thrown);
      }
    },
  };
}

export function signingKeyOf(secret: string): Buffer {
  return secret.startsWith(SECRET_PREFIX)
    ? Buffer.from(secret.slice(SECRET_PREFIX.length), 'base64')
    : Buffer.from(secret, 'utf8');
}

export function signatureOf(signingKey: Buffer, id: string, timestamp: string, body: Uint8Array): string {
  return `v1,${createHmac('sha256', signingKey).update(`${id}.${timestamp}.`).update(body).digest('base64')}`;
}

function headersOf(record: HandlerRecord, context: HandlerContext): Headers {
  const headers: Headers = {
    'content-type': contentTypeOf(record),
    'webhook-id': record.id,
    'tandem-topic': record.topic,
    'tandem-partition': String(record.partition),
    'tandem-offset': String(record.offset),
    'tandem-time': String(record.timeMs),
    'tandem-consumer': context.consumer,
    'tandem-attempt': String(context.attempt),
  };
  if (context.isReplay) headers['tandem-replay'] = 'true';
  const omitted: string[] = [];
  const add = (name: string, text: string): void => {
    // toWellFormed: a lone surrogate cannot be URI-encoded.
    const value = encodeURIComponent(text.toWellFormed());
    if (value.length <= HEADER_CHARS_MAX) headers[name] = value;
    else omitted.push(name);
  };
  if (record.key !== undefined) add('tandem-key', record.key);
  if (record.headers !== undefined) add('tandem-headers', JSON.stringify(record.headers));
  if (omitted.length > 0) headers['tandem-omitted'] = omitted.join(', ');
  return headers;
}

/** A header value must not carry what would break the request. */
const HEADER_VALUE = /^[\x20-\x7e]{1,200}$/;

function contentTypeOf(record: HandlerRecord): string {
  const { headers, data } = record;
  const own = headers?.['content-type'];
  if (own !== undefined && HEADER_VALUE.test(own)) return own;
  if (!isUtf8(data)) return 'application/octet-stream';
  const first = data[0];
  if (first !== OPENING_BRACE && first !== OPENING_BRACKET) return 'text/plain; charset=utf-8';
  try {
    record.json();
    return 'application/json';
  } catch {
    return 'text/plain; charset=utf-8';
  }
}

function outcomeOf({ status, text, retryAfter }: HttpAnswer, clock: Clock): Outcome {
  if (status >= 200 && status < 300) return undefined;
  const shown = text.slice(0, ANSWER_CHARS_SHOWN).trim();
  const reason = shown === '' ? `HTTP ${status}` : `HTTP ${status}: ${shown}`;
  if (status === 410) return { reason, isGone: true };
  const retryAfterMs = retryAfter === undefined ? undefined : retryAfterMsOf(retryAfter, clock);
  return retryAfterMs === undefined ? { reason } : { reason, retryAfterMs };
}

/** Seconds or an HTTP date; undefined if it is neither. */
function retryAfterMsOf(text: string, clock: Clock): number | undefined {
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const dateMs = Date.parse(text);
  return Number.isNaN(dateMs) ? undefined : Math.max(dateMs - clock.nowMs(), 0);
}
