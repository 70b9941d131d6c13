/** Runs one seed, from the first node's start until the service is back and stays after the last fault. */
import { planFaults } from './faults.fixture.ts';
import { type SimNode, type StoreKind, type Trace, World } from './world.fixture.ts';

export interface SeedResult {
  readonly kind: StoreKind;
  readonly seed: number;
  /** undefined: every invariant held. */
  readonly violation: { readonly invariant: number; readonly message: string } | undefined;
  readonly events: number;
  readonly starts: number;
  /** Simulated time from the last fault until the service was back for good. */
  readonly recoveryMs: number;
  readonly refusedWrites: number;
}

/**
 * From the last fault on: a hung node is found and ended (1 s) or a lease runs out (1.5 s), back-offs of failed starts and failed fencing that grew
 * in the window (4 s each), a start (2.5 s), cuts, and polls between them.
 */
const RECOVERY_MS_MAX = 15_000;
/** Anti-flap waits on top, in the worlds that have it. */
const ANTI_FLAP_MS_MAX = 40_000;
/** For so long nothing may change any more. */
const QUIET_MS = 1200;
const LOOK_MS = 200;

/** `focus`: kinds of faults by name; none: all. */
export async function runSeed(
  kind: StoreKind,
  seed: number,
  trace?: Trace,
  focus: readonly string[] = [],
): Promise<SeedResult> {
  const world = new World(kind, seed, trace);
  const { scheduler, checker } = world;
  const faultsEndMs = planFaults(world, focus);
  const boundMs = RECOVERY_MS_MAX + (world.timers.takeoversMax < 100 ? ANTI_FLAP_MS_MAX : 0);
  let isOver = false;
  let lookMs = faultsEndMs;
  await scheduler.runUntil((nextMs) => {
    if (checker.violation !== undefined) return true;
    if (nextMs < lookMs) return false;
    const quietMs = lookMs - Math.max(faultsEndMs, world.roleChangeMs);
    const complaint = stateComplaint(world);
    isOver = complaint === undefined && quietMs >= QUIET_MS;
    if (!isOver && lookMs - faultsEndMs > boundMs + QUIET_MS)
      checker.fail(4, complaint ?? 'the active changes again and again');
    lookMs += LOOK_MS;
    return isOver || checker.violation !== undefined;
  });
  if (!isOver) checker.fail(4, 'nothing happens any more');
  for (const { asked, dueMs, isSettled } of world.switchovers)
    if (!isSettled && asked.isAlive && !asked.isStopped && scheduler.nowMs > dueMs)
      checker.fail(5, 'a switchover does not settle');
  return {
    kind,
    seed,
    violation: checker.violation,
    events: scheduler.events,
    starts: checker.starts,
    recoveryMs: Math.max(0, world.roleChangeMs - faultsEndMs),
    refusedWrites: checker.refusedWrites,
  };
}

/** Why the world is not as it should be when nothing is wrong; undefined: it is. */
function stateComplaint({ nodes, checker }: World): string | undefined {
  const active = nodes.filter(({ elector }) => elector.facts().role === 'active');
  const [only] = active;
  if (active.length !== 1 || only === undefined)
    return `${active.length} are active: ${nodes.map((node) => describe(node)).join('; ')}`;
  const { elector, duties, process } = only;
  if (process.isStopped || duties.workers.isStopped) return `it hangs: ${describe(only)}`;
  const { isReady, term } = elector.facts();
  if (!isReady || !duties.isWriting || duties.isQuiesced || duties.term !== term || term !== checker.lastTerm)
    return `it does not serve in full: ${describe(only)}`;
  const behind = nodes.find((node) => node !== only && !knows(node, only.name, term));
  return behind && `${describe(behind)} does not know the active`;
}

function knows({ elector }: SimNode, active: string, term: number): boolean {
  const { peers, isReady } = elector.status();
  return isReady && peers.some(({ facts }) => facts.name === active && facts.role === 'active' && facts.term === term);
}

function describe({ name, elector, duties }: SimNode): string {
  const { phase, term, isReady, reason } = elector.status();
  const work = `${duties.isWriting ? 'writes' : 'rests'}${duties.isQuiesced ? ', quiesced' : ''}`;
  return `${name} ${phase} under ${term}, ${isReady ? 'ready' : 'not ready'} (${reason}), ${work}`;
}
