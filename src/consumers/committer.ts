/**
 * Commits the progress of one partition in batches: after COMMIT_INTERVAL_MS or COMMIT_RECORDS records, one commit at a time, always the
 * newest offset, under the assignment's term. A refused commit is repeated with back-off; TANDEM_TERM_FENCED ends the work.
 */
import type { GroupStore } from '../core/contracts/engine.ts';
import type { Logger } from '../core/contracts/telemetry.ts';
import { asTandemError } from '../core/errors.ts';
import type { Clock, Timer } from '../core/ports/clock.ts';
import type { Position } from '../core/position.ts';

const COMMIT_INTERVAL_MS = 100;
const COMMIT_RECORDS = 10_000;
const COMMIT_RETRY_MS_MAX = 5000;

export interface CommitterOptions {
  readonly groups: GroupStore;
  readonly group: string;
  readonly topic: string;
  readonly partition: number;
  readonly term: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onFenced: () => void;
}

export class Committer {
  /** The offset that the store has; null: none. */
  committed: number | null = null;
  /** Why the last commit was refused; undefined: it was not. */
  trouble: string | undefined;
  readonly #options: CommitterOptions;
  #epoch = '';
  #wanted = 0;
  #timer: Timer | undefined;
  #inFlight: Promise<void> | undefined;
  #failures = 0;
  #isClosed = false;
  #isFenced = false;

  constructor(options: CommitterOptions) {
    this.#options = options;
  }

  /** Work begins at `position`. `isCommitted`: the store has it already. */
  begin(position: Position, isCommitted: boolean): void {
    this.#epoch = position.epoch;
    this.#wanted = position.offset;
    this.committed = isCommitted ? position.offset : null;
  }

  /** Everything below `offset` is finished. `isUrgent`: at once, so that a crash soon after does not do it again (a dead letter). */
  advance(offset: number, isUrgent = false): void {
    this.#wanted = offset;
    if (offset === this.committed || this.#isClosed) return;
    if (this.#failures === 0 && (isUrgent || offset - (this.committed ?? 0) >= COMMIT_RECORDS)) this.#commitSoon(0);
    else this.#commitSoon(Math.min(COMMIT_INTERVAL_MS * 2 ** this.#failures, COMMIT_RETRY_MS_MAX));
  }

  /** Stores the present offset. Rejects with what the store rejects with. */
  async commitNow(): Promise<void> {
    await this.#inFlight?.catch(() => {});
    await this.#commit();
  }

  /** Stores the last offset if it can, and stores no more after that. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#inFlight?.catch(() => {});
    if (this.#isFenced || this.#epoch === '' || this.#wanted === this.committed) return;
    // A refused commit was logged; the records come again.
    await this.#commit().catch(() => {});
  }

  #commitSoon(delayMs: number): void {
    if (this.#inFlight !== undefined) return;
    if (delayMs === 0) this.#begin();
    else this.#timer ??= this.#options.clock.after(delayMs, () => this.#begin());
  }

  #begin(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#isClosed || this.#inFlight !== undefined) return;
    this.#inFlight = this.#commit()
      .catch(() => {})
      .finally(() => {
        this.#inFlight = undefined;
        this.advance(this.#wanted);
      });
  }

  async #commit(): Promise<void> {
    const { groups, group, topic, partition, term, logger, onFenced } = this.#options;
    const offset = this.#wanted;
    try {
      await groups.commit(group, topic, { partition, offset, epoch: this.#epoch }, term);
      this.committed = offset;
      this.#failures = 0;
      this.trouble = undefined;
    } catch (thrown) {
      const error = asTandemError(thrown);
      const facts = { group, topic, partition, offset, term, code: error.code, reason: error.message };
      this.trouble = error.message;
      if (error.code === 'TANDEM_TERM_FENCED') {
        this.#isClosed = true;
        this.#isFenced = true;
        logger.info('commit_fenced', facts);
        onFenced();
      } else {
        if (this.#failures++ === 0) logger.warn('commit_refused', facts);
      }
      throw error;
    }
  }
}
