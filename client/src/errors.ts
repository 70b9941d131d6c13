/**
 * What a client rejects with and reports. `code` is the server's own (docs/errors.md of tandem) or one of CLIENT_ERRORS; a code never changes
 * its meaning, texts may.
 */

/** Codes that only the client uses. */
export const CLIENT_ERRORS = {
  TANDEM_CLIENT_CLOSED: 'the client was closed before this was done',
  TANDEM_CLIENT_DEADLINE: 'not acknowledged within deadlineMs; it may or may not be stored, and is not sent again',
  TANDEM_CLIENT_INVALID: 'the client was called wrongly',
  TANDEM_CLIENT_PROTOCOL: 'the server does not speak the protocol of this client',
  TANDEM_CLIENT_QUEUE_FULL: 'more waits to be acknowledged than queueMax or queueBytesMax allows; it was not sent',
  TANDEM_CLIENT_STALE:
    'the node answers under an older term than this client has seen: it is not the active one any more',
  TANDEM_CLIENT_TIMEOUT: 'the node gave no sign of life within timeoutMs',
} as const;

export type ClientErrorCode = keyof typeof CLIENT_ERRORS;

interface ErrorFacts {
  readonly retryable?: boolean | undefined;
  readonly hint?: string | undefined;
  readonly data?: { readonly [name: string]: unknown } | undefined;
}

export class TandemClientError extends Error {
  readonly code: string;
  /** The same may succeed later without a change. */
  readonly retryable: boolean;
  /** What to do about it, as the server says. */
  readonly hint: string | undefined;
  /** Machine-readable facts of the server. */
  readonly data: { readonly [name: string]: unknown } | undefined;

  constructor(code: string, message: string, { retryable = false, hint, data }: ErrorFacts = {}) {
    super(message);
    this.name = 'TandemClientError';
    this.code = code;
    this.retryable = retryable;
    this.hint = hint;
    this.data = data;
  }
}

export function clientError(code: ClientErrorCode, detail?: string): TandemClientError {
  const text = CLIENT_ERRORS[code];
  const retryable =
    code === 'TANDEM_CLIENT_QUEUE_FULL' || code === 'TANDEM_CLIENT_STALE' || code === 'TANDEM_CLIENT_TIMEOUT';
  return new TandemClientError(code, detail === undefined ? text : `${text}: ${detail}`, { retryable });
}

export const unreachable = (detail: string): TandemClientError =>
  new TandemClientError('TANDEM_SERVER_UNREACHABLE', `no server answers: ${detail}`, { retryable: true });

/** The `error` of a JSON-RPC answer. */
export function answeredError({
  message,
  data,
}: {
  readonly message?: unknown;
  readonly data?: unknown;
}): TandemClientError {
  const { code, hint, retryable, ...facts } = (data ?? {}) as { [name: string]: unknown };
  return new TandemClientError(typeof code === 'string' ? code : 'TANDEM_CLIENT_PROTOCOL', String(message), {
    retryable: retryable === true,
    hint: typeof hint === 'string' ? hint : undefined,
    data: Object.keys(facts).length === 0 ? undefined : facts,
  });
}
