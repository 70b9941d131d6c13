/**
 * What a user's handler module sees. Types only: importing them costs nothing at run time.
 *
 * A module exports for each consumer either a function (one record a call) or an object with a `batch` function (many records a call),
 * named as the consumer; a consumer without an export of its name gets the default export.
 *
 * Promises: at least once; records of one key in order, one at a time; keyless records of a partition likewise (see README of the flow in
 * key-lanes.ts). A call that throws, rejects or takes longer than `timeoutMs` has failed: the record is tried again with back-off and
 * becomes a dead letter after `retry.attemptsMax` attempts. Whatever else is returned or resolved means done.
 */
import type { TandemRecord } from '../core/record.ts';

export interface HandlerRecord extends TandemRecord {
  /** Names the history of the partition to which `offset` belongs. */
  readonly epoch: string;
  /** Unique for ever and the same on every delivery of this record, replays included: an idempotency key. Contains no '.'. */
  readonly id: string;
  /** The data as UTF-8. */
  readonly text: string;
  /** The data parsed as JSON. Throws SyntaxError. */
  json(): unknown;
}

export interface HandlerContext {
  readonly consumer: string;
  /** 1 for the first delivery; counted anew after a restart. */
  readonly attempt: number;
  /** True for a dead letter that was replayed: later records of its key have been handled before it. */
  readonly isReplay: boolean;
  /**
   * Aborts at the time-out and when the partition moves to another worker. A handler that ignores it and is still running
   * `ABORT_GRACE_MS` later is given up: from then on the same record may be handled a second time beside it.
   */
  readonly signal: AbortSignal;
}

/** `record.data` shares memory with a whole batch: copy what is kept after the call. */
export type Handler = (record: HandlerRecord, context: HandlerContext) => unknown;

/**
 * Gets 1 to `batchRecordsMax` records of one partition in order; one call per partition at a time (`concurrency` does not apply). If a
 * call for several records fails, they are delivered again one by one, so that only the record that fails alone is retried and dead-lettered.
 */
export interface BatchHandler {
  batch(records: readonly HandlerRecord[], context: HandlerContext): unknown;
}
