/** Brings the library of functions to a server. */
import { type RedisReply, RedisReplyError, type RedisShard } from '../connections/redis-servers.ts';
import { LIBRARY_CODE, LIBRARY_NAME, LIBRARY_REVISION } from './library.ts';

/** Loads the library unless the server has this revision or a later one. Errors as of `call`. */
export async function ensureLibrary(call: RedisShard['call'], key: string): Promise<void> {
  if ((await revisionOf(call, key)) < LIBRARY_REVISION) await call(['FUNCTION', 'LOAD', 'REPLACE', LIBRARY_CODE]);
}

/** The server does not have the function: it lost the library, or has an earlier one. */
export const isFunctionMissing = (error: unknown): boolean =>
  error instanceof RedisReplyError && /function not found/i.test(error.message);

/** The key says which server of a cluster is meant. */
async function revisionOf(call: RedisShard['call'], key: string): Promise<number> {
  let reply: RedisReply;
  try {
    reply = await call(['FCALL', `${LIBRARY_NAME}_revision`, '1', key]);
  } catch (error) {
    if (isFunctionMissing(error)) return 0;
    throw error;
  }
  return Number(reply);
}
