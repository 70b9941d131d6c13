/**
 * Failovers of Redis Sentinel and Redis Cluster under load, one replica each. Records that were acknowledged and are not there at the end:
 * through a Tandem node (ack after the local flush), and by plain XADD without and with WAIT 1 to the same servers at the same time.
 * `--rounds 200/100`: so many of Sentinel and of Cluster. `--ack stored` or `replicated`: the node without a spool, which loses what Redis loses.
 */
import { missingRedis } from '../src/core/testing/redis-servers/installed.ts';
import { atMost, type Bench, type Measure, median, percentile, type Say } from './measure.ts';
import type { LaneKind, LaneResult, Phase } from './redis/failover/lane-log.ts';
import { sum, type Verdict } from './redis/failover/ledger.ts';
import { ACKS, runSeries, type SeriesOptions, type SeriesResult } from './redis/failover/series.ts';

const ROUNDS = '10/5';
/** Then servers begin empty again: what they have to copy at each failover would grow for ever. */
const SERIES_ROUNDS_MAX = 25;
const LANES = { tandem: 4, plain: 4, wait: 4 };
const RECORDS_PER_SECOND = 250;
const CALM_MS = 1500;
const FIRST_SEED = 1;
/** While a master fails over, against calm times. */
const P99_GROWTH_MAX = 2;
const PEERS = { plain: 'plain XADD', wait: 'XADD, WAIT 1' } as const;

export const redisFailoverBench: Bench = async (say, { rounds = ROUNDS, ack: asked = 'flushed' }) => {
  const reason = missingRedis();
  if (reason !== false) {
    say(`SKIPPED: ${reason}`);
    return [];
  }
  const [sentinel = 0, cluster = 0] = rounds.split('/').map(Number);
  const ack = ACKS.find((level) => level === asked);
  if (ack === undefined) throw new RangeError(`--ack ${ACKS.join(' | ')}`);
  const shape = {
    ack,
    lanes: LANES,
    recordsPerSecond: RECORDS_PER_SECOND,
    calmMs: CALM_MS,
  };
  return [
    ...(await measureFailovers(say, { ...shape, kind: 'sentinel', rounds: sentinel, seed: FIRST_SEED })),
    ...(await measureFailovers(say, { ...shape, kind: 'cluster', rounds: cluster, seed: FIRST_SEED })),
  ];
};

/** In as many series as it takes. */
export async function measureFailovers(say: Say, options: SeriesOptions): Promise<readonly Measure[]> {
  const results: SeriesResult[] = [];
  for (let done = 0; done < options.rounds; done += SERIES_ROUNDS_MAX) {
    const rounds = Math.min(SERIES_ROUNDS_MAX, options.rounds - done);
    const result = await runSeries(say, { ...options, rounds, seed: options.seed + results.length });
    results.push(result);
    say(`${options.kind}: ${done + rounds} failovers. ${summaryOf(results)}`);
  }
  return results.length === 0 ? [] : measuresOf(options, results);
}

const verdictOf = (results: readonly SeriesResult[], kind: LaneKind): Verdict =>
  sum(results.flatMap(({ verdicts }) => verdicts[kind]));

function summaryOf(results: readonly SeriesResult[]): string {
  const kinds: readonly LaneKind[] = ['tandem', 'plain', 'wait'];
  return kinds
    .map((kind) => {
      const { acked, lost, duplicated, outOfOrder } = verdictOf(results, kind);
      return `${kind}: ${acked} acked, ${lost} lost, ${duplicated} duplicated, ${outOfOrder} out of order`;
    })
    .join('; ');
}

