/**
 * Whether the remote engine answers. While it does not, one call at a time is let through, after a back-off with jitter; when one succeeds, all who
 * wait go on at once. What is asked of the engine for other reasons does not pass here.
 */
import type { Logger } from '../../core/contracts/telemetry.ts';
import type { TandemError } from '../../core/errors.ts';
import type { Clock, Timer } from '../../core/ports/clock.ts';
import type { Random } from '../../core/ports/random.ts';

const BACKOFF_MS = 50;
const BACKOFF_MS_MAX = 1000;
/** A hint that the engine is back counts so often. */
const HINT_MS = 25;

export interface RemoteLinkOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export class RemoteLink {
  readonly #options: RemoteLinkOptions;
  #isAway = false;
  #isProbing = false;
  #isClosed = false;
  #awaySinceMs = 0;
  #lastProbeMs = Number.NEGATIVE_INFINITY;
  #delayMs = 0;
  #timer: Timer | undefined;
  #waiting: (() => void)[] = [];
  #stopHints: (() => void) | undefined;
  #onBack: () => void = () => {};

  constructor(options: RemoteLinkOptions) {
    this.#options = options;
  }

  /** The last call failed in a way that passes, and none has succeeded since. */
  get isAway(): boolean {
    return this.#isAway;
  }

  /** `onBack` is called whenever the engine answers again. */
  set onBack(onBack: () => void) {
    this.#onBack = onBack;
  }

  /** Resolves when a call may be made; its outcome must be told by `succeeded` or `failed`, or that there is none by `skipped`. */
  up(): Promise<void> | undefined {
    if (!this.#isAway || this.#isClosed) return undefined;
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (this.#timer === undefined && !this.#isProbing) this.#probe();
    });
  }

  succeeded(): void {
    if (!this.#isAway) return;
    const { clock, logger } = this.#options;
    this.#isAway = false;
    this.#isProbing = false;
    this.#stop();
    logger.info('spool_remote_back', { awayMs: Math.round(clock.monotonicMs() - this.#awaySinceMs) });
    for (const resolve of this.#waiting.splice(0)) resolve();
    this.#onBack();
  }

  /** The call that could be made is not needed any more: the next who waits may make one. */
  skipped(): void {
    if (this.#isProbing) this.#probe();
  }

  /** `watch` gives hints that the engine may be back: it calls what it is given, and returns the way to stop that. May throw. */
  failed(error: TandemError, watch?: (hint: () => void) => () => void): void {
    const { clock, random, logger } = this.#options;
    if (this.#isClosed || (this.#isAway && !this.#isProbing)) return;
    if (this.#isAway) this.#delayMs = Math.min(this.#delayMs * 2, BACKOFF_MS_MAX);
    else {
      this.#isAway = true;
      this.#awaySinceMs = clock.monotonicMs();
      this.#delayMs = BACKOFF_MS;
      logger.warn('spool_remote_away', { code: error.code, problem: error.message });
    }
    this.#isProbing = false;
    this.#timer?.cancel();
    this.#timer = clock.after(this.#delayMs * (0.5 + random.fraction() / 2), () => this.#probe());
    if (watch !== undefined && this.#stopHints === undefined) this.#takeHints(watch);
  }

  /** Everybody goes on, to find that all is closed. */
  close(): void {
    this.#isClosed = true;
    this.#stop();
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #takeHints(watch: (hint: () => void) => () => void): void {
    try {
      this.#stopHints = watch(() => {
        const { clock } = this.#options;
        if (this.#timer !== undefined && clock.monotonicMs() - this.#lastProbeMs >= HINT_MS) this.#probe();
      });
    } catch {
      // Without hints the back-off decides alone.
    }
  }

  #probe(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#lastProbeMs = this.#options.clock.monotonicMs();
    const next = this.#waiting.shift();
    this.#isProbing = next !== undefined;
    next?.();
  }

  #stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#stopHints?.();
    this.#stopHints = undefined;
  }
}
