/**
 * The one registry of errors. A code never changes its meaning; text may. Docs: docs/errors.md is generated from this table
 * (`npm run docs`), and a test compares both ways.
 *
 * `retryable`: the same request may succeed later without a change. `number`: JSON-RPC error code, unique.
 * `httpStatus`: answer on HTTP. `closeCode`: WebSocket close code when the error ends a session (4100-4199: reconnect with back-off,
 * 4000-4099: do not reconnect, 4200-4299: reconnect at once).
 */
interface ErrorSpec {
  readonly message: string;
  readonly hint: string;
  readonly retryable: boolean;
  readonly number: number;
  readonly httpStatus: number;
  readonly closeCode: number;
}

const spec = (
  number: number,
  httpStatus: number,
  closeCode: number,
  retryable: boolean,
  message: string,
  hint: string,
): ErrorSpec => ({ number, httpStatus, closeCode, retryable, message, hint });

export const ERRORS = {
  // auth
  TANDEM_AUTH_REQUIRED: spec(
    -32010,
    401,
    4010,
    false,
    'a token is required',
    'Send the token: HTTP "Authorization: Bearer TOKEN", TCP HELLO {"token":"TOKEN"}.',
  ),
  TANDEM_AUTH_INVALID: spec(
    -32011,
    401,
    4011,
    false,
    'the token is not known',
    'Check the token against auth.tokens in the config.',
  ),
  TANDEM_AUTH_FORBIDDEN: spec(
    -32012,
    403,
    4012,
    false,
    'the token has no right to do this',
    'Add the right (publish, subscribe, consume, admin) for the topic to the token in auth.tokens.',
  ),
  TANDEM_ORIGIN_FORBIDDEN: spec(
    -32013,
    403,
    4013,
    false,
    'web pages of this origin may not use this server',
    'Use the node under its own address, or add the origin to auth.allowedOrigins (which the admin API does not heed).',
  ),
  // input
  TANDEM_INPUT_MALFORMED: spec(
    -32020,
    400,
    4020,
    false,
    'the input could not be parsed',
    'See the message for what was expected and where.',
  ),
  TANDEM_RECORD_TOO_LARGE: spec(
    -32021,
    413,
    4021,
    false,
    'the record is larger than limits.recordBytesMax',
    'Send smaller records or raise limits.recordBytesMax.',
  ),
  TANDEM_BATCH_TOO_LARGE: spec(
    -32022,
    413,
    4022,
    false,
    'the batch is larger than the limit',
    'Send fewer records in one request, or raise limits.requestBytesMax.',
  ),
  TANDEM_PRODUCER_INVALID: spec(
    -32023,
    400,
    4023,
    false,
    'the producer id or sequence is not valid',
    'A producer id is 1 to 128 printable ASCII characters without spaces; a sequence is an integer from 1.',
  ),
  TANDEM_METHOD_UNKNOWN: spec(
    -32601,
    404,
    4024,
    false,
    'there is no such method or path',
    'See the list of methods in the documentation.',
  ),
  TANDEM_METHOD_NOT_ALLOWED: spec(
    -32025,
    405,
    4025,
    false,
    'the path does not take this HTTP method',
    'Use the method that the Allow header names.',
  ),
  // topics and positions
  TANDEM_TOPIC_UNKNOWN: spec(
    -32030,
    404,
    4030,
    false,
    'there is no such topic',
    'Create it under topics: in the config, or set limits.topicAutoCreate: true.',
  ),
  TANDEM_TOPIC_INVALID: spec(
    -32031,
    400,
    4031,
    false,
    'the topic name is not valid',
    'A name is 1 to 128 of A-Z a-z 0-9 . _ - and starts with a letter or digit.',
  ),
  TANDEM_TOPIC_LIMIT: spec(
    -32032,
    429,
    4132,
    false,
    'there are as many topics as limits.topicsMax allows',
    'Raise limits.topicsMax or use fewer topics.',
  ),
  TANDEM_PARTITION_UNKNOWN: spec(
    -32033,
    404,
    4033,
    false,
    'the topic has no such partition',
    'Use a partition from 0 to the number of partitions less one.',
  ),
  TANDEM_POSITION_MALFORMED: spec(
    -32034,
    400,
    4034,
    false,
    'the position is not one that this server gave',
    'Send back the position exactly as it was received, or subscribe without one.',
  ),
  TANDEM_POSITION_LOST: spec(
    -32035,
    410,
    4035,
    false,
    'cannot resume: the position belongs to a history that is gone or was trimmed',
    'Start again from "start" or "now" and treat what lies between as missed.',
  ),
  TANDEM_POSITION_AHEAD: spec(
    -32036,
    416,
    4036,
    false,
    'the position lies after the end of the partition',
    'Ask for an offset of at most the next offset.',
  ),
  // storing
  TANDEM_DISK_FULL: spec(
    -32040,
    507,
    4140,
    true,
    'the disk is full; the record was not stored',
    'Free space on the data disk or lower the retention; service resumes by itself.',
  ),
  TANDEM_STORE_FAILED: spec(
    -32041,
    503,
    4141,
    true,
    'the store failed; the record may not have been stored',
    'See the server log for the system error, and check the disk.',
  ),
  TANDEM_OWNER_UNAVAILABLE: spec(
    -32042,
    503,
    4142,
    true,
    'the worker that owns the partition is restarting; the record may not have been stored',
    'Send it again; with a producer id and sequence it is stored once.',
  ),
  TANDEM_TERM_FENCED: spec(
    -32043,
    409,
    4143,
    true,
    'the write carries an older term than the one that was claimed',
    'Another process has taken over; connect again.',
  ),
  TANDEM_LOG_CORRUPT: spec(
    -32044,
    500,
    4044,
    false,
    'the log is damaged here',
    'Run "tandem doctor"; it names the file, the place and the offsets that are lost.',
  ),
  TANDEM_OVERLOADED: spec(
    -32045,
    503,
    4145,
    true,
    'the server has more unfinished work than its limits allow',
    'Send more slowly or raise the limit that the message names.',
  ),
  TANDEM_DRAINING: spec(
    -32046,
    503,
    4200,
    true,
    'the server is shutting down',
    'Connect again; another worker answers.',
  ),
  TANDEM_DATA_LOCKED: spec(
    -32047,
    409,
    4047,
    false,
    'another process has this data folder open',
    'Stop the other process, or use another data folder (data: in the config).',
  ),
  TANDEM_DATA_VERSION: spec(
    -32048,
    500,
    4048,
    false,
    'the data folder was written by a version of Tandem that this one cannot read',
    'Use the version that wrote it.',
  ),
  // sessions
  TANDEM_SESSION_SLOW: spec(
    -32050,
    429,
    4150,
    true,
    'the client reads more slowly than its channel sends',
    'Connect again with the last position; raise push.queueBytesMax or choose another slow-client policy.',
  ),
  TANDEM_SESSION_IDLE: spec(
    -32051,
    408,
    4151,
    true,
    'the connection was idle or too slow for too long',
    'Send within the time-out or raise limits.idleTimeoutMs.',
  ),
  TANDEM_CONNECTIONS_LIMIT: spec(
    -32052,
    503,
    4152,
    true,
    'there are as many connections as limits.connectionsMax allows',
    'Close connections or raise limits.connectionsMax.',
  ),
  TANDEM_SUBSCRIPTIONS_LIMIT: spec(
    -32053,
    429,
    4053,
    false,
    'the session has as many subscriptions as limits.subscriptionsPerSessionMax allows',
    'Unsubscribe first, or open another session.',
  ),
  TANDEM_SUBSCRIPTION_UNKNOWN: spec(
    -32054,
    404,
    4054,
    false,
    'the session has no such subscription',
    'Subscribe to the channel first.',
  ),
  // consumers
  TANDEM_CONSUMER_UNKNOWN: spec(-32060, 404, 4060, false, 'there is no such consumer', '"tandem consume" lists them.'),
  TANDEM_HANDLER_INVALID: spec(
    -32061,
    500,
    4061,
    false,
    'the handler module does not fit',
    'Export a function with the name of the consumer, or a default function.',
  ),
  TANDEM_DELIVERY_FAILED: spec(
    -32062,
    502,
    4062,
    true,
    'the delivery failed',
    'See the reason in the message; the record is tried again and then dead-lettered.',
  ),
  // config and process
  TANDEM_CONFIG_INVALID: spec(
    -32070,
    400,
    4070,
    false,
    'the configuration is not valid',
    'Each problem names its path and what would be accepted.',
  ),
  TANDEM_LISTEN_FAILED: spec(
    -32071,
    500,
    4071,
    false,
    'a listener could not be bound',
    'Choose another address or stop the process that uses it.',
  ),
  TANDEM_EXPOSED_WITHOUT_AUTH: spec(
    -32072,
    500,
    4072,
    false,
    'a listener on another address than loopback needs auth',
    'Configure auth.tokens, or say insecure: true on that listener.',
  ),
  TANDEM_WORKER_LOST: spec(-32073, 503, 4173, true, 'the worker died while it had this in hand', 'Try again.'),
  TANDEM_SERVER_UNREACHABLE: spec(
    -32074,
    503,
    4174,
    true,
    'no server answers at this address',
    'Start it with "tandem up" or name another address with --url.',
  ),
  TANDEM_INTERNAL: spec(
    -32603,
    500,
    4199,
    true,
    'an unexpected error',
    'Please report it with the log lines around it.',
  ),
} as const satisfies { readonly [code: string]: ErrorSpec };

