/** All checks over one drill over Redis, and what a person or a script wants to know of it. */
import { checkRecords, type RecordEvidence } from '../checker.ts';
import { activationBreaches, staleStatements } from '../evidence/terms.ts';
import type { NodeUnderTest } from '../node-under-test.ts';
import { loggedActivations } from '../read-back.ts';
import type { RoleWatch } from '../role-watch.ts';
import { checkDeaths, type Interval, overlaps } from '../service-checker.ts';
import type { CommitWatch } from './commit-watch.ts';
import { type NodeWatch, troubleOf } from './node-watch.ts';
import type { OutageReport } from './outage.ts';
import type { RedisEpisode } from './redis-episode.ts';
import { REDIS_FAULT_KINDS, REJOIN_MS_MAX } from './redis-fault.ts';
import type { RedisMode } from './redis-nodes.ts';

/** Nobody is acknowledged anything for so long, while nothing happens. */
const QUIET_OUTAGE_MS_MAX = 1500;
/** No process of a node may need more: it is some 120 MiB idle, and up to 480 while it reads much again. */
const RESIDENT_BYTES_MAX = 800 * 1024 * 1024;

export interface RedisEvidence {
  readonly seed: number;
  readonly mode: RedisMode;
  readonly nodes: readonly NodeUnderTest[];
  readonly episodes: readonly RedisEpisode[];
  /** Monotonic ms. */
  readonly startedMs: number;
  readonly endMs: number;
  readonly records: RecordEvidence;
  readonly roles: RoleWatch;
  /** Nobody was acknowledged anything for too long. */
  readonly outages: readonly Interval[];
  /** The drill itself, or the medium, stood still: nobody can tell what happened then. */
  readonly stalls: readonly Interval[];
  readonly watch: NodeWatch;
  readonly commits: CommitWatch;
  readonly spoolBytesMax: number;
  /** What faults and clients noticed themselves. */
  readonly complaints: readonly string[];
}

export interface RedisDrillResult {
  readonly seed: number;
  readonly minutes: number;
  readonly episodes: number;
  readonly faults: { readonly [name: string]: number };
  readonly acked: number;
  readonly stored: number;
  readonly delivered: number;
  /** Deliveries to handlers; more than stored: some came again. */
  readonly handled: number;
  /** How often subscribers were told that records were missed. */
  readonly gaps: number;
  readonly lost: number;
  readonly duplicated: number;
  /** Records that spools sent more than once, as far as it was seen. */
  readonly sentAgain: number;
  /** Of the largest process, and which it was. */
  readonly residentMiB: number;
  readonly largestProcess: string;
  readonly spoolMiB: number;
  readonly longestAckPauseMs: number;
  /** Of faults of Redis alone: pauses that the client of one node has seen, the longest of each episode. */
  readonly ackPausesMs: { readonly p50: number; readonly p99: number; readonly max: number };
  /** The drill itself, or the medium, stood still so often; what happened meanwhile is not judged by time. */
  readonly stalls: number;
  /** What nodes logged at warn or error, how often. */
  readonly trouble: { readonly [event: string]: number };
  readonly outage?: OutageReport;
  readonly breaches: readonly string[];
}

export function judgeRedis(evidence: RedisEvidence): RedisDrillResult {
  const { seed, nodes, episodes, startedMs, endMs, records, outages, stalls, watch, commits, complaints } = evidence;
  const { lost, duplicated, breaches } = checkRecords(records);
  const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
  const counts: { [name: string]: number } = {};
  for (const { name } of episodes.flatMap(({ faults }) => faults)) counts[name] = (counts[name] ?? 0) + 1;
  return {
    seed,
    minutes: (endMs - startedMs) / 60_000,
    episodes: episodes.length,
    faults: counts,
    acked: sum(records.sources.map(({ acked }) => acked)),
    stored: sum([...records.log.values()].map(({ length }) => length)),
    delivered: sum(records.subscribers.map(({ count }) => count)),
    handled: records.handled.deliveries,
    gaps: sum(records.subscribers.map(({ gaps }) => gaps)),
    lost,
    duplicated,
    sentAgain: watch.sentAgain,
    residentMiB: Math.round(watch.largest.bytes / 1048576),
    largestProcess: watch.largest.process,
    spoolMiB: Math.round(watch.spoolBytesMax / 1048576),
    longestAckPauseMs: Math.round(Math.max(0, ...outages.map(({ fromMs, toMs }) => toMs - fromMs))),
    ackPausesMs: pausesOf(episodes.filter(isOfRedis)),
    stalls: stalls.length,
    trouble: troubleOf(nodes),
    breaches: [
      ...complaints,
      ...breaches,
      ...checkRoles(evidence),
      ...episodes.flatMap((episode) => checkEpisode(episode, evidence)),
      ...checkOutages(evidence),
      ...checkDeaths({ lives: nodes.flatMap(({ lives }) => lives), stalls }),
      ...checkBounds(evidence),
      ...commits.complaints,
    ],
  };
}

