/** Records' data as JSON text and back. Text stays text; bytes that are not UTF-8 go as base64. */
import { clientError } from './errors.ts';

export interface PublishedRecord {
  readonly data: string | Uint8Array;
  readonly key?: string | undefined;
  readonly headers?: { readonly [name: string]: string } | undefined;
}

// ignoreBOM: a byte order mark is data like any other.
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** Arguments of one call. */
const CHARS_PER_CALL = 8192;

/** The JSON text of a record as `publish` takes it. Errors: TANDEM_CLIENT_INVALID. */
export function recordJson({ data, key, headers }: PublishedRecord): string {
  let json = `{${dataMember(data)}`;
  if (key !== undefined) json += `,"key":${textJson(key, 'key')}`;
  if (headers !== undefined) {
    for (const [name, value] of Object.entries(headers)) {
      textJson(name, 'headers');
      textJson(value, 'headers');
    }
    json += `,"headers":${JSON.stringify(headers)}`;
  }
  return `${json}}`;
}

function dataMember(data: string | Uint8Array): string {
  if (typeof data === 'string') return `"data":${textJson(data, 'data')}`;
  if (!(data instanceof Uint8Array))
    throw clientError('TANDEM_CLIENT_INVALID', 'data must be a string or a Uint8Array');
  try {
    return `"data":${JSON.stringify(strictUtf8.decode(data))}`;
  } catch {
    return `"base64":"${toBase64(data)}"`;
  }
}

function textJson(text: unknown, name: string): string {
  if (typeof text !== 'string') throw clientError('TANDEM_CLIENT_INVALID', `${name}: not a string`);
  // It has no UTF-8 form, so the server would refuse it.
  if (!text.isWellFormed()) throw clientError('TANDEM_CLIENT_INVALID', `${name}: half a surrogate pair`);
  return JSON.stringify(text);
}

function toBase64(bytes: Uint8Array): string {
  let chars = '';
  for (let at = 0; at < bytes.length; at += CHARS_PER_CALL)
    chars += String.fromCharCode(...bytes.subarray(at, at + CHARS_PER_CALL));
  return btoa(chars);
}

export const fromBase64 = (base64: string): Uint8Array => Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
