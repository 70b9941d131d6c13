/** Where a consumer delivers: the plug point of handlers, webhooks and databases. */
import type { HandlerContext, HandlerRecord } from '../handler-api.ts';

export interface Failure {
  /** For people: what went wrong. Never a secret. */
  readonly reason: string;
  /** The target asks not to be tried again before so long. */
  readonly retryAfterMs?: number;
  /** The target is gone for good: stop the consumer. */
  readonly isGone?: boolean;
}

/** undefined: done. */
export type Outcome = Failure | undefined;

export interface Target {
  /**
   * Delivers one record. A synchronous answer costs no promise and is what makes a consumer fast. Throwing or rejecting is a failure too.
   * `context.signal` aborts at the time-out; the target should settle then, its answer no longer counts.
   */
  deliver(record: HandlerRecord, context: HandlerContext): Outcome | Promise<Outcome>;
  /** Present: the target takes many records at once, all or nothing. */
  deliverBatch?(records: readonly HandlerRecord[], context: HandlerContext): Outcome | Promise<Outcome>;
}

const REASON_CHARS_MAX = 1000;

/** Anything thrown, as a failure. Works for what is not an Error, and for errors whose properties throw. */
export function failureOf(thrown: unknown): Failure {
  return { reason: textOf(thrown) };
}

function textOf(thrown: unknown): string {
  try {
    const text = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
    return text.length > REASON_CHARS_MAX ? `${text.slice(0, REASON_CHARS_MAX)}…` : text;
  } catch {
    return 'something that cannot be shown was thrown';
  }
}
