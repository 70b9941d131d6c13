/** Some failovers of one site under one load, with servers and a node of their own, and the check at the end. */
import { pause } from '../../../chaos/producers/producer.ts';
import { seededRandom } from '../../../src/core/ports/random.ts';
import type { Say } from '../../measure.ts';
import { discard, startTandem } from '../../tandem-server.ts';
import { FailoverLoad } from './failover-load.ts';
import type { LaneKind, LaneResult, Phase } from './lane-log.ts';
import type { Verdict } from './ledger.ts';
import type { LoadResult } from './load-main.ts';
import { readStream, readTandem } from './read-back.ts';
import { drawFault, failOver } from './round.ts';
import { type Detection, type Site, type SiteKind, startSite } from './site.ts';

export interface SeriesOptions {
  readonly kind: SiteKind;
  readonly rounds: number;
  readonly seed: number;
  readonly lanes: { readonly [K in LaneKind]: number };
  readonly recordsPerSecond: number;
  /** Without a fault, at least, between two. */
  readonly calmMs: number;
  /** Of the node. Default: flushed. */
  readonly ack?: Ack;
  readonly detection?: Detection;
}

export const ACKS = ['flushed', 'stored', 'replicated'] as const;
type Ack = (typeof ACKS)[number];

export interface SeriesResult {
  readonly promotedMs: readonly number[];
  readonly lanes: readonly LaneResult[];
  /** Of the process with the lanes to Tandem, or the only one. */
  readonly ownDelayMs: LoadResult['ownDelayMs'];
  readonly verdicts: { readonly [K in LaneKind]: readonly Verdict[] };
}

/** Enough for every shard of a Cluster to have some. */
const PARTITIONS = 12;
/** Before the first round: of its calm time. */
const WARM_UP_CALMS = 2;

export async function runSeries(say: Say, options: SeriesOptions): Promise<SeriesResult> {
  const site = await startSite(options.kind, options.detection);
  const { ack = 'flushed' } = options;
  const config = `engine: { url: '${site.url}', ack: ${ack} }\ntopics: { data_queue: { partitions: ${PARTITIONS} } }`;
  const node = options.lanes.tandem === 0 ? undefined : await startTandem(2, config).catch(abandon(site.stop));
  const { lanes, recordsPerSecond } = options;
  const linesPort = node?.ports.lines ?? 0;
  const spec = { recordsPerSecond, linesPort, lookup: site.lookup };
  const none = { tandem: 0, plain: 0, wait: 0 };
  // Apart: plain clients have much to do when a master is gone, and would be late for the other answers.
  const loads = [
    ...(node === undefined ? [] : [new FailoverLoad({ ...spec, lanes: { ...none, tandem: lanes.tandem } })]),
    new FailoverLoad({ ...spec, lanes: { ...lanes, tandem: 0 } }),
  ];
  try {
    const promotedMs = await repeat(say, options, site, loads);
    const results = await Promise.all(loads.map((load) => load.stop()));
    const all = results.flatMap((result) => result.lanes);
    const of = (kind: LaneKind): readonly LaneResult[] => all.filter((lane) => lane.kind === kind);
    const streams = (kind: LaneKind): Promise<Verdict[]> =>
      Promise.all(of(kind).map((lane) => readStream(site.lookup, lane)));
    const tandem = node === undefined ? [] : await readTandem(node.ports.http, of('tandem'));
    const verdicts = { tandem, plain: await streams('plain'), wait: await streams('wait') };
    return { promotedMs, lanes: all, ownDelayMs: (results[0] as LoadResult).ownDelayMs, verdicts };
  } finally {
    for (const load of loads) load.kill();
    if (node !== undefined) await discard(node);
    await site.stop();
  }
}

async function repeat(
  say: Say,
  { kind, rounds, seed, calmMs }: SeriesOptions,
  site: Site,
  loads: readonly FailoverLoad[],
): Promise<number[]> {
  const random = seededRandom(seed);
  const enter = async (phase: Phase): Promise<void> => {
    await Promise.all(loads.map((load) => load.enter(phase)));
  };
  await pause(WARM_UP_CALMS * calmMs);
  const times: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    const fault = drawFault(random);
    const promotedMs = await failOver({ site, random, fault, calmMs, enter });
    times.push(promotedMs);
    const cut = fault.cutMs === 0 ? '' : `, replica cut off ${fault.cutMs} ms before`;
    say(
      `${kind}, seed ${seed}, ${fault.kind} ${round} of ${rounds}${cut}: new master after ${promotedMs.toFixed(0)} ms`,
    );
  }
  return times;
}

const abandon =
  (stop: () => Promise<void>) =>
  async (error: unknown): Promise<never> => {
    await stop();
    throw error;
  };
