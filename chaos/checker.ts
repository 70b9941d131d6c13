/**
 * Judges what became of the records: what the clients saw against what the log holds. Finds every breach of:
 *   1. acked means kept: each acknowledged value stands at the place that was named
 *   2. once per producer sequence: no value stands twice (except what a bad network doubled itself)
 *   3. in order: the values of a source rise with the offset in each partition
 *   4. nothing foreign: the log holds only values that were sent
 *   5. subscribers: what they saw is the log, from the start, without gap or repeat
 *   6. consumers: every record was handled at least once; first deliveries in order per partition
 */
import type { HandledWatch } from './evidence/handled-watch.ts';
import type { NumberList } from './evidence/number-list.ts';
import type { PartitionWatch } from './evidence/partition-watch.ts';
import type { SourceHistory } from './evidence/source-history.ts';
import { isForeign, sequenceOf, sourceOf, type Values } from './evidence/values.ts';

export interface RecordEvidence {
  readonly values: Values;
  readonly sources: readonly SourceHistory[];
  /** The log as read back: partition -> codes of the values by offset, from 0. */
  readonly log: ReadonlyMap<number, NumberList>;
  readonly subscribers: readonly PartitionWatch[];
  readonly handled: HandledWatch;
}

export interface RecordVerdict {
  readonly breaches: string[];
  /** Acknowledged and not stored where it should be. */
  readonly lost: number;
  /** Stored again. */
  readonly duplicated: number;
}

export function checkRecords(evidence: RecordEvidence): RecordVerdict {
  const stored = checkStored(evidence);
  const lost = checkAcked(evidence, stored.counts);
  const breaches = [
    ...lost,
    ...stored.breaches,
    ...evidence.subscribers.flatMap((subscriber) => checkSubscriber(evidence, subscriber)),
    ...checkHandled(evidence),
  ];
  return { breaches, lost: lost.length, duplicated: stored.duplicated };
}

/** How often each sequence of a source stands in the log; by the index in a value's code, then the sequence. */
type Counts = ReadonlyMap<number, Uint8Array>;

function checkAcked({ sources, log, values }: RecordEvidence, counts: Counts): string[] {
  const breaches: string[] = [];
  for (const source of sources) {
    for (let sequence = 1; sequence <= source.lastSequence; sequence++) {
      const place = source.placeOf(sequence);
      if (place === undefined) continue;
      const code = source.codeOf(sequence);
      if (place.offset === -1) {
        if ((counts.get(sourceOf(code))?.[sequence] ?? 0) === 0)
          breaches.push(`LOST: ${values.textOf(code)} was acknowledged and is not stored`);
        continue;
      }
      const found = log.get(place.partition)?.at(place.offset) ?? Number.NaN;
      if (found !== code)
        breaches.push(
          `LOST: ${values.textOf(code)} was acknowledged at ${place.partition}:${place.offset}, where ${values.textOf(found)} stands`,
        );
    }
  }
  return breaches;
}

function checkStored({ sources, log, values }: RecordEvidence) {
  const breaches: string[] = [];
  let duplicated = 0;
  const byIndex = new Map(sources.map((source) => [sourceOf(source.codeOf(1)), source]));
  const counts = new Map<number, Uint8Array>();
  for (const [partition, codes] of log) {
    const last = new Map<number, number>();
    for (let offset = 0; offset < codes.length; offset++) {
      const code = codes.at(offset);
      const place = `${partition}:${offset}`;
      const [index, sequence] = [sourceOf(code), sequenceOf(code)];
      const source = byIndex.get(index);
      if (source === undefined || isForeign(code)) {
        breaches.push(`FOREIGN: ${values.textOf(code)} at ${place} was never sent`);
        continue;
      }
      if (countUp(counts, index, sequence) > 1 && !source.mayRepeat) {
        duplicated++;
        breaches.push(`TWICE: ${values.textOf(code)} is stored again at ${place}`);
      }
      const before = last.get(index) ?? 0;
      if (sequence <= before && !source.mayRepeat)
        breaches.push(`ORDER: ${values.textOf(code)} at ${place} stands after ${before}`);
      last.set(index, sequence);
    }
  }
  return { breaches, counts, duplicated };
}

function countUp(counts: Map<number, Uint8Array>, index: number, sequence: number): number {
  let ofSource = counts.get(index) ?? new Uint8Array(1024);
  if (sequence >= ofSource.length) {
    const grown = new Uint8Array(Math.max(sequence + 1, ofSource.length * 2));
    grown.set(ofSource);
    ofSource = grown;
  }
  counts.set(index, ofSource);
  const count = (ofSource[sequence] as number) + 1;
  ofSource[sequence] = Math.min(count, 255);
  return count;
}

function checkSubscriber({ log, values }: RecordEvidence, { name, seen, complaints }: PartitionWatch): string[] {
  const breaches = complaints.map((complaint) => `PUSH: ${complaint}`);
  for (const [partition, codes] of log) {
    const got = seen.get(partition);
    if ((got?.length ?? 0) !== codes.length)
      breaches.push(`MISSED: ${name} saw ${got?.length ?? 0} of ${codes.length} records of partition ${partition}`);
    for (let offset = 0; offset < Math.min(codes.length, got?.length ?? 0); offset++) {
      const [saw, due] = [got?.at(offset) ?? Number.NaN, codes.at(offset)];
      if (saw === due) continue;
      breaches.push(
        `MISSED: ${name} saw ${values.textOf(saw)} at ${partition}:${offset} instead of ${values.textOf(due)}`,
      );
      break;
    }
  }
  return breaches;
}

function checkHandled({ log, values, handled: { seen, complaints } }: RecordEvidence): string[] {
  const breaches = [...complaints];
  for (const [partition, codes] of log) {
    const got = seen.get(partition);
    let missing = 0;
    for (let offset = 0; offset < codes.length; offset++) {
      const code = got?.at(offset) ?? Number.NaN;
      if (Number.isNaN(code)) missing++;
      else if (code !== codes.at(offset))
        breaches.push(
          `WRONG: the handler got ${values.textOf(code)} as ${partition}:${offset}, where ${values.textOf(codes.at(offset))} stands`,
        );
    }
    if (missing > 0)
      breaches.push(`MISSED: the handler got ${codes.length - missing} of ${codes.length} of partition ${partition}`);
  }
  return breaches;
}
