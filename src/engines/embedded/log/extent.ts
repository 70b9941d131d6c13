/**
 * An extent is what one segment holds of one partition: where its batches are. Entries are in order of offsets and positions.
 */

/** `count` parallel entries; arrays may be longer. */
export interface ExtentEntries {
  readonly count: number;
  /** Position of the batch in the segment. */
  readonly positions: ArrayLike<number>;
  readonly firstOffsets: ArrayLike<number>;
  /** Bytes of the extent's batches before this one. */
  readonly bytesBefore: ArrayLike<number>;
}

export interface ExtentSummary {
  readonly topic: string;
  readonly partition: number;
  readonly firstOffset: number;
  readonly nextOffset: number;
  readonly minTimeMs: number;
  readonly maxTimeMs: number;
  /** Bytes of all its batches with their headers. */
  readonly bytes: number;
}

/** An extent that grows. */
export class GrowingExtent implements ExtentSummary, ExtentEntries {
  readonly topic: string;
  readonly partition: number;
  readonly firstOffset: number;
  readonly minTimeMs: number;
  nextOffset: number;
  maxTimeMs: number;
  bytes = 0;
  readonly positions: number[] = [];
  readonly firstOffsets: number[] = [];
  readonly bytesBefore: number[] = [];

  constructor(topic: string, partition: number, firstOffset: number, timeMs: number) {
    this.topic = topic;
    this.partition = partition;
    this.firstOffset = firstOffset;
    this.nextOffset = firstOffset;
    this.minTimeMs = timeMs;
    this.maxTimeMs = timeMs;
  }

  get count(): number {
    return this.positions.length;
  }

  add(position: number, bytes: number, firstOffset: number, records: number, timeMs: number): void {
    this.positions.push(position);
    this.firstOffsets.push(firstOffset);
    this.bytesBefore.push(this.bytes);
    this.bytes += bytes;
    this.nextOffset = firstOffset + records;
    this.maxTimeMs = timeMs;
  }
}

/** The last entry whose first offset is at most `offset`; -1 if there is none. */
export function entryAt(entries: ExtentEntries, offset: number): number {
  let low = 0;
  let high = entries.count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((entries.firstOffsets[middle] as number) <= offset) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Bytes of the batch of an entry. */
export function entryBytes(entries: ExtentEntries, index: number, extentBytes: number): number {
  const end = index + 1 < entries.count ? (entries.bytesBefore[index + 1] as number) : extentBytes;
  return end - (entries.bytesBefore[index] as number);
}