function measuresOf({ kind: site, ack = 'flushed' }: SeriesOptions, results: readonly SeriesResult[]): Measure[] {
  const promoted = results.flatMap(({ promotedMs }) => promotedMs);
  const name = `redis-failover, ${site}, ${ack}, ${promoted.length} failovers`;
  const lanes = results.flatMap((result) => result.lanes);
  const ours = lanes.some(({ kind }) => kind === 'tandem');
  const tandem = ours ? tandemMeasures(name, verdictOf(results, 'tandem'), lanes) : [];
  return [
    // The bounds are those of a node with a spool.
    ...tandem.map(({ bound, ...measure }) =>
      ack === 'flushed' && bound !== undefined ? { ...measure, bound } : measure,
    ),
    {
      name: `${name}: delay of the measuring process itself, p99`,
      unit: 'ms',
      value: median(results.map(({ ownDelayMs }) => ownDelayMs.failover)),
      peer: { name: 'calm', value: median(results.map(({ ownDelayMs }) => ownDelayMs.calm)) },
    },
    ...peerMeasures(name, 'plain', verdictOf(results, 'plain'), lanes),
    ...peerMeasures(name, 'wait', verdictOf(results, 'wait'), lanes),
    { name: `${name}: new master after, median`, unit: 'ms', value: median(promoted), rounds: promoted },
  ];
}

function tandemMeasures(name: string, verdict: Verdict, lanes: readonly LaneResult[]): Measure[] {
  const refused = total(lanes, 'tandem', 'refused');
  const zero = (what: string, value: number): Measure => {
    return { name: `${name}: ${what}`, unit: 'records', value, bound: atMost(value, 0, '') };
  };
  const calm = latencies(lanes, 'tandem', 'calm');
  const failover = latencies(lanes, 'tandem', 'failover');
  const p99 = percentile(failover, 0.99);
  const calmP99 = percentile(calm, 0.99);
  return [
    { name: `${name}: acked`, unit: 'records', value: verdict.acked },
    zero('acked and lost', verdict.lost),
    zero('duplicated', verdict.duplicated),
    zero('out of order', verdict.outOfOrder),
    zero('refused', refused),
    { name: `${name}: ack p99 during a failover`, unit: 'ms', value: p99, peer: { name: 'calm', value: calmP99 } },
    {
      name: `${name}: ack p99 during a failover against calm`,
      unit: 'x',
      value: p99 / calmP99,
      bound: atMost(p99 / calmP99, P99_GROWTH_MAX, 'x'),
    },
    both(`${name}: ack p50`, failover, calm, 0.5),
    both(`${name}: ack max`, failover, calm, 1),
  ];
}

const both = (name: string, failover: Float64Array, calm: Float64Array, share: number): Measure => {
  return {
    name: `${name} during a failover`,
    unit: 'ms',
    value: percentile(failover, share),
    peer: { name: 'calm', value: percentile(calm, share) },
  };
};

function peerMeasures(
  name: string,
  kind: 'plain' | 'wait',
  { acked, lost }: Verdict,
  lanes: readonly LaneResult[],
): Measure[] {
  const who = `${name}: ${PEERS[kind]}`;
  return [
    { name: `${who}, acked`, unit: 'records', value: acked },
    { name: `${who}, acked and lost`, unit: 'records', value: lost },
    { name: `${who}, without an answer or refused`, unit: 'records', value: total(lanes, kind, 'refused') },
    both(`${who}, ack p99`, latencies(lanes, kind, 'failover'), latencies(lanes, kind, 'calm'), 0.99),
  ];
}

const total = (lanes: readonly LaneResult[], kind: LaneKind, what: 'refused' | 'breaks'): number =>
  lanes.filter((lane) => lane.kind === kind).reduce((all, lane) => all + lane[what], 0);

function latencies(lanes: readonly LaneResult[], kind: LaneKind, phase: Phase): Float64Array {
  const lists = lanes.filter((lane) => lane.kind === kind).map((lane) => lane.latenciesMs[phase]);
  const all = new Float64Array(lists.reduce((length, list) => length + list.length, 0));
  let at = 0;
  for (const list of lists) {
    all.set(list, at);
    at += list.length;
  }
  return all;
}
