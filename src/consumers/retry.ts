/** When a failed delivery is tried again: exponential back-off with full jitter. */
import type { Random } from '../core/ports/random.ts';

export interface RetryConfig {
  /** Deliveries of one record, the first included; then it becomes a dead letter. From 1. */
  readonly attemptsMax: number;
  /** The longest wait before the second delivery; doubles with each attempt. */
  readonly backoffMs: number;
  /** No wait is longer, whatever a target asks for. */
  readonly backoffMsMax: number;
}

/**
 * How long to wait after the `attempt`-th failure: evenly in [0, min(backoffMsMax, backoffMs x 2^(attempt-1))), so that many records that
 * failed together do not come back together. A target's own wish is honoured up to `backoffMsMax`.
 */
export function backoffDelayMs(retry: RetryConfig, attempt: number, random: Random, retryAfterMs: number = 0): number {
  const ceilingMs = Math.min(retry.backoffMsMax, retry.backoffMs * 2 ** Math.min(attempt - 1, 52));
  return Math.max(random.fraction() * ceilingMs, Math.min(retryAfterMs, retry.backoffMsMax));
}

/** For the consumer's own trouble (store, groups, dead letters), which is never given up. */
export const STORE_RETRY: RetryConfig = { attemptsMax: Number.POSITIVE_INFINITY, backoffMs: 50, backoffMsMax: 2000 };
