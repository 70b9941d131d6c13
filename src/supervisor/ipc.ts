/**
 * The protocol between the keeper and its workers over the fork channel (structured clone), in order of a worker's life:
 *
 *   keeper -> worker                       worker -> keeper
 *   preload config                         loaded              modules and handlers are in memory; the process may become a spare
 *   assign slot, terms                     recovered           the engine is open; nothing is served yet
 *   serve (term, paused consumers)         serving             an `ask` after `serve` is answered when the worker is built
 *   connection + socket (id)               took (id)           sent before a byte of the socket is read: an unconfirmed one can be
 *                                                              given to another worker if this one dies
 *   datagrams + socket, health, ask        beat (4 per second), answer
 *   drain                                  draining, drained   all that was in hand is answered; others may still ask its slot
 *   close                                  (exit 0)
 *                                          failed              why it is about to exit
 *
 * Messages keep their order. A worker exits at once when the channel closes: the keeper is dead then.
 */
import type { Health } from '../core/contracts/health.ts';
import type { MetricSample } from '../core/contracts/telemetry.ts';
import type { AdminRequest, DrainedLoad, WorkerSlot } from '../core/contracts/worker.ts';
import { asTandemError, ERRORS, type ErrorCode } from '../core/errors.ts';

export type Question = { readonly about: 'metrics' } | { readonly about: 'admin'; readonly request: AdminRequest };

export type ToWorker =
  | { readonly kind: 'preload'; readonly config: unknown }
  | { readonly kind: 'assign'; readonly slot: WorkerSlot }
  | { readonly kind: 'serve'; readonly nodeTerm: number; readonly pausedConsumers: readonly string[] }
  | { readonly kind: 'connection'; readonly id: number; readonly listener: number }
  | { readonly kind: 'datagrams'; readonly listener: number }
  | { readonly kind: 'health'; readonly health: Health }
  | { readonly kind: 'ask'; readonly id: number; readonly question: Question }
  | { readonly kind: 'drain'; readonly deadlineMs: number }
  | { readonly kind: 'close' };

export interface WorkerError {
  readonly code: ErrorCode;
  /** Without the registry's message. */
  readonly detail: string;
}

export type WorkerAnswer = { readonly result: unknown } | { readonly error: WorkerError };

/** What the keeper spreads connections by: how many are open, of how many handed over so far. */
export interface ConnectionCount {
  readonly connections: number;
  readonly taken: number;
}

/** How the worker is: as WorkerRuntime has it. */
export interface WorkerWellbeing {
  readonly storeProblem: string | undefined;
  readonly pressure: number;
}

export type ToKeeper =
  | { readonly kind: 'loaded' }
  | { readonly kind: 'recovered' }
  | { readonly kind: 'serving' }
  | ({ readonly kind: 'beat' } & WorkerWellbeing & ConnectionCount)
  | ({ readonly kind: 'took'; readonly id: number } & ConnectionCount)
  | { readonly kind: 'answer'; readonly id: number; readonly answer: WorkerAnswer }
  | { readonly kind: 'draining'; readonly load: DrainedLoad }
  | { readonly kind: 'drained' }
  | ({ readonly kind: 'failed' } & WorkerError);

export function workerErrorOf(thrown: unknown): WorkerError {
  const { code, message } = asTandemError(thrown);
  return { code, detail: message.slice(ERRORS[code].message.length).replace(/^: /, '') };
}

/** Merged by whoever renders them. */
export type SlotMetrics = { readonly slot: number; readonly samples: readonly MetricSample[] };
