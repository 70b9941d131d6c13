/** What a seed does to its world: faults at random moments of a window; at its end all are healed and all nodes run. */
import { WELL } from './sim-duties.fixture.ts';
import { QUIET } from './timed-leases.fixture.ts';
import type { SimNode, World } from './world.fixture.ts';

const FIRST_FAULT_MS = 300;
const WINDOW_MS = 3000;
const FAULTS_MAX = 9;
const KINDS_MAX = 4;
const STOPS_MS = [30, 200, 700, 1000, 1050, 1200, 1300, 1500, 1600, 3000];

/** Each does its harm at once and returns what takes it back. */
type Fault = (world: World, node: SimNode) => (() => void) | undefined;

const killed: Fault = (world, node) => {
  world.kill(node);
  return () => world.start(node);
};

const stopped: Fault = (world, node) => {
  const { process } = node;
  const part = world.pick(['keeper', 'workers', 'both', 'both', 'both'] as const);
  world.stop(node, part);
  return () => {
    if (part === 'workers' || !world.leavesHung || node.process !== process) world.goOn(node);
  };
};

/** Whoever is active: most of what can go wrong concerns it. */
function activeOr(world: World, node: SimNode): SimNode {
  return world.living.find(({ elector }) => elector.facts().role === 'active') ?? node;
}

const isolated: Fault = (world, node) => {
  const isOneWay = world.isHit(0.4);
  const isNoticed = world.isHit(0.5);
  for (const other of world.nodes) {
    if (other === node || world.isHit(0.3)) continue;
    world.cut(node, other, isNoticed);
    if (!isOneWay) world.cut(other, node, isNoticed);
  }
  return () => world.healLinks();
};

const slowLinks: Fault = (world) => {
  world.network.delayMsMax = world.between(5, 400);
  return () => {
    world.network.delayMsMax = 3;
  };
};

const storeAway: Fault = (world) => {
  const { timed } = world;
  if (timed === undefined) return undefined;
  timed.mode = world.pick(['away', 'refusing']);
  return () => timed.back();
};

/** Requests and answers of all nodes are slow or lost. */
const storeTrouble: Fault = (world) => {
  const { timed } = world;
  if (timed === undefined) return undefined;
  const part = (): number => (world.isHit(0.5) ? world.between(0, 0.6) : 0);
  const faults = {
    requestLoss: part(),
    answerLoss: part(),
    requestDelay: part(),
    answerDelay: part(),
    delayMsMax: world.between(50, 4000),
  };
  for (const { name } of world.nodes) timed.trouble(name, faults);
  return () => timed.heal();
};

/** Questions and answers overtake each other while the lease comes free, again and again. */
const overtaking: Fault = (world, node) => {
  const { timed } = world;
  if (timed === undefined) return undefined;
  const faults = { ...QUIET, requestDelay: 0.6, answerDelay: 0.8, delayMsMax: world.pick([400, 600]) };
  for (const { name } of world.nodes) timed.trouble(name, faults);
  for (let turn = 0; turn < 8; turn++)
    world.scheduler.after(turn * 400, undefined, () => {
      const active = activeOr(world, node);
      if (active.process?.isAlive && !active.process.isStopped) active.elector.fenced('a write was refused');
    });
  return () => timed.heal();
};

/** One node and the store: answers come late for a while, then nothing reaches the store, or nothing comes back. */
const storeLost: Fault = (world, node) => {
  const { timed } = world;
  if (timed === undefined) return undefined;
  const lost = world.isHit(0.7) ? { ...QUIET, requestLoss: 1 } : { ...QUIET, answerLoss: 1 };
  const isSlowFirst = world.isHit(0.5);
  const slow = { ...QUIET, answerDelay: 1, delayMsMax: world.between(300, 1300) };
  timed.trouble(node.name, isSlowFirst ? slow : lost);
  let isOver = !isSlowFirst;
  world.scheduler.after(world.between(50, 900), undefined, () => {
    if (!isOver) timed.trouble(node.name, lost);
  });
  return () => {
    isOver = true;
    timed.heal();
  };
};

const badDuties: Fault = (world, node) => {
  const part = (): number => (world.isHit(0.4) ? world.between(0.3, 1) : 0);
  node.faults = {
    promoteFails: part(),
    quiesceFails: part(),
    unquiesceFails: part(),
    demoteFails: part(),
    hangs: part(),
    // With a timed lease a cut that fails has taken longer than was assumed.
    cutFails: world.kind === 'kernel' ? part() : 0,
    promoteMsMax: world.pick([60, 60, 800, 2500]),
  };
  return () => {
    node.faults = WELL;
  };
};

/** A switchover of which a step or two go wrong, and what takes them back too. */
const badSwitchover: Fault = (world, node) => {
  const active = activeOr(world, node);
  const part = (): number => (world.isHit(0.5) ? world.pick([0.5, 1]) : 0);
  active.faults = {
    ...WELL,
    quiesceFails: part(),
    unquiesceFails: part(),
    demoteFails: part(),
    hangs: world.isHit(0.2) ? 1 : 0,
    cutFails: world.kind === 'kernel' ? part() : 0,
  };
  const timeoutMs = world.pick([100, 400, 1000]);
  world.scheduler.after(world.between(0, 200), undefined, () => world.switchover(active, null, timeoutMs));
  return () => {
    active.faults = WELL;
  };
};

