/**
 * One call of a target at a time-out: the only place that calls targets.
 *
 * A call ends when the target answers. At `timeoutMs` (or when the partition is given up) its signal aborts, and from then on it has failed
 * whatever it answers: a handler that returns early because it was told to stop has not done the work. It gets ABORT_GRACE_MS to
 * settle, so that the same record is not handled twice at once; a call that ignores its signal for longer is abandoned and counted.
 */
import { TandemError } from '../core/errors.ts';
import type { Clock } from '../core/ports/clock.ts';
import type { ConsumerTotals } from './consumer-status.ts';
import { DeliveryContext } from './delivery-context.ts';
import type { HandlerRecord } from './handler-api.ts';
import { type Failure, failureOf, type Outcome, type Target } from './targets/target.ts';

export const ABORT_GRACE_MS = 5000;

export interface AttemptsOptions {
  readonly consumer: string;
  readonly target: Target;
  readonly timeoutMs: number;
  readonly isReplay: boolean;
  readonly totals: ConsumerTotals;
  readonly clock: Clock;
}

export class Attempts {
  readonly #options: AttemptsOptions;
  readonly #running = new Set<{ readonly context: DeliveryContext; giveUp(): void }>();

  constructor(options: AttemptsOptions) {
    this.#options = options;
  }

  /** Never throws and never rejects. A promise only if the target gave one. */
  deliver(record: HandlerRecord, attempt: number): Outcome | Promise<Outcome> {
    const { target, consumer, isReplay } = this.#options;
    const context = new DeliveryContext(consumer, attempt, isReplay);
    try {
      const answer = target.deliver(record, context);
      return answer instanceof Promise ? this.#watch(answer, context) : answer;
    } catch (thrown) {
      return failureOf(thrown);
    }
  }

  /** As `deliver`. The target must have `deliverBatch`. */
  deliverBatch(records: readonly HandlerRecord[]): Outcome | Promise<Outcome> {
    const { target, consumer, isReplay } = this.#options;
    const context = new DeliveryContext(consumer, 1, isReplay);
    try {
      const answer = target.deliverBatch?.(records, context);
      return answer instanceof Promise ? this.#watch(answer, context) : answer;
    } catch (thrown) {
      return failureOf(thrown);
    }
  }

  /** Aborts every call that is running; each ends as failed when it settles or after the grace. */
  abortAll(reason: TandemError): void {
    for (const { context, giveUp } of this.#running) {
      if (context.abortReason !== undefined) continue;
      context.abort(reason);
      this.#options.clock.after(ABORT_GRACE_MS, giveUp);
    }
  }

  #watch(answer: Promise<Outcome>, context: DeliveryContext): Promise<Outcome> {
    const { clock, timeoutMs } = this.#options;
    return new Promise((resolve) => {
      let isOver = false;
      const end = (outcome: Outcome): void => {
        if (isOver) return;
        isOver = true;
        timer.cancel();
        this.#running.delete(call);
        resolve(context.abortReason === undefined ? outcome : failureOfAbort(context.abortReason));
      };
      const giveUp = (): void => {
        if (!isOver) this.#options.totals.abandonedCalls++;
        end(undefined);
      };
      const call = { context, giveUp };
      this.#running.add(call);
      let timer = clock.after(timeoutMs, () => {
        context.abort(new TandemError('TANDEM_DELIVERY_FAILED', { detail: `no answer within ${timeoutMs} ms` }));
        timer = clock.after(ABORT_GRACE_MS, giveUp);
      });
      answer.then(end, (thrown) => end(failureOf(thrown)));
    });
  }
}

const failureOfAbort = (reason: TandemError): Failure => ({ reason: reason.message });