export type ErrorCode = keyof typeof ERRORS;

export interface TandemErrorOptions {
  /** What exactly, where: appended to the registry's message. Never a secret. */
  readonly detail?: string;
  readonly cause?: unknown;
  /** Machine-readable facts for the client, e.g. `{ firstOffset: 12 }`. */
  readonly data?: { readonly [name: string]: unknown };
}

/** The only error type that leaves a stage. */
export class TandemError extends Error {
  readonly code: ErrorCode;
  readonly data: { readonly [name: string]: unknown } | undefined;

  constructor(code: ErrorCode, options: TandemErrorOptions = {}) {
    super(options.detail === undefined ? ERRORS[code].message : `${ERRORS[code].message}: ${options.detail}`, {
      cause: options.cause,
    });
    this.name = 'TandemError';
    this.code = code;
    this.data = options.data;
  }

  get hint(): string {
    return ERRORS[this.code].hint;
  }
  get retryable(): boolean {
    return ERRORS[this.code].retryable;
  }
  get number(): number {
    return ERRORS[this.code].number;
  }
  get httpStatus(): number {
    return ERRORS[this.code].httpStatus;
  }
  get closeCode(): number {
    return ERRORS[this.code].closeCode;
  }

  /** The form in which errors are answered on HTTP and shown by `--json`. */
  toJSON(): { code: ErrorCode; message: string; hint: string; retryable: boolean; data?: unknown } {
    const { code, message, hint, retryable } = this;
    return this.data === undefined
      ? { code, message, hint, retryable }
      : { code, message, hint, retryable, data: this.data };
  }
}

/** Wraps anything thrown: a TandemError as it is, all else as TANDEM_INTERNAL (or `code`) with the cause kept. */
export function asTandemError(thrown: unknown, code: ErrorCode = 'TANDEM_INTERNAL'): TandemError {
  if (thrown instanceof TandemError) return thrown;
  return new TandemError(code, { detail: thrown instanceof Error ? thrown.message : String(thrown), cause: thrown });
}
