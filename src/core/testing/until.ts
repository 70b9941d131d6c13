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
