/** What a seed does to its world: faults at random moments of a window; at its end all are healed and all nodes run. */
import { WELL } from './sim-duties.fixture.ts';
import type { SimNode, World } from './world.fixture.ts';

const FIRST_FAULT_MS = 300;
const WINDOW_MS = 3000;
const FAULTS_MAX = 9;
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

const storeTrouble: Fault = (world) => {
  const { timed } = world;
  if (timed === undefined) return undefined;
  if (world.isHit(0.4)) {
    timed.mode = world.pick(['away', 'refusing']);
    return () => timed.back();
  }
  timed.faults = {
    requestLoss: world.isHit(0.5) ? world.between(0, 0.5) : 0,
    answerLoss: world.isHit(0.5) ? world.between(0, 0.5) : 0,
    requestDelay: world.isHit(0.5) ? world.between(0, 0.5) : 0,
    delayMsMax: world.between(50, 4000),
  };
  return () => timed.heal();
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

const noFencing: Fault = (world) => {
  world.fenceFails = world.pick([0.5, 1]);
  return () => {
    world.fenceFails = 0;
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

const FAULTS: readonly Fault[] = [
  killed,
  killed,
  stopped,
  stopped,
  stopped,
  isolated,
  slowLinks,
  storeTrouble,
  storeTrouble,
  badDuties,
  noFencing,
  switchover,
  switchover,
  switchover,
  ended,
  toldFenced,
];

/** Sets all faults of the seed. Returns when the last is healed, in ms. */
export function planFaults(world: World): number {
  const count = 1 + Math.floor(world.random.fraction() * FAULTS_MAX);
  let lastMs = FIRST_FAULT_MS;
  for (let index = 0; index < count; index++) {
    const atMs = FIRST_FAULT_MS + world.random.fraction() * WINDOW_MS;
    const forMs = world.pick(STOPS_MS) + world.between(-20, 20);
    const fault = world.pick(FAULTS);
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
