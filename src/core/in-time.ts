/** Waiting with a bound. */
import type { Clock } from './ports/clock.ts';

/** What `promise` gives, or undefined after `boundMs`. Rejects with what it rejects with, if it does so in time; what comes later is dropped. */
export async function inTime<T>(clock: Clock, promise: Promise<T>, boundMs: number): Promise<T | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = clock.after(boundMs, () => resolve(undefined));
  promise.catch(() => {});
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer.cancel();
  }
}
