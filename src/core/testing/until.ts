/** For tests: waits for a condition instead of a time. */
import { TandemError } from '../errors.ts';

const POLL_MS = 5;

/** Resolves with the first truthy result of `condition`; rejects naming `what` after `boundMs`. */
export async function until<T>(
  what: string | (() => string),
  condition: () => T | Promise<T>,
  boundMs: number = 15_000,
): Promise<T> {
  const startMs = performance.now();
  for (;;) {
    const result = await condition();
    if (result) return result;
    if (performance.now() - startMs > boundMs)
      throw new TandemError('TANDEM_INTERNAL', {
        detail: `waited ${boundMs} ms in vain until ${typeof what === 'string' ? what : what()}`,
      });
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

const STILL_POLLS = 20;

/** Waits until a count is above 0 and stands still, for what cannot announce that it has stopped; returns it. */
export async function untilStill(what: string, count: () => number | Promise<number>): Promise<number> {
  let before = -1;
  let still = 0;
  await until(what, async () => {
    const now = await count();
    still = now === before && now > 0 ? still + 1 : 0;
    before = now;
    return still === STILL_POLLS;
  });
  return before;
}
