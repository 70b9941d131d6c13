/**
 * JSON-RPC 2.0, strictly: parsing of requests and text of answers. Knows no methods.
 *
 * Error numbers: -32700 not JSON, -32600 not a request, -32602 wrong params (TANDEM_INPUT_MALFORMED from a method); all else is the number of
 * the TandemError. `error.data` has the TandemError's code, hint, retryable and facts.
 * A batch has at most BATCH_REQUESTS_MAX entries. Answers of servers (objects with `result` or `error`) are not requests.
 */

import { TandemError } from '../../core/errors.ts';

/** Present on every request that wants an answer. */
export type RpcId = string | number | null;
export type RpcParams = { readonly [name: string]: unknown };

export interface RpcRequest {
  /** undefined: a notification, which is never answered. */
  readonly id: RpcId | undefined;
  readonly method: string;
  readonly params: RpcParams;
}

/** An entry that is not a request; its answer is ready. */
interface RpcRefusal {
  readonly answer: string;
}

interface RpcMessage {
  readonly isBatch: boolean;
  readonly entries: readonly (RpcRequest | RpcRefusal)[];
}

export const BATCH_REQUESTS_MAX = 10_000;

const PARSE_ERROR = -32700;
const INVALID_REQUEST = -32600;
const INVALID_PARAMS = -32602;
const NO_PARAMS: RpcParams = Object.freeze({});

/** Never throws. */
export function parseRpc(text: string): RpcMessage {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return single(refusal(null, PARSE_ERROR, 'the message is not JSON'));
  }
  if (!Array.isArray(value)) return single(parseRequest(value));
  if (value.length === 0) return single(refusal(null, INVALID_REQUEST, 'the batch is empty'));
  if (value.length > BATCH_REQUESTS_MAX)
    return single(refusal(null, INVALID_REQUEST, `a batch has at most ${BATCH_REQUESTS_MAX} requests`));
  return { isBatch: true, entries: value.map(parseRequest) };
}

export function resultAnswer(id: RpcId, resultJson: string): string {
  return `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${resultJson}}`;
}

/** The answer to a request whose method threw `error`. */
export function errorAnswer(id: RpcId, error: TandemError): string {
  return errorText(id, error.code === 'TANDEM_INPUT_MALFORMED' ? INVALID_PARAMS : error.number, error);
}

export function notification(method: string, paramsJson: string): string {
  return `{"jsonrpc":"2.0","method":"${method}","params":${paramsJson}}`;
}

function parseRequest(value: unknown): RpcRequest | RpcRefusal {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return refusal(null, INVALID_REQUEST, 'a request is an object');
  const { jsonrpc, id, method, params } = value as { [member: string]: unknown };
  if (id !== undefined && id !== null && typeof id !== 'string' && typeof id !== 'number')
    return refusal(null, INVALID_REQUEST, '"id" must be a string, a number or null');
  const answerId = id === undefined ? null : id;
  if (jsonrpc !== '2.0') return refusal(answerId, INVALID_REQUEST, '"jsonrpc" must be "2.0"');
  if (typeof method !== 'string') return refusal(answerId, INVALID_REQUEST, '"method" must be a string');
  if (params === undefined) return { id, method, params: NO_PARAMS };
  if (typeof params !== 'object' || params === null)
    return refusal(answerId, INVALID_REQUEST, '"params" must be an object');
  if (Array.isArray(params))
    return refusal(answerId, INVALID_PARAMS, '"params" must be an object: parameters have names');
  return { id, method, params: params as RpcParams };
}

const single = (entry: RpcRequest | RpcRefusal): RpcMessage => ({ isBatch: false, entries: [entry] });

function refusal(id: RpcId, number: number, detail: string): RpcRefusal {
  return { answer: errorText(id, number, new TandemError('TANDEM_INPUT_MALFORMED', { detail })) };
}

function errorText(id: RpcId, number: number, error: TandemError): string {
  const { code, hint, retryable, message } = error;
  const data = error.data === undefined ? { code, hint, retryable } : { code, hint, retryable, ...error.data };
  return JSON.stringify({ jsonrpc: '2.0', id, error: { code: number, message, data } });
}
