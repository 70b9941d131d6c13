/**
 * The admin listener: health, metrics, admin API and a page that shows them, on node:http, in the keeper. It answers as long as the
 * keeper lives, whatever the workers do.
 *
 *   GET  /livez /readyz               open to all; body { role, term, reason }
 *   GET  /                            a page without data
 *   GET  /metrics                     Prometheus text
 *   GET  /admin/v1/status|topics|consumers
 *   POST /admin/v1/switchover                       { "to"?: node, "timeoutMs"?: n }: on any node; the report when it is over
 *   POST /admin/v1/consumers/:name/pause|resume     a pause holds until resume, over restarts of workers and node
 *   POST /admin/v1/consumers/:name/replay           { "countMax"?: n }: dead letters at most, in total (default 1000)
 *   POST /admin/v1/consumers/:name/skip             { "partition": n, "toOffset"?: n }: goes on there (default: after the damage)
 *
 * With auth configured all but the first two lines need the `admin` right. Web pages of other origins are refused whatever the config allows
 * for the listeners (core/origin-guard.ts).
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { Authenticator } from '../core/contracts/auth.ts';
import type { Health } from '../core/contracts/health.ts';
import type { Logger } from '../core/contracts/telemetry.ts';
import type { ConsumerCommand } from '../core/contracts/worker.ts';
import { asTandemError, TandemError } from '../core/errors.ts';
import { createOriginGuard, type OriginGuard } from '../core/origin-guard.ts';
import { pageHeaders } from '../core/page-headers.ts';
import { STATUS_PAGE } from './status-page.ts';

export interface AdminBackend {
  health(): Health;
  status(): Promise<unknown>;
  /** Errors: TANDEM_NODE_STANDBY. */
  topics(): Promise<unknown>;
  /** Errors: TANDEM_NODE_STANDBY. */
  consumers(): Promise<unknown>;
  /** Errors: TANDEM_NODE_STANDBY, TANDEM_CONSUMER_UNKNOWN, TANDEM_WORKER_LOST, TANDEM_PARTITION_UNKNOWN (skip) and what the consumer refuses with. */
  command(command: ConsumerCommand): Promise<unknown>;
  /**
   * Makes another node active; null: any that is ready. Errors: TANDEM_SWITCHOVER_REFUSED (data.retryInMs), TANDEM_SWITCHOVER_ABORTED,
   * TANDEM_PEER_LOST.
   */
  switchover(to: string | null, timeoutMs: number | undefined): Promise<unknown>;
  /** Prometheus text. */
  metrics(): Promise<string>;
}

export interface AdminServerOptions {
  readonly backend: AdminBackend;
  readonly authenticator: Authenticator;
  readonly logger: Logger;
  /** The host that it is bound to. */
  readonly host: string;
  /** PEM; absent: plain HTTP. */
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer };
}

interface Served extends AdminServerOptions {
  readonly guard: OriginGuard;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: { readonly [name: string]: string };
}

interface Route {
  readonly method: 'GET' | 'POST';
  readonly path: RegExp;
  readonly isOpen?: true;
  answer(match: RegExpMatchArray, request: IncomingMessage): Answer | Promise<Answer>;
}

const BODY_BYTES_MAX = 64 * 1024;
const REQUEST_TIMEOUT_MS = 10_000;
const REPLAY_COUNT_DEFAULT = 1000;
const PAGE_HEADERS = pageHeaders(STATUS_PAGE);
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Not yet listening. */
export function createAdminServer(options: AdminServerOptions): Server {
  const routes = routesTo(options.backend);
  const { host, tls, authenticator } = options;
  const { isRequired: isAuthRequired } = authenticator;
  const guard = createOriginGuard({ host, isTls: tls !== undefined, isAuthRequired, allowedOrigins: [] });
  const served: Served = { ...options, guard };
  const timeouts = { requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS };
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    void serve(served, routes, request, response);
  };
  return tls === undefined ? createServer(timeouts, onRequest) : createSecureServer({ ...timeouts, ...tls }, onRequest);
}

function routesTo(backend: AdminBackend): Route[] {
  const command = async ([, name, kind]: RegExpMatchArray, request: IncomingMessage): Promise<Answer> => {
    const consumer = decoded(name as string);
    if (kind === 'pause' || kind === 'resume') return json(await backend.command({ kind, consumer }));
    const body = ((await readBody(request)) ?? {}) as Body;
    if (kind === 'skip') return json(await backend.command({ kind, consumer, ...skippedTo(body) }));
    const countMax = integerOf(body, 'countMax', 1) ?? REPLAY_COUNT_DEFAULT;
    return json(await backend.command({ kind: 'replay', consumer, countMax }));
  };
  const switchover = async (_match: RegExpMatchArray, request: IncomingMessage): Promise<Answer> => {
    const body = ((await readBody(request)) ?? {}) as Body;
    return json(await backend.switchover(nameOf(body, 'to'), integerOf(body, 'timeoutMs', 1)));
  };
  return [
    { method: 'GET', path: /^\/livez$/, isOpen: true, answer: () => healthAnswer(backend.health(), true) },
    {
      method: 'GET',
      path: /^\/readyz$/,
      isOpen: true,
      answer: () => healthAnswer(backend.health(), backend.health().isReady),
    },
    { method: 'GET', path: /^\/$/, isOpen: true, answer: statusPage },
    {
      method: 'GET',
      path: /^\/metrics$/,
      answer: async () => ({ status: 200, type: METRICS_TYPE, body: await backend.metrics() }),
    },
    { method: 'GET', path: /^\/admin\/v1\/status$/, answer: async () => json(await backend.status()) },
    { method: 'GET', path: /^\/admin\/v1\/topics$/, answer: async () => json(await backend.topics()) },
    { method: 'GET', path: /^\/admin\/v1\/consumers$/, answer: async () => json(await backend.consumers()) },
    { method: 'POST', path: /^\/admin\/v1\/switchover$/, answer: switchover },
    { method: 'POST', path: /^\/admin\/v1\/consumers\/([^/]+)\/(pause|resume|replay|skip)$/, answer: command },
  ];
}

