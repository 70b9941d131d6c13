/** From stored batches to records for a consumer. */
import { asTandemError, TandemError } from '../core/errors.ts';
import type { TandemRecord } from '../core/record.ts';
import { forEachRecord, type StoredBatch } from '../core/record-set.ts';
import { DeliveredRecord } from './delivered-record.ts';

/** Which stored records are delivered, and as what. */
export interface Feed {
  readonly isReplay: boolean;
  /** True: the record at `offset` and all after it are left alone, and the reader ends. */
  isOver(offset: number): boolean;
  /** undefined: not for this consumer. */
  accept(record: TandemRecord, epoch: string): DeliveredRecord | undefined;
}

/** Every record as it is, without an end. */
export const liveFeed: Feed = {
  isReplay: false,
  isOver: () => false,
  accept: (record, epoch) => new DeliveredRecord(record, epoch),
};

export interface DecodedBatch {
  /** Of consecutive offsets; undefined ones are not for this consumer. */
  readonly records: (DeliveredRecord | undefined)[];
  /** TANDEM_LOG_CORRUPT, if the records end before the batch does because the next one cannot be read. */
  readonly damage: TandemError | undefined;
}

/** The records of a batch from offset `first` on, as far as they can be read and the feed goes. */
export function decode(batch: StoredBatch, first: number, epoch: string, feed: Feed): DecodedBatch {
  const records: (DeliveredRecord | undefined)[] = [];
  try {
    forEachRecord(batch, first, (record) => {
      if (!feed.isOver(record.offset)) records.push(feed.accept(record, epoch));
    });
    return { records, damage: undefined };
  } catch (cause) {
    const offset = first + records.length;
    const detail = `${batch.topic}/${batch.partition} offset ${offset}: ${asTandemError(cause).message}`;
    const data = { fromOffset: offset, nextOffset: offset + 1 };
    return { records, damage: new TandemError('TANDEM_LOG_CORRUPT', { detail, cause, data }) };
  }
}