/** The active hangs, and for a while nobody can end it. */
const noFencing: Fault = (world, node) => {
  world.fenceFails = world.pick([0.5, 1, 1]);
  world.fenceTroubles++;
  if (world.isHit(0.7)) world.stop(activeOr(world, node), 'both');
  return () => {
    if (--world.fenceTroubles === 0) world.fenceFails = 0;
  };
};

const switchover: Fault = (world, node) => {
  const to = world.isHit(0.5) ? null : world.pick(world.nodes).name;
  const timeoutMs = world.pick([100, 400, 1000, 3000]);
  world.switchover(world.isHit(0.5) ? node : activeOr(world, node), to, timeoutMs);
  if (!world.isHit(0.5)) return undefined;
  // Something happens in the middle of it.
  const victim = world.pick(world.nodes);
  const harm = world.pick([killed, stopped, isolated]);
  let heal: (() => void) | undefined;
  world.scheduler.after(world.random.fraction() ** 2 * 300, undefined, () => {
    heal = harm(world, victim);
  });
  return () => heal?.();
};

const ended: Fault = (world, node) => {
  void world.end(node);
  return undefined;
};

const toldFenced: Fault = (_, node) => {
  if (node.process?.isAlive && !node.process.isStopped) node.elector.fenced('a write was refused');
  return undefined;
};

const NEXT_LOOK_MS = 4;

/** The active dies, and then something happens to the one that takes over while it starts. */
const badStart: Fault = (world, node) => {
  const first = activeOr(world, node);
  world.kill(first);
  const harm = world.pick([killed, stopped, ended, toldFenced, isolated]);
  let heal: (() => void) | undefined;
  let isOver = false;
  const look = (looks: number): void => {
    const starting = world.living.find(({ duties }) => duties.isStarting);
    if (isOver) return;
    if (starting !== undefined) heal = harm(world, starting);
    else if (looks > 0) world.scheduler.after(NEXT_LOOK_MS, undefined, () => look(looks - 1));
  };
  look(world.kind === 'kernel' ? 30 : 500);
  return () => {
    isOver = true;
    heal?.();
    world.start(first);
  };
};

/** Told again and again that it is not active, in whatever it is about, starts that fail included. */
const pestered: Fault = (world, node) => {
  const { process } = node;
  node.faults = { ...WELL, promoteFails: 0.5 };
  for (let call = 0; call < 12; call++)
    world.scheduler.after(world.random.fraction() ** 2 * 500, process, () =>
      node.elector.fenced('a write was refused'),
    );
  return () => {
    node.faults = WELL;
  };
};

const FAULTS: readonly Fault[] = [
  killed,
  killed,
  stopped,
  stopped,
  stopped,
  isolated,
  slowLinks,
  storeAway,
  storeTrouble,
  overtaking,
  storeLost,
  storeLost,
  badDuties,
  badSwitchover,
  badStart,
  badStart,
  noFencing,
  noFencing,
  switchover,
  switchover,
  switchover,
  ended,
  toldFenced,
  pestered,
];

/** Sets all faults of the seed, of these kinds only if they are named. Returns when the last is healed, in ms. */
export function planFaults(world: World, focus: readonly string[]): number {
  const count = 1 + Math.floor(world.random.fraction() * FAULTS_MAX);
  // A few kinds per seed, often: what needs one of them several times, or two together, comes up far sooner than with all of them mixed.
  const all = focus.length === 0 ? FAULTS : FAULTS.filter(({ name }) => focus.includes(name));
  const kinds = Array.from({ length: 1 + Math.floor(world.random.fraction() * KINDS_MAX) }, () => world.pick(all));
  let lastMs = FIRST_FAULT_MS;
  for (let index = 0; index < count; index++) {
    const atMs = FIRST_FAULT_MS + world.random.fraction() * WINDOW_MS;
    const forMs = world.pick(STOPS_MS) + world.between(-20, 20);
    const fault = world.pick(kinds);
    lastMs = Math.max(lastMs, atMs + forMs);
    world.scheduler.at(atMs, undefined, () => {
      const node = world.pick(world.nodes);
      world.note(`fault: ${fault.name}`);
      const heal = fault(world, world.isHit(0.5) ? activeOr(world, node) : node);
      if (heal !== undefined) world.scheduler.after(forMs, undefined, heal);
    });
  }
  // Whatever is left undone: a node that was ended late, one that was killed while it was stopped.
  const endMs = lastMs + 400;
  world.scheduler.at(endMs, undefined, () => {
    world.healLinks();
    world.timed?.heal();
    world.fenceFails = 0;
    for (const node of world.nodes) {
      node.faults = WELL;
      const { holder } = world.leases;
      const hangs = world.leavesHung && node.process?.isStopped && node.process.holder === holder;
      if (!hangs || world.living.length < 2) world.goOn(node);
      world.start(node);
    }
  });
  return endMs;
}