export const faultsText = ({ faults }: RedisEpisode): string =>
  faults.map(({ name, text }) => `${name} (${text})`).join(' + ');

const isOfRedis = ({ faults }: RedisEpisode): boolean => faults.every(({ name }) => REDIS_FAULT_KINDS[name].isOfRedis);

/** Where all nodes serve each of them is active, always. What a spool acknowledges is kept, whoever is active: acknowledgements state no role here. */
function checkRoles({ mode, nodes, roles }: RedisEvidence): string[] {
  if (mode === 'active-active') return [];
  return [
    ...staleStatements(roles.spans),
    ...activationBreaches(roles.activations),
    ...activationBreaches(nodes.flatMap(loggedActivations)),
  ];
}

function checkEpisode(episode: RedisEpisode, { mode, stalls }: RedisEvidence): string[] {
  const breaches: string[] = [];
  const { number, back, boundMs, rejoined, longestPauses, startMs, overMs, faults } = episode;
  const say = (breach: string): unknown => breaches.push(`${breach}; episode ${number}: ${faultsText(episode)}`);
  if (typeof back !== 'number') say(`NOT BACK: ${back.join(', ')} not served ${boundMs} ms after the last fault`);
  if (typeof rejoined !== 'number') say(`NOT READY: ${rejoined.join(', ')} after ${REJOIN_MS_MAX} ms`);
  const during = { fromMs: startMs, toMs: Math.max(overMs, typeof back === 'number' ? back : 0) };
  if (mode === 'active-standby' || !isOfRedis(episode) || stalls.some((stall) => overlaps(stall, during)))
    return breaches;
  const boundOfPauseMs = Math.max(...faults.map(({ name }) => REDIS_FAULT_KINDS[name].ackPauseMs));
  for (const { name, pauseMs } of longestPauses)
    if (pauseMs > boundOfPauseMs) say(`PAUSE: ${name} had no acknowledgement for ${Math.round(pauseMs)} ms`);
  return breaches;
}

/** Nobody at all was acknowledged anything. */
function checkOutages({ mode, episodes, outages, stalls, startedMs }: RedisEvidence): string[] {
  return outages.flatMap((outage) => {
    if (stalls.some((stall) => overlaps(stall, outage))) return [];
    const outageMs = Math.round(outage.toMs - outage.fromMs);
    const seconds = Math.round((outage.fromMs - startedMs) / 1000);
    const hit = episodes.filter((episode) => overlaps(spanOf(episode), outage));
    const last = hit.at(-1);
    if (last === undefined)
      return outageMs > QUIET_OUTAGE_MS_MAX
        ? [`OUTAGE: no acknowledgement for ${outageMs} ms at ${seconds} s, though nothing had happened`]
        : [];
    // There is no other bound than that of being back, which the episode has.
    if (mode === 'active-standby') return [];
    const faults = hit.flatMap((episode) => episode.faults);
    const boundMs = Math.max(...faults.map(({ name }) => REDIS_FAULT_KINDS[name].ackPauseMs));
    if (outageMs <= boundMs) return [];
    return [`OUTAGE: no acknowledgement for ${outageMs} ms; episode ${last.number}: ${faultsText(last)}`];
  });
}

const spanOf = ({ startMs, overMs, back, rejoined }: RedisEpisode): Interval => ({
  fromMs: startMs,
  toMs: Math.max(
    overMs,
    typeof back === 'number' ? back : Number.POSITIVE_INFINITY,
    typeof rejoined === 'number' ? rejoined : Number.POSITIVE_INFINITY,
  ),
});

function checkBounds({ watch, spoolBytesMax }: RedisEvidence): string[] {
  const breaches: string[] = [];
  if (watch.lost > 0) breaches.push(`SPOOL: it says that ${watch.lost} records are lost`);
  const { bytes, process } = watch.largest;
  if (bytes > RESIDENT_BYTES_MAX) breaches.push(`MEMORY: ${process} took ${Math.round(bytes / 1048576)} MiB`);
  if (watch.spoolBytesMax > spoolBytesMax)
    breaches.push(`SPOOL: ${watch.spoolBytesMax} bytes in the spools of a node, ${spoolBytesMax} are allowed`);
  return breaches;
}

function pausesOf(episodes: readonly RedisEpisode[]) {
  const pauses = episodes
    .map(({ longestPauses }) => Math.max(0, ...longestPauses.map(({ pauseMs }) => pauseMs)))
    .toSorted((x, y) => x - y);
  const at = (fraction: number): number =>
    Math.round(pauses[Math.min(pauses.length - 1, Math.floor(fraction * pauses.length))] ?? 0);
  return { p50: at(0.5), p99: at(0.99), max: Math.round(pauses.at(-1) ?? 0) };
}
