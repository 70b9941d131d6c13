/** Waiting with a bound. */
import { type ErrorCode, TandemError } from '../core/errors.ts';
import type { Clock } from '../core/ports/clock.ts';

/** What a late answer is reported as. */
export interface LateError {
  readonly code: ErrorCode;
  /** Who did not answer. */
  readonly what: string;
}

/**
 * What `asked` gives, if it settles within `boundMs` as this process sees it: an answer that lay there while the process was stopped is late,
 * whether the answer or the timer is seen first. Late: rejects with `error`, and `onLate` gets the result if there comes one.
 */
export function answerInTime<T>(
  clock: Clock,
  asked: Promise<T>,
  boundMs: number,
  error: LateError,
  onLate?: (result: T) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const startMs = clock.monotonicMs();
    let isOpen = true;
    const late = (): void => {
      if (!isOpen) return;
      isOpen = false;
      reject(new TandemError(error.code, { detail: `no answer from ${error.what} in ${Math.round(boundMs)} ms` }));
    };
    const timer = clock.after(boundMs, late);
    asked.then(
      (result) => {
        timer.cancel();
        if (clock.monotonicMs() - startMs > boundMs) late();
        if (!isOpen) return onLate?.(result);
        isOpen = false;
        resolve(result);
      },
      (failure) => {
        timer.cancel();
        isOpen = false;
        reject(failure);
      },
    );
  });
}
