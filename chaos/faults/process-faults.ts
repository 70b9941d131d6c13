/** Faults of processes: killed, stopped (SIGSTOP) for less and for more than the limits, told to end. The dead are started again. */
import { until } from '../../src/core/testing/until.ts';
import type { NodeUnderTest } from '../node-under-test.ts';
import { isAlive, processId, signal } from '../processes.ts';
import { pause } from '../producers/producer.ts';
import { type Fault, type NodesWorld, pick, spanMs, type World } from './fault.ts';

/** A killed process is gone within this. */
const END_TIMEOUT_MS = 10_000;

/** What tells how long a node may hang. */
interface HangWorld extends Pick<World, 'complain'> {
  readonly limits: Pick<World['limits'], 'nodeMs'>;
}

/** The active node; while nobody is, any that runs. */
export function activeOf({ cluster, roles }: NodesWorld, choice: number): NodeUnderTest | undefined {
  return (
    roles.active ??
    pick(
      cluster.nodes.filter((node) => node.isRunning),
      choice,
    )
  );
}

export function standbyOf(world: NodesWorld, choice: number): NodeUnderTest | undefined {
  const active = activeOf(world, choice);
  return pick(
    world.cluster.nodes.filter((node) => node !== active && node.isRunning),
    choice,
  );
}

export async function killWorker(world: World, { choice }: Fault): Promise<string> {
  const node = activeOf(world, choice);
  node?.killWorker(choice);
  return `a worker of ${node?.name}`;
}

export async function killKeeper(world: World, { choice, pauseMs }: Fault): Promise<string> {
  const node = activeOf(world, choice);
  await node?.killKeeper();
  await revive([node], pauseMs);
  return `keeper of ${node?.name}`;
}

export async function killNodes(nodes: readonly (NodeUnderTest | undefined)[], { pauseMs }: Pick<Fault, 'pauseMs'>) {
  await Promise.all(nodes.map((node) => node?.killAll()));
  await revive(nodes, pauseMs);
  return nodesText(nodes);
}

export async function stopWorker(world: World, { choice, amount, isAlone }: Fault): Promise<string> {
  const node = activeOf(world, choice);
  const pid = node?.pickWorker(choice);
  const id = pid === undefined ? undefined : processId(pid);
  const stoppedMs = spanMs(world.limits.workerMs, amount);
  if (id === undefined) return 'no worker to stop';
  signal(id.pid, 'SIGSTOP');
  await pause(stoppedMs);
  const wasEnded = !isAlive(id);
  if (!wasEnded) signal(id.pid, 'SIGCONT');
  else if (isAlone && stoppedMs <= world.limits.workerMs / 2)
    world.complain(`EARLY: a worker of ${node?.name} that hung for ${stoppedMs} ms was ended`);
  return `a worker of ${node?.name} for ${stoppedMs} ms${wasEnded ? ', ended' : ''}`;
}

export async function stopKeeper(world: World, { choice, amount, pauseMs, isAlone }: Fault): Promise<string> {
  const node = activeOf(world, choice);
  if (node === undefined) return 'no keeper to stop';
  node.harm();
  const { keeperPid } = node;
  signal(keeperPid, 'SIGSTOP');
  return hung(world, [node], { stoppedMs: spanMs(world.limits.nodeMs, amount), pauseMs, isAlone }, () =>
    signal(keeperPid, 'SIGCONT'),
  );
}

export async function stopNodes(
  world: HangWorld,
  given: readonly (NodeUnderTest | undefined)[],
  { amount, pauseMs, isAlone }: Omit<Fault, 'name'>,
): Promise<string> {
  const nodes = given.flatMap((node) => node ?? []);
  for (const node of nodes) node.hang();
  return hung(world, nodes, { stoppedMs: spanMs(world.limits.nodeMs, amount), pauseMs, isAlone }, () => {
    for (const node of nodes) node.wake();
  });
}

interface Hang {
  readonly stoppedMs: number;
  readonly pauseMs: number;
  readonly isAlone: boolean;
}

async function hung(
  world: HangWorld,
  nodes: readonly NodeUnderTest[],
  { stoppedMs, pauseMs, isAlone }: Hang,
  wake: () => void,
): Promise<string> {
  const lives = nodes.flatMap(({ lives }) => lives.at(-1) ?? []);
  await pause(stoppedMs);
  const ended = lives.filter(({ endedMs }) => endedMs !== undefined);
  wake();
  if (isAlone && stoppedMs <= world.limits.nodeMs / 2)
    for (const { node } of ended) world.complain(`EARLY: node ${node} that hung for ${stoppedMs} ms was ended`);
  // One that has ended all of another's processes may be at it just now.
  await pause(world.limits.nodeMs / 4);
  await revive(nodes, pauseMs);
  return `${nodesText(nodes)} for ${stoppedMs} ms${ended.length > 0 ? `, ${ended.map(({ node }) => node)} ended` : ''}`;
}

export async function restart(world: World, { choice, pauseMs, isAlone }: Fault): Promise<string> {
  const node = pick(
    world.cluster.nodes.filter(({ isRunning }) => isRunning),
    choice,
  );
  if (node === undefined) return 'nothing to restart';
  const role = world.roles.active === node ? 'active' : 'standby';
  const code = await node.stop();
  if (isAlone && code !== 0) world.complain(`EXIT: node ${node.name} ended with ${code} when it was told to end`);
  await revive([node], pauseMs);
  return `${role} ${node.name}`;
}

/** Starts again those that do not run, after a pause. */
export async function revive(nodes: readonly (NodeUnderTest | undefined)[], pauseMs: number): Promise<void> {
  await pause(pauseMs);
  for (const node of nodes) {
    if (node === undefined || node.isRunning) continue;
    await until(
      () => `the processes of ${node.name} are gone: ${node.survivors().map(({ pid }) => pid)}`,
      () => node.survivors().length === 0,
      END_TIMEOUT_MS,
    );
    node.spawn();
  }
}

const nodesText = (nodes: readonly (NodeUnderTest | undefined)[]): string =>
  nodes.map((node) => node?.name ?? 'nobody').join(', ');
