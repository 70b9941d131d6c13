/**
 * The last flushes of a feed, kept while any subscription is in its hand-over: the last stretch between a replay and the feed is taken from
 * here at once, without a read in which the feed would get ahead again. Bounded; what is not here is read from the store.
 */
import type { Position } from '../core/position.ts';
import type { TandemRecord } from '../core/record.ts';
import type { RecordFlush } from './flush.ts';

const KEPT_BYTES_MAX = 1024 * 1024;

export class RecentFlushes {
  #flushes: { readonly flush: RecordFlush; readonly byteLength: number }[] = [];
  #byteLength = 0;

  add(flush: RecordFlush): void {
    let byteLength = 0;
    for (const record of flush.records) byteLength += record.data.length;
    this.#flushes.push({ flush, byteLength });
    this.#byteLength += byteLength;
    while (this.#byteLength > KEPT_BYTES_MAX)
      this.#byteLength -= (this.#flushes.shift() as { byteLength: number }).byteLength;
  }

  clear(): void {
    this.#flushes = [];
    this.#byteLength = 0;
  }

  /** Everything of the partition from `from` up to the feed is here. */
  covers(partition: number, from: Position): boolean {
    const start = this.#flushes[0]?.flush.before.get(partition);
    return start !== undefined && start.epoch === from.epoch && start.offset <= from.offset;
  }

  /** Calls `visit` for each record, in order of the flushes, until it returns false. */
  visit(visit: (record: TandemRecord) => boolean): void {
    for (const { flush } of this.#flushes) for (const record of flush.records) if (!visit(record)) return;
  }
}
