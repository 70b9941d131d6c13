/** All checks over one drill, and what a person or a script wants to know of it. */
import { checkRecords, type RecordEvidence } from './checker.ts';
import type { EpisodeReport } from './episode.ts';
import { type Activation, activationBreaches, handlerTurnBreaches, staleStatements } from './evidence/terms.ts';
import { FAULT_KINDS, type FaultKind } from './faults/fault.ts';
import type { NodeUnderTest } from './node-under-test.ts';
import type { OutageWatch } from './outage-watch.ts';
import { loggedActivations } from './read-back.ts';
import type { RoleWatch } from './role-watch.ts';
import { checkService } from './service-checker.ts';

export interface DrillEvidence {
  readonly seed: number;
  readonly nodes: readonly NodeUnderTest[];
  readonly episodes: readonly EpisodeReport[];
  /** Monotonic ms. */
  readonly startedMs: number;
  readonly endMs: number;
  readonly limitMs: number;
  readonly records: RecordEvidence;
  readonly roles: RoleWatch;
  readonly outages: OutageWatch;
  /** What faults and clients noticed themselves. */
  readonly complaints: readonly string[];
}

/** Milliseconds. */
export interface Times {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export interface DrillResult {
  readonly seed: number;
  readonly minutes: number;
  readonly episodes: number;
  readonly faults: { readonly [name: string]: number };
  /** Of faults that came alone: until the first acknowledgement under the next term; a switchover: the pause that the probe saw. */
  readonly takeovers: { readonly [how in NonNullable<FaultKind['takeover']>]: Times };
  readonly terms: number;
  readonly acked: number;
  readonly stored: number;
  readonly delivered: number;
  /** Deliveries to handlers; more than stored: some came again. */
  readonly handled: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly doubleActive: number;
  /** The drill itself stood still so often; what happened meanwhile is not judged by time. */
  readonly stalls: number;
  readonly breaches: readonly string[];
}

export function judge(evidence: DrillEvidence): DrillResult {
  const { seed, nodes, episodes, startedMs, endMs, records, roles, outages, complaints } = evidence;
  const { lost, duplicated, breaches: recordBreaches } = checkRecords(records);
  const roleBreaches = checkRoles(evidence);
  const service = checkService({
    episodes,
    endMs,
    activations: roles.activations,
    lives: nodes.flatMap(({ lives }) => lives),
    outages: outages.outages,
    stalls: outages.stalls,
    limitMs: evidence.limitMs,
  });
  const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
  return {
    seed,
    minutes: (endMs - startedMs) / 60_000,
    episodes: episodes.length,
    faults: countFaults(episodes),
    takeovers: {
      death: timesOf(episodes, 'death'),
      hang: timesOf(episodes, 'hang'),
      switchover: timesOf(episodes, 'switchover'),
    },
    terms: new Set(roles.activations.map(({ term }) => term)).size,
    acked: sum(records.sources.map(({ acked }) => acked)),
    stored: sum([...records.log.values()].map(({ length }) => length)),
    delivered: sum(records.subscribers.map(({ count }) => count)),
    handled: records.handled.deliveries,
    lost,
    duplicated,
    doubleActive: roleBreaches.length,
    stalls: outages.stalls.length,
    breaches: [...complaints, ...recordBreaches, ...roleBreaches, ...service],
  };
}

function checkRoles({ nodes, records, roles }: DrillEvidence): string[] {
  const logged = nodes.flatMap(loggedActivations);
  const keepers = new Map(nodes.flatMap(({ lives }) => lives.map(({ keeper, node }) => [keeper.pid, node])));
  const turns = records.handled.keeperPids.map((pid) => keepers.get(pid) ?? `process ${pid}`);
  return [
    ...staleStatements([...roles.spans, ...records.sources.flatMap(({ terms }) => terms)]),
    ...activationBreaches(roles.activations),
    ...activationBreaches(logged),
    ...handlerTurnBreaches(withoutRepeats(turns), activesInOrder([...logged, ...roles.activations])),
    ...roles.complaints,
  ];
}

/** Names of nodes in the order of their terms; a holder is `name` or `name/pid`. */
function activesInOrder(activations: readonly Activation[]): string[] {
  const byTerm = new Map(activations.map(({ term, holder }) => [term, holder.split('/', 1)[0] as string]));
  return withoutRepeats([...byTerm].toSorted(([x], [y]) => x - y).map(([, name]) => name));
}

const withoutRepeats = (names: readonly string[]): string[] => names.filter((name, i) => name !== names[i - 1]);

function countFaults(episodes: readonly EpisodeReport[]): { readonly [name: string]: number } {
  const counts: { [name: string]: number } = {};
  for (const { name } of episodes.flatMap(({ faults }) => faults)) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

function timesOf(episodes: readonly EpisodeReport[], how: FaultKind['takeover']): Times {
  const times = episodes
    .filter(({ faults: [fault, ...others], takeoverMs }) => {
      return (
        fault !== undefined &&
        others.length === 0 &&
        FAULT_KINDS[fault.name].takeover === how &&
        takeoverMs !== undefined
      );
    })
    .map(({ takeoverMs, longestPauseMs }) => (how === 'switchover' ? longestPauseMs : (takeoverMs as number)))
    .toSorted((x, y) => x - y);
  const at = (fraction: number): number =>
    Math.round(times[Math.min(times.length - 1, Math.floor(fraction * times.length))] ?? 0);
  return { count: times.length, p50: at(0.5), p99: at(0.99), max: Math.round(times.at(-1) ?? 0) };
}
