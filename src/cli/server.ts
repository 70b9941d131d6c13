/** How the commands talk to a running server: HTTP with the token, errors as TandemError. */
import { ERRORS, type ErrorCode, TandemError } from '../core/errors.ts';

export interface ServerOptions {
  /** Base URL; of several, separated by commas, the first that answers counts. */
  readonly url: string;
  readonly token: string | undefined;
}

export interface RequestOptions {
  readonly method?: string;
  readonly headers?: { readonly [name: string]: string };
  readonly body?: string | Uint8Array<ArrayBuffer>;
  readonly signal?: AbortSignal;
}

/**
 * The answer, if its status is 2xx or one of `accepted`; where a standby refuses, that of the active node which it names. Errors: TANDEM_SERVER_UNREACHABLE, TANDEM_CONFIG_INVALID (not a URL), and what the
 * server answers.
 */
export async function request(
  server: ServerOptions,
  path: string,
  options: RequestOptions = {},
  accepted: readonly number[] = [],
): Promise<Response> {
  const headers = {
    ...options.headers,
    ...(server.token === undefined ? {} : { authorization: `Bearer ${server.token}` }),
  };
  const response = await firstAnswer(urlsOf(server), path, { ...options, headers });
  if (response.ok || accepted.includes(response.status)) return response;
  const error = await errorOf(response);
  const active = activeOf(error);
  if (active === undefined || active === server.url) throw error;
  return request({ ...server, url: active }, path, options, accepted);
}

/** The admin address of the active node, as a standby names it. */
function activeOf({ code, data }: TandemError): string | undefined {
  return code === 'TANDEM_NODE_STANDBY' ? (data?.['adminUrl'] as string | undefined) : undefined;
}

export const urlsOf = ({ url }: ServerOptions): readonly string[] => url.split(',').map((each) => each.trim());

async function firstAnswer(urls: readonly string[], path: string, options: RequestOptions): Promise<Response> {
  let failure: unknown;
  for (const url of urls) {
    const base = url.replace(/^ws/, 'http');
    if (!URL.canParse(path, base)) throw new TandemError('TANDEM_CONFIG_INVALID', { detail: `${url} is not a URL` });
    try {
      return await answerOf(new URL(path, base), options);
    } catch (thrown) {
      if (options.signal?.aborted) throw thrown;
      failure ??= thrown;
    }
  }
  throw failure;
}

async function answerOf(url: URL, options: RequestOptions): Promise<Response> {
  try {
    return await fetch(url, options);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new TandemError('TANDEM_SERVER_UNREACHABLE', { detail: `${url.origin} (${reasonOf(error)})`, cause: error });
  }
}

export async function requestJson<T>(server: ServerOptions, path: string, options: RequestOptions = {}): Promise<T> {
  const response = await request(server, path, options);
  return (await response.json()) as T;
}

function reasonOf(error: unknown): string {
  const cause = (error as { cause?: { code?: string; message?: string } }).cause;
  return cause?.code ?? cause?.message ?? String(error);
}

async function errorOf(response: Response): Promise<TandemError> {
  const text = await response.text();
  try {
    const body = JSON.parse(text) as { readonly error?: ErrorBody } & ErrorBody;
    return refusalOf(body.error ?? body);
  } catch {
    // Not JSON: not a Tandem server, or something between.
    return new TandemError('TANDEM_INTERNAL', { detail: `HTTP ${response.status} ${text.slice(0, 200)}` });
  }
}

/** What a server said, as the error that it was there. */
export function refusalOf({ code, message = '', data }: ErrorBody): TandemError {
  if (!isErrorCode(code)) return new TandemError('TANDEM_INTERNAL', { detail: `${code}: ${message}` });
  const prefix = `${ERRORS[code].message}: `;
  return new TandemError(code, {
    ...(message.startsWith(prefix) ? { detail: message.slice(prefix.length) } : {}),
    ...(data === undefined ? {} : { data }),
  });
}

interface ErrorBody {
  readonly code?: string;
  readonly message?: string;
  readonly data?: { readonly [name: string]: unknown };
}

const isErrorCode = (code: string | undefined): code is ErrorCode => code !== undefined && Object.hasOwn(ERRORS, code);
