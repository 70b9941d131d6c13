/**
 * What follows each other in the local log and fits together goes to the remote engine as one batch: many small ones cost it far more than a large one,
 * and after an outage there are many. Together goes what no producer sent, or one producer without a gap, up to a size that readers can take in one piece.
 */
import { joinRecordSets, type StoredBatch } from '../../core/record-set.ts';

export const UNITED_BYTES_MAX: number = 64 * 1024;
export const UNITED_RECORDS_MAX: number = 8192;

/** The same records at the same offsets. Who stands alone stays as it is, and shares its memory. */
export function unitedBatches(batches: readonly StoredBatch[]): StoredBatch[] {
  const united: StoredBatch[] = [];
  let run: StoredBatch[] = [];
  let bytes = 0;
  let count = 0;
  const close = (): void => {
    const [first] = run;
    if (first !== undefined)
      united.push(run.length === 1 ? first : { ...first, set: joinRecordSets(run.map(({ set }) => set)) });
    run = [];
    bytes = 0;
    count = 0;
  };
  for (const batch of batches) {
    const last = run.at(-1);
    const { set } = batch;
    const fits = bytes + set.data.length <= UNITED_BYTES_MAX && count + set.count <= UNITED_RECORDS_MAX;
    if (last !== undefined && !(fits && follows(last, batch))) close();
    run.push(batch);
    bytes += set.data.length;
    count += set.count;
  }
  close();
  return united;
}

function follows(before: StoredBatch, batch: StoredBatch): boolean {
  const { count } = before.set;
  if (batch.firstOffset !== before.firstOffset + count) return false;
  if (before.producer === undefined || batch.producer === undefined) return before.producer === batch.producer;
  return batch.producer.id === before.producer.id && batch.producer.sequence === before.producer.sequence + count;
}
