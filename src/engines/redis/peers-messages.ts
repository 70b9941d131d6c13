/**
 * What nodes tell each other over Redis: JSON, one message each, `v` the version of this form.
 *
 *   {"v":1,"kind":"facts","from":holder,"facts":{...},"asks":true}   when they change, and as a sign of life; `asks`: who hears it says its own
 *   {"v":1,"kind":"bye","from":holder}
 *   {"v":1,"kind":"request","from","to","id":n,"request":{...}}      answered by
 *   {"v":1,"kind":"answer","from","to","id":n,"result":...} or with "error":{"code","detail","data"}
 *
 * Whatever does not have this form is dropped. A later version adds fields and kinds; it does not change these.
 */
import type { NodeFacts, PeerRequest, Takeover } from '../../core/contracts/cluster.ts';
import { asTandemError, ERRORS, type ErrorCode, TandemError } from '../../core/errors.ts';

export interface PeerError {
  readonly code: ErrorCode;
  /** Without the registry's message. */
  readonly detail: string;
  readonly data?: { readonly [name: string]: unknown };
}

interface Sent {
  /** Who says it, as a holder of leases. */
  readonly from: string;
}

export interface FactsMessage extends Sent {
  readonly kind: 'facts';
  readonly facts: NodeFacts;
  readonly asks?: boolean;
}

export interface RequestMessage extends Sent {
  readonly kind: 'request';
  readonly to: string;
  readonly id: number;
  readonly request: PeerRequest;
}

export interface AnswerMessage extends Sent {
  readonly kind: 'answer';
  readonly to: string;
  readonly id: number;
  readonly result?: unknown;
  readonly error?: PeerError;
}

export type PeerMessage = FactsMessage | RequestMessage | AnswerMessage | ({ readonly kind: 'bye' } & Sent);

export const MESSAGE_BYTES_MAX: number = 64 * 1024;
const VERSION = 1;
const TAKEOVERS_MAX = 1000;

/** undefined: it would be too large to be heard. */
export function encodeMessage(message: PeerMessage): string | undefined {
  const text = JSON.stringify({ v: VERSION, ...message });
  return Buffer.byteLength(text) > MESSAGE_BYTES_MAX ? undefined : text;
}

/** undefined: it does not have the form. Nothing of it is trusted but the types. */
export function decodeMessage(bytes: Buffer): PeerMessage | undefined {
  if (bytes.length > MESSAGE_BYTES_MAX) return undefined;
  let message: unknown;
  try {
    message = JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
  if (!isObject(message) || message['v'] !== VERSION || !isText(message['from'])) return undefined;
  return isMessage(message) ? (message as unknown as PeerMessage) : undefined;
}

export function errorOf(thrown: unknown): PeerError {
  const { code, message, data } = asTandemError(thrown);
  const detail = message.slice(ERRORS[code].message.length).replace(/^: /, '');
  return data === undefined ? { code, detail } : { code, detail, data };
}

export const asError = ({ code, detail, data }: PeerError): TandemError =>
  new TandemError(code, data === undefined ? { detail } : { detail, data });

interface Fields {
  readonly [name: string]: unknown;
}

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';
const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);

function isMessage(message: Fields): boolean {
  const { kind, to, id, facts, request, error, from } = message as { [name: string]: unknown };
  switch (kind) {
    case 'facts':
      return isFacts(facts) && facts.holder === from;
    case 'bye':
      return true;
    case 'request':
      return isText(to) && isNumber(id) && isRequest(request);
    case 'answer':
      return isText(to) && isNumber(id) && (error === undefined || isError(error));
    default:
      return false;
  }
}

function isFacts(value: unknown): value is NodeFacts {
  if (!isObject(value)) return false;
  const { serial, name, holder, role, term, isReady, reason, adminUrl, version, sinceMs, takeovers } =
    value as unknown as NodeFacts;
  return (
    [serial, term, sinceMs].every(isNumber) &&
    [name, holder].every(isText) &&
    [reason, adminUrl, version].every((text) => typeof text === 'string') &&
    (role === 'active' || role === 'standby') &&
    typeof isReady === 'boolean' &&
    Array.isArray(takeovers) &&
    takeovers.length <= TAKEOVERS_MAX &&
    takeovers.every((takeover: Takeover) => isObject(takeover) && isNumber(takeover.term) && isNumber(takeover.atMs))
  );
}

function isRequest(value: unknown): boolean {
  if (!isObject(value) || !isNumber(value['timeoutMs'])) return false;
  const { kind, to, from } = value as { [name: string]: unknown };
  return kind === 'switchover' ? to === null || isText(to) : kind === 'prepare' && isText(from);
}

function isError(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { code, detail, data } = value as { [name: string]: unknown };
  return (
    isText(code) && Object.hasOwn(ERRORS, code) && typeof detail === 'string' && (data === undefined || isObject(data))
  );
}
