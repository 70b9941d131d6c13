/** Takes a few records out of stored batches without decoding the rest. */
import type { TandemRecord } from '../core/record.ts';
import { forEachRecord, type StoredBatch } from '../core/record-set.ts';

const LENGTH_MASK = 0x7fff_ffff;

/**
 * Appends the records from `fromOffset` on and below `beforeOffset` to `target`, until about `bytesMax` of data is taken (at least one record if there is one).
 * Returns the offset after the last one taken. Throws TANDEM_LOG_CORRUPT.
 */
export function takeRun(
  batches: readonly StoredBatch[],
  range: { readonly fromOffset: number; readonly beforeOffset: number; readonly bytesMax: number },
  target: TandemRecord[],
): number {
  let offset = range.fromOffset;
  let room = range.bytesMax;
  for (const batch of batches) {
    if (room <= 0 || offset >= range.beforeOffset) break;
    if (batch.firstOffset + batch.set.count <= offset) continue;
    if (batch.firstOffset > offset) break;
    const { part, bytes } = cut(batch, offset, range.beforeOffset, room);
    forEachRecord(part, offset, (record) => target.push(record));
    offset = part.firstOffset + part.set.count;
    room -= bytes;
  }
  return offset;
}

/** The batch from the record at `offset` on, as far as `bytesMax` and `beforeOffset` go. */
function cut(
  batch: StoredBatch,
  offset: number,
  beforeOffset: number,
  bytesMax: number,
): { part: StoredBatch; bytes: number } {
  const { lengths, data, count } = batch.set;
  const skip = offset - batch.firstOffset;
  const end = Math.min(count, beforeOffset - batch.firstOffset);
  let start = 0;
  for (let i = 0; i < skip; i++) start += ((lengths[i] as number) & LENGTH_MASK) + 1;
  let bytes = 0;
  let next = skip;
  while (next < end && bytes < bytesMax) bytes += ((lengths[next++] as number) & LENGTH_MASK) + 1;
  const set = {
    count: next - skip,
    lengths: lengths.subarray(skip, next),
    data: data.subarray(start, Math.min(start + bytes, data.length)),
  };
  const { producer, ...rest } = batch;
  const part = { ...rest, firstOffset: offset, set };
  if (producer === undefined) return { part, bytes };
  return { part: { ...part, producer: { id: producer.id, sequence: producer.sequence + skip } }, bytes };
}
