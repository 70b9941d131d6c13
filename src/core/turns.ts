/** One action after the other, in the order in which they were asked for; one that fails holds up nobody. */
export class Turns {
  #tail: Promise<unknown> = Promise.resolve();

  run<T>(action: () => Promise<T>): Promise<T> {
    const run = this.#tail.then(action);
    this.#tail = run.catch(() => {});
    return run;
  }
}
