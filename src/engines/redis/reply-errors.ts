/** What the servers' own error replies mean here. */
import { type ErrorCode, TandemError } from '../../core/errors.ts';
import { RedisReplyError } from './connections/redis-servers.ts';

/** By the reply's first word. What the server says besides stays in the cause: it may quote commands and scripts. */
const MEANINGS: { readonly [word: string]: readonly [ErrorCode, string] } = {
  OOM: ['TANDEM_DISK_FULL', 'the Redis server has reached its maxmemory'],
  MISCONF: ['TANDEM_DISK_FULL', 'the Redis server cannot write its data to its disk and takes no more writes'],
  NOPERM: [
    'TANDEM_STORE_FAILED',
    'the Redis user may not do this; it needs +@all on the keys and channels of the prefix, and FUNCTION',
  ],
  NOAUTH: ['TANDEM_STORE_FAILED', 'the Redis server wants a password'],
  WRONGPASS: ['TANDEM_STORE_FAILED', 'the Redis server does not know this user or password'],
  NOREPLICAS: [
    'TANDEM_STORE_FAILED',
    'the Redis server has fewer good replicas than its min-replicas-to-write; nothing was stored',
  ],
  WRONGTYPE: [
    'TANDEM_STORE_FAILED',
    'a key of Tandem holds something of another type; another program uses the same prefix',
  ],
  BUSY: ['TANDEM_STORE_FAILED', 'the Redis server is busy with a script'],
};

export function asStoreError(error: unknown): TandemError {
  if (error instanceof TandemError) return error;
  if (!(error instanceof RedisReplyError)) return new TandemError('TANDEM_STORE_FAILED', { cause: error });
  const [code, detail] = MEANINGS[error.code] ?? ['TANDEM_STORE_FAILED', unexpected(error)];
  return new TandemError(code, { detail, cause: error });
}

/** Nothing that a server says in good order: a defect, or a foreign hand. What it says is for the log. */
export const isUnexpected = (error: unknown): boolean =>
  error instanceof RedisReplyError && MEANINGS[error.code] === undefined;

const unexpected = ({ message, code }: RedisReplyError): string =>
  /smaller than the target stream top item/.test(message)
    ? 'another program has added entries of its own to the stream of a partition'
    : `the Redis server answered with an error (${code})`;

/** The store took a higher term meanwhile. */
export const fencedError = (term: number): TandemError =>
  new TandemError('TANDEM_TERM_FENCED', { detail: `term ${term} was claimed`, data: { term } });
