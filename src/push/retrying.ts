/** Reads that wait out what passes: an owner that restarts, a store that fails for a moment, a server that is away. */
import { asTandemError, type TandemError } from '../core/errors.ts';
import { type Clock, delay } from '../core/ports/clock.ts';

const BACKOFF_MS = 20;
const BACKOFF_MS_MAX = 2_000;

/** Repeats `work` with growing pauses while it fails with a retryable error and `isWanted`. Rejects with TandemError only. */
export async function retrying<T>(clock: Clock, isWanted: () => boolean, work: () => Promise<T>): Promise<T> {
  for (let backoffMs = BACKOFF_MS; ; backoffMs = Math.min(backoffMs * 2, BACKOFF_MS_MAX)) {
    try {
      return await work();
    } catch (thrown) {
      const error = asTandemError(thrown);
      if (!passes(error) || !isWanted()) throw error;
      await delay(clock, backoffMs);
    }
  }
}

/** TANDEM_DRAINING is retryable for a client, elsewhere; not for this process. */
const passes = (error: TandemError): boolean =>
  error.code === 'TANDEM_OWNER_UNAVAILABLE' ||
  error.code === 'TANDEM_STORE_FAILED' ||
  error.code === 'TANDEM_STORE_UNREACHABLE';
