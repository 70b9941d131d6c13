/** Waits for a condition that nothing announces. */

const POLL_MS = 20;

/** Resolves with true as soon as it holds, with false after `boundMs` or when the signal is given. */
export async function waitUntil(
  condition: () => boolean | Promise<boolean>,
  boundMs: number,
  signal?: AbortSignal,
): Promise<boolean> {
  const endMs = performance.now() + boundMs;
  while (!(await condition())) {
    if (performance.now() >= endMs || signal?.aborted === true) return false;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return true;
}

/** Ends early when the signal is given. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, Math.max(0, ms));
    signal?.addEventListener('abort', done);
  });
}
