/**
 * Judges a drill: what the clients saw against what the log holds. Finds every breach of:
 *   1. acked means kept: each acknowledged value stands at the place that was named
 *   2. once per producer sequence: each value of a source with sequences is stored exactly once if acknowledged; no value twice anywhere
 *   3. in order: the values of a source rise with the offset in each partition
 *   4. nothing foreign: the log holds only values that were sent
 *   5. subscribers: what they saw is the log, from the start, without gap or repeat
 *   6. consumers: every record was handled at least once; first deliveries in order per partition
 */
import type { SourceHistory } from './history.ts';
import type { PartitionWatch } from './readers/partition-watch.ts';

export interface Evidence {
  readonly sources: readonly SourceHistory[];
  /** The log as read back: partition -> values by offset, from 0. */
  readonly log: ReadonlyMap<number, readonly string[]>;
  readonly subscribers: readonly { readonly name: string; readonly watch: PartitionWatch }[];
  /** Deliveries to the handler in order of time. */
  readonly handled: readonly { readonly partition: number; readonly offset: number; readonly value: string }[];
}

/** All breaches, empty if there are none. */
export function check(evidence: Evidence): string[] {
  return [
    ...checkAcked(evidence),
    ...checkStored(evidence),
    ...evidence.subscribers.flatMap((subscriber) => checkSubscriber(evidence, subscriber)),
    ...checkHandled(evidence),
  ];
}

const sequenceOf = (value: string): number => Number(value.slice(value.lastIndexOf(':') + 1));
const sourceOf = (value: string): string => value.slice(0, value.lastIndexOf(':'));

function checkAcked({ sources, log }: Evidence): string[] {
  const stored = new Set([...log.values()].flat());
  const breaches: string[] = [];
  for (const { acked } of sources) {
    for (const [value, { partition, offset }] of acked) {
      if (offset === -1) {
        if (!stored.has(value)) breaches.push(`LOST: ${value} was acknowledged and is not stored`);
      } else if (log.get(partition)?.[offset] !== value) {
        const found = log.get(partition)?.[offset];
        breaches.push(`LOST: ${value} was acknowledged at ${partition}:${offset}, where ${found ?? 'nothing'} stands`);
      }
    }
  }
  return breaches;
}

function checkStored({ sources, log }: Evidence): string[] {
  const breaches: string[] = [];
  const byName = new Map(sources.map((source) => [source.name, source]));
  const seen = new Set<string>();
  for (const [partition, values] of log) {
    const last = new Map<string, number>();
    values.forEach((value, offset) => {
      const place = `${partition}:${offset}`;
      const source = byName.get(sourceOf(value));
      if (source === undefined) breaches.push(`FOREIGN: ${JSON.stringify(value)} at ${place} was never sent`);
      if (seen.has(value)) breaches.push(`TWICE: ${value} is stored again at ${place}`);
      seen.add(value);
      const sequence = sequenceOf(value);
      const before = last.get(sourceOf(value)) ?? 0;
      if (sequence <= before) breaches.push(`ORDER: ${value} at ${place} stands after ${before}`);
      last.set(sourceOf(value), sequence);
    });
  }
  return breaches;
}

function checkSubscriber({ log }: Evidence, { name, watch }: Evidence['subscribers'][number]): string[] {
  const breaches = [...watch.complaints];
  for (const [partition, values] of log) {
    const seen = watch.seen.get(partition) ?? [];
    if (seen.length !== values.length)
      breaches.push(`MISSED: ${name} saw ${seen.length} of ${values.length} records of partition ${partition}`);
    const wrong = values.findIndex((value, offset) => seen[offset] !== value);
    if (wrong !== -1)
      breaches.push(
        `MISSED: ${name} saw ${seen[wrong] ?? 'nothing'} at ${partition}:${wrong} instead of ${values[wrong]}`,
      );
  }
  return breaches;
}

function checkHandled({ log, handled }: Evidence): string[] {
  const breaches: string[] = [];
  const first = new Map<number, Set<number>>();
  for (const { partition, offset, value } of handled) {
    const offsets = first.get(partition) ?? new Set();
    first.set(partition, offsets);
    if (log.get(partition)?.[offset] !== value)
      breaches.push(`WRONG: the handler got ${value} as ${partition}:${offset}`);
    // First deliveries come in order, so each new offset is the number of offsets before it.
    if (!offsets.has(offset) && offset !== offsets.size)
      breaches.push(`ORDER: the handler got ${partition}:${offset} before ${offsets.size}`);
    offsets.add(offset);
  }
  for (const [partition, values] of log) {
    const count = first.get(partition)?.size ?? 0;
    if (count !== values.length)
      breaches.push(`MISSED: the handler got ${count} of ${values.length} records of partition ${partition}`);
  }
  return breaches;
}
