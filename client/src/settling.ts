/**
 * Runs an action once when the microtasks that are under way ask for it no more: who awaits many answers and asks again at each has all of it
 * sent in one message, and no time is lost by a timer. Works in Node and browsers alike.
 */
const TURNS_MAX = 16;

export class Settling {
  readonly #action: () => void;
  #isScheduled = false;
  #isAskedAgain = false;
  #turns = 0;

  constructor(action: () => void) {
    this.#action = action;
  }

  ask(): void {
    this.#isAskedAgain = true;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#turns = 0;
    queueMicrotask(this.#turn);
  }

  readonly #turn = (): void => {
    if (this.#isAskedAgain && this.#turns++ < TURNS_MAX) {
      this.#isAskedAgain = false;
      queueMicrotask(this.#turn);
      return;
    }
    this.#isScheduled = false;
    this.#isAskedAgain = false;
    this.#action();
  };
}
