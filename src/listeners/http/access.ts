/**
 * Who asks, and whether they may.
 *
 * A token comes as `Authorization: Bearer TOKEN`, or as `?token=TOKEN` where a browser cannot set headers (EventSource, WebSocket). The header
 * wins. No token ever stands in an error, a log line or an answer.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Identity, Right } from '../../core/contracts/auth.ts';
import { TandemError } from '../../core/errors.ts';

const BEARER = /^Bearer +([^ ]+) *$/i;

/** undefined: none was sent. Errors: TANDEM_AUTH_INVALID for an Authorization header that is not a bearer token. */
export function tokenOf(headers: IncomingHttpHeaders, query: URLSearchParams | undefined): string | undefined {
  const { authorization } = headers;
  if (authorization === undefined) return query?.get('token') ?? undefined;
  const token = BEARER.exec(authorization)?.[1];
  if (token === undefined)
    throw new TandemError('TANDEM_AUTH_INVALID', { detail: 'expected "Authorization: Bearer TOKEN"' });
  return token;
}

/** Errors: TANDEM_AUTH_FORBIDDEN. */
export function requireRight(identity: Identity, right: Right, topic: string): void {
  if (!identity.may(right, topic)) {
    throw new TandemError('TANDEM_AUTH_FORBIDDEN', { detail: `${right} on ${JSON.stringify(topic.slice(0, 140))}` });
  }
}

const ANY_RIGHT: readonly Right[] = ['subscribe', 'publish', 'consume', 'admin'];

/** Whether the topic may be shown at all: any right on it, or admin. */
export function maySee(identity: Identity, topic: string): boolean {
  return ANY_RIGHT.some((right) => identity.may(right, topic));
}
