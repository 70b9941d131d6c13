/** One episode of a drill: its faults come, then the service has to come back within their bounds, and all nodes stand by again. */
import type { Clients } from './clients.ts';
import { FAULT_KINDS, type FaultName, type PlannedFault, REJOIN_MS_MAX, type World } from './faults/fault.ts';
import { inject } from './faults/inject.ts';
import type { PlannedEpisode } from './plan.ts';
import { pause } from './producers/producer.ts';

/** No fault takes longer, with its pauses. */
const FAULT_MS_MAX = 60_000;
const POLL_MS = 10;

export interface DoneFault {
  readonly name: FaultName;
  /** What it came to, for people. */
  readonly text: string;
}

/** Monotonic ms. */
export interface EpisodeReport {
  readonly number: number;
  readonly faults: readonly DoneFault[];
  readonly startMs: number;
  /** All faults were over, the dead were started again. */
  readonly overMs: number;
  readonly boundMs: number;
  /** Everybody was served again; or who was not when the bound had passed. */
  readonly back: number | readonly string[];
  /** All nodes were ready again; or which were not. */
  readonly rejoined: number | readonly string[];
  /** Another node's term began: from the start of the episode until the first acknowledgement under it. A node alone has no successor. */
  readonly takeoverMs: number | undefined;
  /** Longest pause between two acknowledgements that the probe has seen. */
  readonly longestPauseMs: number;
}

export async function runEpisode(
  number: number,
  planned: PlannedEpisode<FaultName>,
  { world, clients }: { readonly world: World; readonly clients: Clients },
): Promise<EpisodeReport> {
  const termBefore = world.roles.term;
  clients.probe.history.longestPauseMs = 0;
  const startMs = performance.now();
  const faults = await injectAll(planned, {
    inject: (fault) => inject(fault, world),
    complain: (breach) => world.complain(breach),
    // A node alone is gone meanwhile: the next fault would hit nothing.
    isOneByOne: world.cluster.nodes.length === 1,
  });
  const overMs = performance.now();
  const boundMs = Math.max(...faults.map(({ name }) => FAULT_KINDS[name].backWithinMs));
  const back = await clients.served(overMs, overMs + boundMs);
  const rejoined = await allReady(world, overMs + REJOIN_MS_MAX);
  const firstAckMs = world.cluster.nodes.length > 1 ? clients.firstAckAboveMs(termBefore) : undefined;
  return {
    number,
    faults,
    startMs,
    overMs,
    boundMs,
    back,
    rejoined,
    takeoverMs: firstAckMs === undefined ? undefined : firstAckMs - startMs,
    longestPauseMs: clients.probe.history.longestPauseMs,
  };
}

export interface Injecting<Name extends string> {
  inject(fault: PlannedFault<Name>): Promise<string>;
  complain(breach: string): void;
  /** The next fault waits until this one is over. */
  readonly isOneByOne: boolean;
}

/** Each comes so long after the one before began: while that is not over. */
export async function injectAll<Name extends string>(
  planned: PlannedEpisode<Name>,
  { inject, complain, isOneByOne }: Injecting<Name>,
): Promise<{ readonly name: Name; readonly text: string }[]> {
  const running: Promise<{ readonly name: Name; readonly text: string }>[] = [];
  for (const { afterMs, fault } of planned.faults) {
    await pause(afterMs);
    const { name } = fault;
    const done = inject(fault).then((text) => ({ name, text }));
    running.push(done);
    if (isOneByOne) await done;
  }
  const all = Promise.all(running);
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, FAULT_MS_MAX, undefined);
  });
  const faults = await Promise.race([all, timeout]);
  clearTimeout(timer);
  if (faults !== undefined) return faults;
  complain(`FAULT: not over after ${FAULT_MS_MAX} ms: ${planned.faults.map(({ fault }) => fault.name)}`);
  return planned.faults.map(({ fault: { name } }) => ({ name, text: 'not over' }));
}

/** One active that gets traffic, the others ready to take over. */
async function allReady({ cluster, roles }: World, deadlineMs: number): Promise<number | string[]> {
  for (;;) {
    const missing = await cluster.unready(roles.active);
    if (missing.length === 0) return performance.now();
    if (performance.now() > deadlineMs) return missing;
    await pause(POLL_MS);
  }
}
