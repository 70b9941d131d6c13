/**
 * Which consumers the operator has paused. It holds until `resume`, whatever happens to workers and nodes: kept with the store, and told to
 * every worker before its consumers begin. Names that the config no longer has stay, and count again when it has them again.
 */
export interface ConsumerPauses {
  readonly names: readonly string[];
  /** Kept when it resolves. Idempotent. Errors (nothing has changed): those of the store. */
  set(name: string, isPaused: boolean): Promise<void>;
  /** Called for each one that was changed elsewhere, after the change. */
  onChange(listener: (name: string) => void): void;
}

/** Of a store in which one node at a time can pause. */
export class OwnPauses implements ConsumerPauses {
  readonly #load: () => readonly string[];
  readonly #save: (name: string, isPaused: boolean) => void;
  #names = new Set<string>();

  /** `save` is as durable as the store, at return. Nothing is loaded before `reload`. */
  constructor(load: () => readonly string[], save: (name: string, isPaused: boolean) => void) {
    this.#load = load;
    this.#save = save;
  }

  get names(): readonly string[] {
    return [...this.#names];
  }

  /** As the store has them: another node may have been active since. Errors: what `load` throws. */
  reload(): void {
    this.#names = new Set(this.#load());
  }

  async set(name: string, isPaused: boolean): Promise<void> {
    if (this.#names.has(name) === isPaused) return;
    this.#save(name, isPaused);
    if (isPaused) this.#names.add(name);
    else this.#names.delete(name);
  }

  onChange(): void {}
}
