/**
 * Room in the spool: stands before every append to a partition of this process and holds the bytes of all partitions below the bound. What has been
 * admitted and is not settled counts besides what was measured, so that nothing is forgotten that is on its way to the log; for a moment it may count
 * twice.
 *
 * Appends that wait are admitted in the order in which they came, all partitions together: none overtakes another.
 */
import type { AppendBatch, AppendResult } from '../../core/contracts/engine.ts';
import type { SpoolLog } from '../../core/contracts/spool-log.ts';
import { TandemError } from '../../core/errors.ts';
import type { Clock } from '../../core/ports/clock.ts';

/** A batch has a header; about. */
const BATCH_OVERHEAD_BYTES = 128;
/** Above it the window gets shorter; at the second it is the shortest. Parts of the bound. */
const SHRINKS_FROM = 0.5;
const SHORTEST_FROM = 0.875;
const MEASURE_MS = 20;

export interface SpoolRoomOptions {
  readonly local: SpoolLog;
  readonly bytesMax: number;
  readonly whenFull: 'wait' | 'refuse';
  readonly clock: Clock;
  /** There is no room: trim what can be trimmed. */
  readonly onFull: () => void;
}

interface WaitingAppend {
  readonly bytes: number;
  readonly append: () => Promise<AppendResult>;
  readonly resolve: (result: AppendResult | Promise<AppendResult>) => void;
  readonly reject: (error: TandemError) => void;
}

export class SpoolRoom {
  refusedBatches = 0;
  readonly #options: SpoolRoomOptions;
  #bytes = 0;
  #inHandBytes = 0;
  #measuredMs = Number.NEGATIVE_INFINITY;
  #waiting: WaitingAppend[] = [];
  #isRefusing: boolean;
  /** What found no room; 0: there is room. */
  #missingBytes = 0;

  constructor(options: SpoolRoomOptions) {
    this.#options = options;
    this.#isRefusing = options.whenFull === 'refuse';
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isFull(): boolean {
    return this.#missingBytes > 0;
  }

  get waitingAppends(): number {
    return this.#waiting.length;
  }

  /** As Admission. Errors: TANDEM_SPOOL_FULL. */
  admit({ set }: AppendBatch, append: () => Promise<AppendResult>): Promise<AppendResult> {
    const bytes = set.data.length + set.count * 4 + BATCH_OVERHEAD_BYTES;
    if (this.#waiting.length === 0 && this.#takes(bytes)) return this.#run(bytes, append);
    if (this.#isRefusing) return Promise.reject(this.#refusal());
    return new Promise((resolve, reject) => this.#waiting.push({ bytes, append, resolve, reject }));
  }

  /** Space may have become free. */
  measure(): void {
    this.#bytes = this.#options.local.ownBytes + this.#inHandBytes;
    this.#measuredMs = this.#options.clock.monotonicMs();
    if (this.#missingBytes > 0 && this.#fits(this.#missingBytes)) this.#missingBytes = 0;
    for (let next = this.#waiting[0]; next !== undefined && this.#fits(next.bytes); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#bytes += next.bytes;
      next.resolve(this.#run(next.bytes, next.append));
    }
    this.#missingBytes = this.#waiting[0]?.bytes ?? this.#missingBytes;
  }

  /** From now on a full spool refuses, and whoever waits is refused. */
  stopWaiting(): void {
    this.#isRefusing = true;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#refusal());
  }

  /** How long what was confirmed is to be kept now. */
  windowMs(windowMs: number, windowMinMs: number): number {
    const part = (this.#bytes / this.#options.bytesMax - SHRINKS_FROM) / (SHORTEST_FROM - SHRINKS_FROM);
    return windowMs - (windowMs - windowMinMs) * Math.min(1, Math.max(0, part));
  }

  #run(bytes: number, append: () => Promise<AppendResult>): Promise<AppendResult> {
    this.#inHandBytes += bytes;
    const settled = (): void => {
      this.#inHandBytes -= bytes;
    };
    const result = append();
    result.then(settled, settled);
    return result;
  }

  #takes(bytes: number): boolean {
    if (!this.#fits(bytes)) {
      const { clock, onFull } = this.#options;
      if (clock.monotonicMs() - this.#measuredMs >= MEASURE_MS) this.measure();
      if (!this.#fits(bytes)) {
        this.#missingBytes = bytes;
        onFull();
        return false;
      }
    }
    this.#bytes += bytes;
    return true;
  }

  /** Whatever its size, a batch fits into an empty spool. */
  #fits(bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= this.#options.bytesMax;
  }

  #refusal(): TandemError {
    this.refusedBatches++;
    return new TandemError('TANDEM_SPOOL_FULL', { detail: `${this.#bytes} of ${this.#options.bytesMax} bytes` });
  }
}
