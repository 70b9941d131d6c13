/** Answers one `Ingest.append`: collects the places of its records and resolves when the last one is known. */
import type { AckSink, Receipt } from '../core/contracts/ingest.ts';
import type { TandemError } from '../core/errors.ts';

export class AppendCall implements AckSink {
  readonly #receipts: { epoch: string; partition: number; firstOffset: number; count: number; isDuplicate: boolean }[] =
    [];
  readonly #settled: PromiseWithResolvers<readonly Receipt[]> = Promise.withResolvers();
  #missing: number;
  #error: TandemError | undefined;

  constructor(records: number) {
    this.#missing = records;
    if (records === 0) this.#settled.resolve([]);
  }

  settled(): Promise<readonly Receipt[]> {
    return this.#settled.promise;
  }

  stored(partition: number, firstOffset: number, count: number, isDuplicate: boolean, epoch: string): void {
    const last = this.#receipts.at(-1);
    const continues =
      last !== undefined &&
      last.partition === partition &&
      last.isDuplicate === isDuplicate &&
      (firstOffset === -1 ? last.firstOffset === -1 : last.firstOffset + last.count === firstOffset);
    if (continues) last.count += count;
    else this.#receipts.push({ epoch, partition, firstOffset, count, isDuplicate });
    this.#answered(count);
  }

  refused(error: TandemError, count: number): void {
    this.#error ??= error;
    this.#answered(count);
  }

  flushed(): void {}

  #answered(count: number): void {
    this.#missing -= count;
    if (this.#missing > 0) return;
    if (this.#error === undefined) this.#settled.resolve(this.#receipts);
    else this.#settled.reject(this.#error);
  }
}
