/**
 * Judges the service over time: after each episode it was back within the bound of its faults, all nodes stood by again, and then it stayed:
 * no outage, no other active and no death of a process that nobody had harmed, until the next fault.
 */
import type { DoneFault, EpisodeReport } from './episode.ts';
import type { Activation } from './evidence/terms.ts';
import { FAULT_KINDS, REJOIN_MS_MAX, SWITCHOVER_PAUSE_MS_MAX, TAKEOVER_MS_MAX } from './faults/fault.ts';
import type { NodeLife } from './node-under-test.ts';

/** Nobody is acknowledged anything for so long, while nothing happens. */
const OUTAGE_MS_MAX = 1000;

/** Monotonic ms. */
export interface Interval {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface ServiceEvidence {
  readonly episodes: readonly EpisodeReport[];
  readonly endMs: number;
  readonly activations: readonly Activation[];
  readonly lives: readonly NodeLife[];
  /** Nobody was acknowledged anything for too long. */
  readonly outages: readonly Interval[];
  /** The drill itself stood still: it cannot tell what happened then. */
  readonly stalls: readonly Interval[];
  /** The heartbeat limit of nodes. */
  readonly limitMs: number;
}

export function checkService(evidence: ServiceEvidence): string[] {
  const { episodes } = evidence;
  return [
    ...episodes.flatMap((episode) => checkEpisode(episode, evidence.limitMs)),
    ...quietTimes(evidence).flatMap((quiet) => checkQuiet(quiet, evidence)),
    ...checkDeaths(evidence),
  ];
}

const faultText = ({ name, text }: DoneFault): string => `${name} (${text})`;
export const faultsText = ({ faults }: EpisodeReport): string => faults.map(faultText).join(' + ');

function checkEpisode(episode: EpisodeReport, limitMs: number): string[] {
  const breaches: string[] = [];
  const { number, back, boundMs, rejoined, takeoverMs, longestPauseMs, faults } = episode;
  const say = (breach: string): unknown => breaches.push(`${breach}; episode ${number}: ${faultsText(episode)}`);
  if (typeof back !== 'number') say(`NOT BACK: ${back.join(', ')} not served ${boundMs} ms after the last fault`);
  if (typeof rejoined !== 'number') say(`NOT READY: ${rejoined.join(', ')} after ${REJOIN_MS_MAX} ms`);
  const how = faults.length === 1 ? FAULT_KINDS[(faults[0] as DoneFault).name].takeover : undefined;
  const takeoverMsMax = TAKEOVER_MS_MAX + (how === 'hang' ? limitMs : 0);
  if (how === 'switchover' && longestPauseMs > SWITCHOVER_PAUSE_MS_MAX) say(`PAUSE: ${Math.round(longestPauseMs)} ms`);
  else if (how !== undefined && takeoverMs !== undefined && takeoverMs > takeoverMsMax)
    say(`TAKEOVER: first acknowledgement after ${Math.round(takeoverMs)} ms, ${takeoverMsMax} are allowed`);
  return breaches;
}

/** From where everything was well again to the next fault. */
function quietTimes({ episodes, endMs }: ServiceEvidence): Interval[] {
  return episodes.flatMap(({ back, rejoined }, i) => {
    if (typeof back !== 'number' || typeof rejoined !== 'number') return [];
    return [{ fromMs: Math.max(back, rejoined), toMs: episodes[i + 1]?.startMs ?? endMs }];
  });
}

function checkQuiet(quiet: Interval, { activations, outages, stalls }: ServiceEvidence): string[] {
  if (stalls.some((stall) => overlaps(stall, quiet))) return [];
  const within = (atMs: number): boolean => atMs > quiet.fromMs && atMs < quiet.toMs;
  return [
    ...activations
      .filter(({ askedMs }) => within(askedMs))
      .map(({ holder, term }) => `FLAP: ${holder} became active under term ${term}, though nothing had happened`),
    ...outages
      .map(({ fromMs, toMs }) => Math.min(toMs, quiet.toMs) - Math.max(fromMs, quiet.fromMs))
      .filter((outageMs) => outageMs > OUTAGE_MS_MAX)
      .map((outageMs) => `OUTAGE: no acknowledgement for ${Math.round(outageMs)} ms, though nothing had happened`),
  ];
}

/** Nodes that ended by themselves. */
export function checkDeaths({ lives, stalls }: Pick<ServiceEvidence, 'lives' | 'stalls'>): string[] {
  return lives
    .filter(({ endedMs, wasHarmed }) => endedMs !== undefined && !wasHarmed)
    .filter(({ endedMs = 0 }) => !stalls.some((stall) => overlaps(stall, { fromMs: endedMs - 2000, toMs: endedMs })))
    .map(
      ({ node, keeper, exitCode, startedMs, endedMs = 0 }) =>
        `DEATH: node ${node} (${keeper.pid}) ended by itself with ${exitCode ?? 'a signal'}, ${Math.round(endedMs - startedMs)} ms after its start`,
    );
}

export const overlaps = (a: Interval, b: Interval): boolean => a.fromMs < b.toMs && b.fromMs < a.toMs;
