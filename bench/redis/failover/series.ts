/** Some failovers of one site under one load, with servers and a node of their own, and the check at the end. */
import { seededRandom } from '../../../src/core/ports/random.ts';
import type { Say } from '../../measure.ts';
import { discard, startTandem } from '../../tandem-server.ts';
import { FailoverLoad } from './failover-load.ts';
import type { LaneKind, LaneResult } from './lane-log.ts';
import type { Verdict } from './ledger.ts';
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
  readonly detection?: Detection;
}

export interface SeriesResult {
  readonly promotedMs: readonly number[];
  readonly lanes: readonly LaneResult[];
  readonly verdicts: { readonly [K in LaneKind]: readonly Verdict[] };
}

/** Enough for every shard of a Cluster to have some. */
const PARTITIONS = 12;

export async function runSeries(say: Say, options: SeriesOptions): Promise<SeriesResult> {
  const site = await startSite(options.kind, options.detection);
  const config = `engine: '${site.url}'\ntopics: { data_queue: { partitions: ${PARTITIONS} } }`;
  const node = options.lanes.tandem === 0 ? undefined : await startTandem(2, config).catch(abandon(site.stop));
  const { lanes, recordsPerSecond } = options;
  const linesPort = node?.ports.lines ?? 0;
  const load = new FailoverLoad({ lanes, recordsPerSecond, linesPort, lookup: site.lookup });
  try {
    const promotedMs = await repeat(say, options, site, load);
    const results = await load.stop();
    const of = (kind: LaneKind): readonly LaneResult[] => results.filter((lane) => lane.kind === kind);
    const streams = (kind: LaneKind): Promise<Verdict[]> =>
      Promise.all(of(kind).map((lane) => readStream(site.lookup, lane)));
    const tandem = node === undefined ? [] : await readTandem(node.ports.http, of('tandem'));
    const verdicts = { tandem, plain: await streams('plain'), wait: await streams('wait') };
    return { promotedMs, lanes: results, verdicts };
  } finally {
    load.kill();
    if (node !== undefined) await discard(node);
    await site.stop();
  }
}

async function repeat(
  say: Say,
  { kind, rounds, seed, calmMs }: SeriesOptions,
  site: Site,
  load: FailoverLoad,
): Promise<number[]> {
  const random = seededRandom(seed);
  const times: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    const fault = drawFault(random);
    const enter = load.enter.bind(load);
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
