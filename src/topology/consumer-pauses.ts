/**
 * Which consumers the operator has paused. It holds until `resume`, whatever happens to workers and the node: kept with the store, and told to
 * every worker before its consumers begin. Names that the config no longer has stay, and count again when it has them again.
 */
export class ConsumerPauses {
  readonly #names: Set<string>;
  readonly #save: (name: string, isPaused: boolean) => void;

  /** `save` is as durable as the store, at return. */
  constructor(names: readonly string[], save: (name: string, isPaused: boolean) => void) {
    this.#names = new Set(names);
    this.#save = save;
  }

  get names(): readonly string[] {
    return [...this.#names];
  }

  /** Idempotent. Errors (nothing has changed): what `save` throws. */
  set(name: string, isPaused: boolean): void {
    if (this.#names.has(name) === isPaused) return;
    this.#save(name, isPaused);
    if (isPaused) this.#names.add(name);
    else this.#names.delete(name);
  }
}
