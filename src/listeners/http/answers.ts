/**
 * Answers in JSON. An error is `{"error":{code,message,hint,retryable,data?}}` with the status of its code.
 *
 * If the request's body has not been read and is large, the connection closes after the answer; until the client has seen the answer what
 * it still sends is read and dropped, for LINGER_MS at most, since closing with unread bytes would reset the connection and lose the answer.
 */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { TandemError } from '../../core/errors.ts';
import type { Clock } from '../../core/ports/clock.ts';
import type { HttpExchange } from './http-exchange.ts';

const LINGER_MS = 1000;
/** A body of at most so many bytes is read and dropped, and the connection goes on. */
const DROPPED_BYTES_MAX = 64 * 1024;
const JSON_TYPE = 'application/json';

export function answerJson({ hub, response }: HttpExchange, status: number, text: string): void {
  const headers = ['Content-Type', JSON_TYPE, 'Content-Length', String(Buffer.byteLength(text))];
  if (hub.isDraining) headers.push('Connection', 'close');
  response.writeHead(status, headers);
  response.end(text);
}

export interface Refusal {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly awaitsContinue: boolean;
  readonly isDraining: boolean;
  readonly clock: Clock;
  /** For 405. */
  readonly allow?: string;
}

/** Cuts the connection if the answer has begun already: an unfinished answer is the only error that is left. */
export function answerError(error: TandemError, refusal: Refusal): void {
  const { request, response, awaitsContinue, isDraining } = refusal;
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const text = errorText(error);
  const headers = ['Content-Type', JSON_TYPE, 'Content-Length', String(Buffer.byteLength(text)), ...hintsOf(error)];
  if (refusal.allow !== undefined) headers.push('Allow', refusal.allow);
  const leavesBody = !request.complete && !isSmall(request);
  if (isDraining || leavesBody || awaitsContinue) headers.push('Connection', 'close');
  response.writeHead(error.httpStatus, headers);
  if (!leavesBody || awaitsContinue) response.end(text);
  else endAfterBody(text, refusal);
}

/** The same as raw bytes, for a socket on which no request could be read. The connection closes after it. */
export function rawErrorAnswer(error: TandemError, moreHeaders: string = ''): string {
  const text = errorText(error);
  const hints = hintsOf(error);
  let head = `HTTP/1.1 ${error.httpStatus} ${STATUS_CODES[error.httpStatus]}\r\nContent-Type: ${JSON_TYPE}\r\n`;
  for (let i = 0; i < hints.length; i += 2) head += `${hints[i]}: ${hints[i + 1]}\r\n`;
  return `${head}${moreHeaders}Content-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`;
}

const errorText = (error: TandemError): string => JSON.stringify({ error: error.toJSON() });

function hintsOf(error: TandemError): string[] {
  if (error.httpStatus === 401) return ['WWW-Authenticate', 'Bearer'];
  return error.httpStatus === 503 && error.retryable ? ['Retry-After', '1'] : [];
}

function isSmall(request: IncomingMessage): boolean {
  const length = request.headers['content-length'];
  return length === undefined
    ? request.headers['transfer-encoding'] === undefined
    : Number(length) <= DROPPED_BYTES_MAX;
}

function endAfterBody(text: string, { request, response, clock }: Refusal): void {
  response.write(text);
  const timer = clock.after(LINGER_MS, () => response.end());
  request.once('close', () => timer.cancel());
  request.once('end', () => response.end());
  request.resume();
}
