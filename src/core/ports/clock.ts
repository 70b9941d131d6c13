/**
 * Time as a parameter. Code that must be replayed from a seed (cluster, ingest, consumers, the engines' pure parts) takes a
 * Clock and never calls Date.now, setTimeout or setImmediate itself.
 */
export interface Timer {
  /** After it the callback does not run. Idempotent. */
  cancel(): void;
}

export interface Clock {
  /** Unix milliseconds; may step. For what is shown and stored. */
  nowMs(): number;
  /** Monotonic milliseconds with a fraction; for durations and deadlines. */
  monotonicMs(): number;
  /** Runs `callback` once, not before `delayMs`. Does not keep the process alive. */
  after(delayMs: number, callback: () => void): Timer;
  /** Runs `callback` once when the input that is ready now has been read (Node's check phase). */
  soon(callback: () => void): void;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, callback) {
    const handle = setTimeout(callback, delayMs);
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
  soon(callback) {
    setImmediate(callback);
  },
};

/** Resolves after `delayMs`; rejects with the signal's reason if it aborts first. */
export function delay(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = (): void => {
      timer.cancel();
      reject(signal?.reason);
    };
    const timer = clock.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
