/** What a run proves: what was acked against what is stored, what is stored against what each subscriber got, and that one node at a time was active. */
import type { NumberSet } from './number-set.ts';
import type { RecordTally } from './record-tally.ts';
import { type Fault, type FaultKind, type FaultSummary, summaries } from './takeovers.ts';
import type { TermVerdict } from './term-watch.ts';

export interface Evidence {
  /** Each with what it was told is stored. */
  readonly sources: readonly { readonly name: string; readonly offered: number; readonly acked: NumberSet }[];
  /** Read back when all was over; null: it could not be read. */
  readonly stored: RecordTally | null;
  readonly subscribers: readonly {
    readonly name: string;
    readonly tally: RecordTally;
    /** Times that it was told that records were missed. */
    readonly gaps: number;
  }[];
  readonly terms: TermVerdict;
  readonly faults: readonly Fault[];
  /** What else went wrong: a node that ended by itself, a store that could not be read. */
  readonly problems: readonly string[];
}

export interface Delivered {
  readonly subscriber: string;
  readonly records: number;
  /** Stored, and never delivered to it. */
  readonly missed: number;
  readonly duplicated: number;
  readonly outOfOrder: number;
  readonly gaps: number;
}

export interface Proof {
  /** Nothing was wrong. */
  readonly isProven: boolean;
  readonly acked: number;
  readonly stored: number;
  readonly delivered: readonly Delivered[];
  /** Acked and not stored. */
  readonly lost: number;
  /** Stored again: the same number of the same source. */
  readonly duplicated: number;
  /** Stored after a later one of the same source. */
  readonly outOfOrder: number;
  /** Stored and never sent. */
  readonly foreign: number;
  /** Delivered and not stored. */
  readonly phantom: number;
  /** Sent and not acked when the run was over: they may be stored. */
  readonly unanswered: number;
  readonly doubleActive: number;
  readonly terms: { readonly count: number; readonly first: number; readonly last: number };
  readonly takeovers: { readonly [Kind in FaultKind]?: FaultSummary };
  readonly faults: readonly Fault[];
  /** Each thing that was wrong, for people. */
  readonly breaches: readonly string[];
}

export function prove(evidence: Evidence): Proof {
  const { sources, stored, subscribers, terms, faults } = evidence;
  const breaches: string[] = [...evidence.problems];
  const acked = sum(sources.map((source) => source.acked.count));
  const lost = stored === null ? 0 : sum(sources.map((_, source) => lostOf(evidence, source, breaches)));
  const delivered = subscribers.map((each) => deliveredTo(each, stored, breaches));
  const phantom =
    stored === null ? 0 : sum(subscribers.map(({ name, tally }) => phantomsOf(name, tally, stored, breaches)));
  const unsent = stored === null ? 0 : sum(sources.map((source, i) => unsentOf(source, stored.numbers[i], breaches)));
  if (stored !== null) breaches.push(...stored.findings.map((finding) => `stored at ${finding}`));
  breaches.push(...terms.findings);
  const counts = {
    lost,
    duplicated: stored?.duplicated ?? 0,
    outOfOrder: stored?.outOfOrder ?? 0,
    foreign: (stored?.foreign ?? 0) + unsent,
    phantom,
    doubleActive: terms.doubleActive,
  };
  const isClean = Object.values(counts).every((count) => count === 0) && delivered.every(isWhole);
  return {
    isProven: isClean && breaches.length === 0 && stored !== null,
    ...{ acked, stored: stored?.records ?? 0, delivered, ...counts },
    unanswered: sum(sources.map((source) => source.offered)) - acked,
    terms: { count: terms.count, first: terms.first, last: terms.last },
    takeovers: Object.fromEntries(summaries(faults)),
    ...{ faults, breaches },
  };
}

const isWhole = ({ missed, duplicated, outOfOrder, gaps }: Delivered): boolean =>
  missed === 0 && duplicated === 0 && outOfOrder === 0 && gaps === 0;

function lostOf({ sources, stored }: Evidence, index: number, breaches: string[]): number {
  const source = sources[index];
  const numbers = stored?.numbers[index];
  if (source === undefined || numbers === undefined) return 0;
  const { count, examples } = source.acked.without(numbers);
  if (count > 0) breaches.push(`${source.name}: acked and not stored: ${list(examples, count)}`);
  return count;
}

function unsentOf(source: Evidence['sources'][number], numbers: NumberSet | undefined, breaches: string[]): number {
  if (numbers === undefined || numbers.highest <= source.offered) return 0;
  breaches.push(`${source.name}: number ${numbers.highest} is stored, and only ${source.offered} were sent`);
  return numbers.highest - source.offered;
}

function deliveredTo(
  { name, tally, gaps }: Evidence['subscribers'][number],
  stored: RecordTally | null,
  breaches: string[],
): Delivered {
  let missed = 0;
  for (const [source, numbers] of stored?.numbers.entries() ?? []) {
    const { count, examples } = numbers.without(tally.numbers[source] as NumberSet);
    missed += count;
    if (count > 0) breaches.push(`${name}: never got of source ${source}: ${list(examples, count)}`);
  }
  if (gaps > 0) breaches.push(`${name}: was told ${gaps} times that records were missed`);
  breaches.push(...tally.findings.map((finding) => `${name}: got at ${finding}`));
  const { records, duplicated, outOfOrder } = tally;
  return { subscriber: name, records, missed, duplicated, outOfOrder, gaps };
}

/** Pushed to a subscriber and not stored. */
function phantomsOf(name: string, tally: RecordTally, stored: RecordTally, breaches: string[]): number {
  let phantom = tally.foreign;
  for (const [source, numbers] of tally.numbers.entries()) {
    const { count, examples } = numbers.without(stored.numbers[source] as NumberSet);
    phantom += count;
    if (count > 0) breaches.push(`${name}: got of source ${source} what is not stored: ${list(examples, count)}`);
  }
  return phantom;
}

const list = (examples: readonly number[], count: number): string =>
  `${examples.join(', ')}${count > examples.length ? `, … (${count} in all)` : ''}`;

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0);
