/**
 * Calls that cannot be sent yet, in their order, each with a deadline. They keep the process alive: somebody waits for them. Bounded by
 * those who call, each of whom waits for an answer.
 */
import type { RedisReply } from './redis-servers.ts';

export interface WaitingCall {
  readonly send: (deadlineMs: number) => Promise<RedisReply>;
  /** Monotonic. */
  readonly deadlineMs: number;
  readonly resolve: (reply: RedisReply) => void;
  readonly reject: (error: Error) => void;
}

export class WaitingCalls {
  readonly #lateError: () => Error;
  #calls: WaitingCall[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** `lateError` makes what calls past their deadline are rejected with. */
  constructor(lateError: () => Error) {
    this.#lateError = lateError;
  }

  /** Behind all others; its deadline is not before theirs. */
  add(call: WaitingCall): void {
    this.#calls.push(call);
    this.#arm();
  }

  /** Before all others. */
  putBack(calls: readonly WaitingCall[]): void {
    if (calls.length === 0) return;
    this.#calls = [...calls, ...this.#calls];
    this.#disarm();
    this.#arm();
  }

  takeAll(): readonly WaitingCall[] {
    const calls = this.#calls;
    this.#calls = [];
    this.#disarm();
    return calls;
  }

  rejectAll(error: Error): void {
    for (const call of this.takeAll()) call.reject(error);
  }

  #arm(): void {
    const [first] = this.#calls;
    if (first === undefined || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.#rejectLate(), Math.max(0, first.deadlineMs - performance.now()));
  }

  #disarm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #rejectLate(): void {
    this.#timer = undefined;
    const nowMs = performance.now();
    const firstInTime = this.#calls.findIndex(({ deadlineMs }) => deadlineMs > nowMs);
    const late = this.#calls.splice(0, firstInTime === -1 ? this.#calls.length : firstInTime);
    this.#arm();
    for (const call of late) call.reject(this.#lateError());
  }
}
