/** What a bench yields: figures with their unit, the bound they are held against and the peer measured in the same run. */
export interface Measure {
  readonly name: string;
  readonly unit: string;
  readonly value: number;
  /** The same for the peer, in the same run. */
  readonly peer?: { readonly name: string; readonly value: number };
  /** `value / peer.value`: the median over the rounds. */
  readonly ratio?: number;
  /** What the project promises; `isMet` says whether this run kept it. */
  readonly bound?: { readonly text: string; readonly isMet: boolean };
  readonly rounds?: readonly number[];
  readonly note?: string;
}

/** A bench says what it does while it runs. */
export type Say = (text: string) => void;

/** From the command line. */
export interface BenchOptions {
  readonly rounds?: string | undefined;
  readonly ack?: string | undefined;
}

export type Bench = (say: Say, options: BenchOptions) => Promise<readonly Measure[]>;

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] as number)) / 2;
}

export function percentile(values: readonly number[] | Float64Array, share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number;
}

export const atLeast = (value: number, bound: number, unit: string): NonNullable<Measure['bound']> => ({
  text: `>= ${bound.toLocaleString('en')} ${unit}`,
  isMet: value >= bound,
});
export const atMost = (value: number, bound: number, unit: string): NonNullable<Measure['bound']> => ({
  text: `<= ${bound.toLocaleString('en')} ${unit}`,
  isMet: value <= bound,
});

function figure(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString('en');
  return value >= 10 ? value.toFixed(1) : value.toFixed(3);
}

/** A table for people. */
export function tableOf(measures: readonly Measure[]): string {
  const rows = measures.map((m) => [
    m.name,
    `${figure(m.value)} ${m.unit}`,
    m.peer === undefined ? '' : `${m.peer.name} ${figure(m.peer.value)}`,
    m.ratio === undefined ? '' : `${m.ratio.toFixed(2)}x`,
    m.bound === undefined ? '' : `${m.bound.isMet ? 'met   ' : 'MISSED'} ${m.bound.text}`,
  ]);
  const head = ['measure', 'tandem', 'peer', 'ratio', 'bound'];
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] as string).length)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => cell.padEnd(widths[i] as number))
      .join('  ')
      .trimEnd();
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}
