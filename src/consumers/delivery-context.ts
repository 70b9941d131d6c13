/** The context of one call of a target. The abort signal is made when somebody asks for it: most handlers never do. */
import type { TandemError } from '../core/errors.ts';
import type { HandlerContext } from './handler-api.ts';

export class DeliveryContext implements HandlerContext {
  readonly consumer: string;
  readonly attempt: number;
  readonly isReplay: boolean;
  #controller: AbortController | undefined;
  #abortReason: TandemError | undefined;

  constructor(consumer: string, attempt: number, isReplay: boolean) {
    this.consumer = consumer;
    this.attempt = attempt;
    this.isReplay = isReplay;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  /** Why it was aborted; undefined: it was not. */
  get abortReason(): TandemError | undefined {
    return this.#abortReason;
  }

  /** The first reason stays. */
  abort(reason: TandemError): void {
    if (this.#abortReason !== undefined) return;
    this.#abortReason = reason;
    this.#controller?.abort(reason);
  }
}