async function serve(
  options: Served,
  routes: readonly Route[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  let answer: Answer;
  try {
    answer = await route(options, routes, request);
  } catch (thrown) {
    const error = asTandemError(thrown);
    if (error.code === 'TANDEM_INTERNAL')
      options.logger.error('admin_request_failed', { path: request.url, problem: error.message });
    answer = {
      ...json({ error }, error.httpStatus),
      headers: (error.data?.['headers'] ?? {}) as Answer['headers'] & {},
    };
  }
  if (response.destroyed) return;
  response.writeHead(answer.status, {
    'Content-Type': answer.type,
    'Content-Length': Buffer.byteLength(answer.body),
    'Cache-Control': 'no-store',
    ...answer.headers,
  });
  response.end(request.method === 'HEAD' ? undefined : answer.body);
}

function route(options: Served, routes: readonly Route[], request: IncomingMessage): Answer | Promise<Answer> {
  const path = (request.url ?? '/').split('?', 1)[0] as string;
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  const here = routes.filter((candidate) => candidate.path.test(path));
  if (here.length === 0) throw new TandemError('TANDEM_METHOD_UNKNOWN', { detail: path });
  const chosen = here.find((candidate) => candidate.method === method);
  if (chosen === undefined) {
    const Allow = here.map((candidate) => candidate.method).join(', ');
    throw new TandemError('TANDEM_METHOD_NOT_ALLOWED', { data: { headers: { Allow } } });
  }
  if (chosen.isOpen !== true) admit(options, request);
  return chosen.answer(path.match(chosen.path) as RegExpMatchArray, request);
}

/** Errors: TANDEM_ORIGIN_FORBIDDEN, TANDEM_AUTH_REQUIRED, TANDEM_AUTH_INVALID, TANDEM_AUTH_FORBIDDEN. */
function admit({ authenticator, guard }: Served, { headers }: IncomingMessage): void {
  guard.admit(headers);
  const token = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1];
  if (!authenticator.authenticate(token).may('admin')) throw new TandemError('TANDEM_AUTH_FORBIDDEN');
}

function healthAnswer({ role, term, reason }: Health, isWell: boolean): Answer {
  return json({ role, term, reason }, isWell ? 200 : 503);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new TandemError('TANDEM_INPUT_MALFORMED', { detail: 'the path is not URL-encoded' });
  }
}

const json = (value: unknown, status = 200): Answer => {
  return { status, type: 'application/json; charset=utf-8', body: `${JSON.stringify(value)}\n` };
};

const statusPage = (): Answer => {
  return { status: 200, type: 'text/html; charset=utf-8', body: STATUS_PAGE, headers: PAGE_HEADERS };
};

/** Errors: TANDEM_BATCH_TOO_LARGE, TANDEM_INPUT_MALFORMED. An empty body is an empty object. */
async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new TandemError('TANDEM_BATCH_TOO_LARGE', { detail: `${BODY_BYTES_MAX} bytes` });
    chunks.push(chunk);
  }
  if (bytes === 0) return {};
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new TandemError('TANDEM_INPUT_MALFORMED', { detail: 'the body must be JSON' });
  }
}

type Body = { readonly [name: string]: unknown };

function skippedTo(body: Body): { readonly partition: number; readonly toOffset?: number } {
  const partition = integerOf(body, 'partition', 0);
  if (partition === undefined) throw new TandemError('TANDEM_INPUT_MALFORMED', { detail: 'partition is missing' });
  const toOffset = integerOf(body, 'toOffset', 0);
  return toOffset === undefined ? { partition } : { partition, toOffset };
}

/** null: not given. Errors: TANDEM_INPUT_MALFORMED. */
function nameOf(body: Body, name: string): string | null {
  const value = body[name] ?? null;
  if (value === null || typeof value === 'string') return value;
  throw new TandemError('TANDEM_INPUT_MALFORMED', { detail: `${name} must be a string` });
}

/** undefined: not given. Errors: TANDEM_INPUT_MALFORMED. */
function integerOf(body: Body, name: string, min: number): number | undefined {
  const value = body[name] ?? undefined;
  if (value === undefined || (Number.isSafeInteger(value) && (value as number) >= min))
    return value as number | undefined;
  throw new TandemError('TANDEM_INPUT_MALFORMED', { detail: `${name} must be an integer from ${min}` });
}
