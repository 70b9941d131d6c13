/**
 * Judges what became of the records: what the clients saw against what the log holds. Finds every breach of:
 *   1. acked means kept: each acknowledged value stands at the place that was named
 *   2. once per producer sequence: no value stands twice (except what a bad network doubled itself)
 *   3. in order: the values of a source that went through one node alone rise with the offset in each partition
 *   4. nothing foreign: the log holds only values that were sent
 *   5. subscribers: what they saw is the log, from the start, without gap or repeat
 *   6. consumers: every record was handled at least once; first deliveries in order per partition
 *
 * Where the store may lose what it had (`mayLoseHistory`), records may be delivered from a history that is gone: 5. a subscriber may have been told
 * that it missed some; 6. by value, in order per source and node.
 */
import type { HandledWatch } from './evidence/handled-watch.ts';
import type { NumberList } from './evidence/number-list.ts';
import type { PartitionWatch } from './evidence/partition-watch.ts';
import type { SourceHistory } from './evidence/source-history.ts';
import { ValueCounts } from './evidence/value-counts.ts';
import { isForeign, sequenceOf, sourceOf, type Values } from './evidence/values.ts';

export interface RecordEvidence {
  readonly values: Values;
  readonly sources: readonly SourceHistory[];
  /** The log as read back: partition -> codes of the values by offset, from 0. */
  readonly log: ReadonlyMap<number, NumberList>;
  readonly subscribers: readonly PartitionWatch[];
  readonly handled: HandledWatch;
  readonly mayLoseHistory?: boolean;
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

function checkAcked({ sources, log, values }: RecordEvidence, counts: ValueCounts): string[] {
  const breaches: string[] = [];
  for (const source of sources) {
    for (let sequence = 1; sequence <= source.lastSequence; sequence++) {
      const place = source.placeOf(sequence);
      if (place === undefined) continue;
      const code = source.codeOf(sequence);
      if (place.offset === -1) {
        if (counts.of(code) === 0) breaches.push(`LOST: ${values.textOf(code)} was acknowledged and is not stored`);
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

function checkStored(evidence: RecordEvidence) {
  const { log, values } = evidence;
  const breaches: string[] = [];
  let duplicated = 0;
  const sources = sourcesByIndex(evidence);
  const counts = new ValueCounts();
  for (const [partition, codes] of log) {
    for (let offset = 0; offset < codes.length; offset++) {
      const code = codes.at(offset);
      const source = sources.get(sourceOf(code));
      if (source === undefined || isForeign(code))
        breaches.push(`FOREIGN: ${values.textOf(code)} at ${partition}:${offset} was never sent`);
      else if (counts.up(code) > 1 && !source.mayRepeat) {
        duplicated++;
        breaches.push(`TWICE: ${values.textOf(code)} is stored again at ${partition}:${offset}`);
      }
    }
    breaches.push(...checkOrder(evidence, codes, (offset) => `at ${partition}:${offset}`));
  }
  return { breaches, counts, duplicated };
}

const sourcesByIndex = ({ sources }: RecordEvidence): Map<number, SourceHistory> =>
  new Map(sources.map((source) => [sourceOf(source.codeOf(1)), source]));

/** The sequences that went through one and the same node rise. */
function checkOrder(evidence: RecordEvidence, codes: NumberList, placeText: (index: number) => string): string[] {
  const breaches: string[] = [];
  const sources = sourcesByIndex(evidence);
  const last = new Map<string, number>();
  for (let at = 0; at < codes.length; at++) {
    const code = codes.at(at);
    const source = sources.get(sourceOf(code));
    if (source === undefined || source.mayRepeat || isForeign(code)) continue;
    const sequence = sequenceOf(code);
    const node = source.nodeOf(sequence);
    if (node === undefined) continue;
    const way = `${source.name} ${node}`;
    const before = last.get(way) ?? 0;
    if (sequence <= before)
      breaches.push(`ORDER: ${evidence.values.textOf(code)} ${placeText(at)} stands after ${before}`);
    last.set(way, sequence);
  }
  return breaches;
}

function checkSubscriber(evidence: RecordEvidence, { name, seen, complaints }: PartitionWatch): string[] {
  const { log, values, mayLoseHistory = false } = evidence;
  const breaches = complaints.map((complaint) => `PUSH: ${complaint}`);
  for (const [partition, codes] of log) {
    const got = seen.get(partition);
    if ((got?.length ?? 0) !== codes.length)
      breaches.push(`MISSED: ${name} saw ${got?.length ?? 0} of ${codes.length} records of partition ${partition}`);
    for (let offset = 0; offset < Math.min(codes.length, got?.length ?? 0); offset++) {
      const [saw, due] = [got?.at(offset) ?? Number.NaN, codes.at(offset)];
      // It was told so.
      if (saw === due || (mayLoseHistory && Number.isNaN(saw))) continue;
      breaches.push(
        `MISSED: ${name} saw ${values.textOf(saw)} at ${partition}:${offset} instead of ${values.textOf(due)}`,
      );
      break;
    }
  }
  return breaches;
}

function checkHandled(evidence: RecordEvidence): string[] {
  const { handled, mayLoseHistory = false } = evidence;
  return [...handled.complaints, ...(mayLoseHistory ? checkHandledValues(evidence) : checkHandledPlaces(evidence))];
}

function checkHandledPlaces({ log, values, handled: { seen } }: RecordEvidence): string[] {
  const breaches: string[] = [];
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

function checkHandledValues(evidence: RecordEvidence): string[] {
  const { log, values, handled } = evidence;
  const breaches: string[] = [];
  for (const [partition, codes] of log) {
    const missing: number[] = [];
    for (let offset = 0; offset < codes.length; offset++)
      if (handled.counts.of(codes.at(offset)) === 0) missing.push(offset);
    const [first] = missing;
    if (first !== undefined)
      breaches.push(
        `MISSED: the handler never got ${missing.length} of ${codes.length} of partition ${partition}, at ${first} first: ${values.textOf(codes.at(first))}`,
      );
  }
  for (const [partition, firsts] of handled.seen)
    breaches.push(...checkOrder(evidence, firsts, () => `of partition ${partition} first given to the handler`));
  return breaches;
}
