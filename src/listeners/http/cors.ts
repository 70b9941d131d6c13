/**
 * What a browser must read before it lets a page of an allowed other origin see an answer (CORS). The origin is repeated, never `*`, so that one
 * answer fits one origin. Credentials are not allowed: there are no cookies, a page sends its token itself.
 */
import type { ServerResponse } from 'node:http';

const REQUEST_HEADERS = 'Authorization, Content-Type, Last-Event-ID, Tandem-Key, Tandem-Producer, Tandem-Sequence';
const ANSWER_HEADERS = 'Retry-After, Tandem-Epoch, Tandem-First-Offset, Tandem-Next-Offset';
/** So long a browser need not ask again. */
const PREFLIGHT_AGE_S = '600';

/** For any answer that follows, errors too. */
export function allowOrigin(response: ServerResponse, origin: string): void {
  response.setHeader('Access-Control-Allow-Origin', origin);
  response.setHeader('Access-Control-Expose-Headers', ANSWER_HEADERS);
  response.setHeader('Vary', 'Origin');
}

/** The answer to OPTIONS, which carries no token. */
export function answerPreflight(response: ServerResponse, methods: readonly string[]): void {
  response.setHeader('Access-Control-Allow-Methods', methods.join(', '));
  response.setHeader('Access-Control-Allow-Headers', REQUEST_HEADERS);
  response.setHeader('Access-Control-Max-Age', PREFLIGHT_AGE_S);
  response.writeHead(204);
  response.end();
}
