import type { Clock } from '../../core/ports/clock.ts';

/** Waits for it, at most so long; whether it came. Rejects with what it rejects with, if it does so in time. */
export async function within(clock: Clock, waitMs: number, awaited: Promise<unknown>): Promise<boolean> {
  const late = Promise.withResolvers<boolean>();
  const timer = clock.after(waitMs, () => late.resolve(false));
  awaited.catch(() => {});
  return Promise.race([awaited.then(() => true), late.promise]).finally(() => timer.cancel());
}
