/** All SSE streams of a listener: their keep-alive comments by one timer, and their end when the listener drains. */
import type { Clock, Timer } from '../../core/ports/clock.ts';

export interface KeptStream {
  keepAlive(): void;
  drain(): void;
}

/** Proxies and browsers give up on a silent connection after 30 s and more. */
const KEEP_ALIVE_MS = 15_000;

export class SseStreams {
  readonly #clock: Clock;
  readonly #open = new Set<KeptStream>();
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#open.size;
  }

  add(stream: KeptStream): void {
    this.#open.add(stream);
    this.#arm();
  }

  delete(stream: KeptStream): void {
    this.#open.delete(stream);
    if (this.#open.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  drain(): void {
    for (const stream of [...this.#open]) stream.drain();
  }

  #arm(): void {
    this.#timer ??= this.#clock.after(KEEP_ALIVE_MS, () => {
      this.#timer = undefined;
      for (const stream of [...this.#open]) stream.keepAlive();
      if (this.#open.size > 0) this.#arm();
    });
  }
}
