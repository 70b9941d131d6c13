/**
 * What workers tell the admin API of topics and consumers, and how the answers of several workers become one. Each worker tells of the
 * partitions that it works on; forms are plain data, they cross the fork channel.
 */
export interface PartitionReport {
  readonly partition: number;
  readonly epoch: string;
  readonly firstOffset: number;
  readonly nextOffset: number;
}

export interface TopicReport {
  readonly name: string;
  /** How many the topic has; `partitions` are those of this worker. */
  readonly partitionCount: number;
  readonly retentionMs: number | null;
  readonly retentionBytes: number | null;
  readonly partitions: readonly PartitionReport[];
}

/** The part of a consumer's status that is merged by meaning; all other fields are kept as the first worker has them. */
export interface ConsumerReport {
  readonly name: string;
  readonly state: string;
  readonly reason?: string;
  readonly partitions: readonly { readonly partition: number; readonly lagRecords: number | null }[];
  readonly totals: { readonly [count: string]: number };
}

export function mergeTopics(reports: readonly (readonly TopicReport[])[]): TopicReport[] {
  return [...byName(reports.flat()).values()]
    .map((same) => {
      const largest = same.reduce((a, b) => (b.partitionCount > a.partitionCount ? b : a));
      return { ...largest, partitions: sorted(same.flatMap(({ partitions }) => partitions)) };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** From what needs a person to what does not. */
const STATES_BY_URGENCY = ['stopped', 'retrying', 'paused', 'running'];

/** With `lagRecords`: of all partitions that are known. */
export function mergeConsumers(
  reports: readonly (readonly ConsumerReport[])[],
): (ConsumerReport & { lagRecords: number })[] {
  return [...byName(reports.flat()).values()]
    .map((same) => {
      const urgency = ({ state }: ConsumerReport): number => STATES_BY_URGENCY.indexOf(state);
      const first = same.reduce((a, b) => (urgency(b) < urgency(a) ? b : a));
      const partitions = sorted(same.flatMap((report) => report.partitions));
      const lagRecords = partitions.reduce((sum, { lagRecords: lag }) => sum + (lag ?? 0), 0);
      return { ...first, lagRecords, partitions, totals: addUp(same.map(({ totals }) => totals)) };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function byName<T extends { readonly name: string }>(all: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const one of all) groups.set(one.name, [...(groups.get(one.name) ?? []), one]);
  return groups;
}

/** By partition; during a handover two workers may tell of the same one: the later answer counts. */
function sorted<T extends { readonly partition: number }>(partitions: readonly T[]): T[] {
  const unique = new Map(partitions.map((each) => [each.partition, each]));
  return [...unique.values()].sort((a, b) => a.partition - b.partition);
}

function addUp(counts: readonly { readonly [count: string]: number }[]): { [count: string]: number } {
  const sum: { [count: string]: number } = {};
  for (const each of counts) for (const [name, value] of Object.entries(each)) sum[name] = (sum[name] ?? 0) + value;
  return sum;
}
