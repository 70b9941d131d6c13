/** Switches with which a test makes the appends of one memory engine fail or wait. */
import type { ErrorCode } from '../../core/errors.ts';

export interface AppendFault {
  readonly code: ErrorCode;
  /** True: the records are stored and only the answer says otherwise, as when an answer is lost on its way. */
  readonly isStored: boolean;
}

export class AppendFaults {
  readonly #faults: AppendFault[] = [];
  readonly #waiting: (() => void)[] = [];
  #isHeld = false;

  /** The next `count` appends are rejected with `code`. */
  fail(count: number, code: ErrorCode, { isStored = false }: { readonly isStored?: boolean } = {}): void {
    for (let i = 0; i < count; i++) this.#faults.push({ code, isStored });
  }

  /** Appends are taken but neither stored nor answered until `release`. */
  hold(): void {
    this.#isHeld = true;
  }

  release(): void {
    this.#isHeld = false;
    for (const callback of this.#waiting.splice(0)) callback();
  }

  /** What to do to the next append. */
  next(): AppendFault | undefined {
    return this.#faults.shift();
  }

  /** Calls at once, or at the `release`. */
  whenReleased(callback: () => void): void {
    if (this.#isHeld) this.#waiting.push(callback);
    else callback();
  }
}
