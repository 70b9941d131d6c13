/** Which path goes where: one small table. Also turns whatever a route throws into an answer. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Identity } from '../../core/contracts/auth.ts';
import { asTandemError, TandemError } from '../../core/errors.ts';
import { tokenOf } from './access.ts';
import { answerError, type Refusal } from './answers.ts';
import { allowOrigin, answerPreflight } from './cors.ts';
import { livez, readyz } from './health-route.ts';
import type { HttpHub, RouteHandler } from './http-exchange.ts';
import { livePage } from './live-page/live-page-route.ts';
import { publish } from './publish-route.ts';
import { readRecords } from './records-route.ts';
import { streamRecords } from './stream-route.ts';
import { listTopics, showTopic } from './topics-route.ts';

export const WEBSOCKET_PATH = '/ws';

interface Route {
  /** `:topic` stands for any one segment. */
  readonly segments: readonly string[];
  readonly methods: { readonly [method: string]: RouteHandler };
  /** For everybody: no token, and pages of any origin may send it. */
  readonly isOpen?: boolean;
}

const ROUTES: readonly Route[] = [
  { segments: ['topics', ':topic'], methods: { GET: showTopic, POST: publish } },
  { segments: ['topics', ':topic', 'records'], methods: { GET: readRecords } },
  { segments: ['topics', ':topic', 'stream'], methods: { GET: streamRecords } },
  { segments: ['topics'], methods: { GET: listTopics } },
  { segments: ['livez'], methods: { GET: livez, HEAD: livez }, isOpen: true },
  { segments: ['readyz'], methods: { GET: readyz, HEAD: readyz }, isOpen: true },
  { segments: ['ws'], methods: { GET: needsUpgrade } },
  { segments: [''], methods: { GET: livePage, HEAD: livePage }, isOpen: true },
];

const NOBODY: Identity = { name: 'nobody', may: () => false };
const NO_QUERY = new URLSearchParams();

export interface Arrival {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly affinity: number;
  readonly awaitsContinue: boolean;
}

/** Answers the request, whatever happens. Never throws, never rejects. */
export async function route(hub: HttpHub, arrival: Arrival): Promise<void> {
  const { request } = arrival;
  const { path, query } = splitUrl(request.url ?? '/');
  let allow: string | undefined;
  try {
    const { route, topic } = match(path);
    const origin = route.isOpen ? undefined : hub.originGuard.admit(request.headers);
    if (origin !== undefined) {
      allowOrigin(arrival.response, origin);
      if (request.method === 'OPTIONS') return answerPreflight(arrival.response, Object.keys(route.methods));
    }
    const handler = route.methods[request.method ?? ''];
    if (handler === undefined) {
      allow = Object.keys(route.methods).join(', ');
      throw new TandemError('TANDEM_METHOD_NOT_ALLOWED', { detail: `allowed: ${allow}` });
    }
    const identity = route.isOpen ? NOBODY : hub.authenticator.authenticate(tokenOf(request.headers, query));
    await handler({ ...arrival, hub, identity, topic, query: query ?? NO_QUERY });
  } catch (thrown) {
    refuse(hub, arrival, path, asTandemError(thrown), allow);
  }
}

export function splitUrl(url: string): { path: string; query: URLSearchParams | undefined } {
  const mark = url.indexOf('?');
  return mark === -1
    ? { path: url, query: undefined }
    : { path: url.slice(0, mark), query: new URLSearchParams(url.slice(mark + 1)) };
}

function refuse(hub: HttpHub, arrival: Arrival, path: string, error: TandemError, allow: string | undefined): void {
  const fields = { code: error.code, method: arrival.request.method, path: path.slice(0, 200) };
  if (error.code === 'TANDEM_INTERNAL') hub.logger.error('http_failed', { ...fields, cause: error.cause });
  else hub.logger.debug('http_refused', fields);
  const refusal: Refusal = { ...arrival, isDraining: hub.isDraining, clock: hub.clock };
  answerError(error, allow === undefined ? refusal : { ...refusal, allow });
}

function match(path: string): { route: Route; topic: string } {
  const segments = path.split('/', 5);
  for (const route of ROUTES) {
    if (segments.length !== route.segments.length + 1 || segments[0] !== '') continue;
    let topic = '';
    const isMatch = route.segments.every((wanted, index) => {
      const segment = segments[index + 1] as string;
      if (wanted !== ':topic') return wanted === segment;
      topic = segment;
      return segment !== '';
    });
    if (isMatch) return { route, topic: topic.includes('%') ? decode(topic) : topic };
  }
  throw new TandemError('TANDEM_METHOD_UNKNOWN', { detail: JSON.stringify(path.slice(0, 200)) });
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new TandemError('TANDEM_INPUT_MALFORMED', { detail: 'the path is not percent-encoded UTF-8' });
  }
}

function needsUpgrade(): never {
  throw new TandemError('TANDEM_INPUT_MALFORMED', { detail: `${WEBSOCKET_PATH} is for WebSocket connections` });
}
