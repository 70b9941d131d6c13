/** Waiting with a bound. */
import type { Clock } from '../../core/ports/clock.ts';

/** What `promise` gives, or undefined after `boundMs`. What comes later, a rejection too, is dropped. */
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
