/** Lets a fault happen. Resolves with what was done when it is over and the dead are started again. */
import { pause } from '../producers/producer.ts';
import { type Fault, spanMs, type World } from './fault.ts';
import { badNetwork } from './network-faults.ts';
import {
  activeOf,
  killKeeper,
  killNodes,
  killWorker,
  restart,
  standbyOf,
  stopKeeper,
  stopNodes,
  stopWorker,
} from './process-faults.ts';
import { switchOver } from './switchover-fault.ts';

export function inject(fault: Fault, world: World): Promise<string> {
  const { name, choice } = fault;
  const { nodes } = world.cluster;
  switch (name) {
    case 'kill-worker':
      return killWorker(world, fault);
    case 'kill-keeper':
      return killKeeper(world, fault);
    case 'kill-active':
      return killNodes([activeOf(world, choice)], fault);
    case 'kill-standby':
      return killNodes([standbyOf(world, choice)], fault);
    case 'kill-two':
      return killNodes([activeOf(world, choice), standbyOf(world, choice)], fault);
    case 'kill-all':
      return killNodes(nodes, fault);
    case 'stop-worker':
      return stopWorker(world, fault);
    case 'stop-keeper':
      return stopKeeper(world, fault);
    case 'stop-active':
      return stopNodes(world, [activeOf(world, choice)], fault);
    case 'stop-standby':
      return stopNodes(world, [standbyOf(world, choice)], fault);
    case 'stop-all':
      return stopNodes(world, nodes, fault);
    case 'block-loop':
      return blockLoop(world, fault);
    case 'full-disk':
      return fillDisk(world, fault);
    case 'network':
      return badNetwork(world, fault);
    case 'switchover':
      return switchOver(world, fault);
    case 'restart':
      return restart(world, fault);
  }
}

async function blockLoop({ blocker, limits }: World, { amount }: Fault): Promise<string> {
  const forMs = spanMs(limits.workerMs, amount);
  await blocker.block(forMs);
  await pause(forMs);
  return `for ${forMs} ms`;
}

async function fillDisk({ disk }: World, { pauseMs }: Fault): Promise<string> {
  if (disk === undefined) return 'no disk to fill';
  await disk.fill();
  await pause(pauseMs);
  disk.free();
  return `for ${Math.round(pauseMs)} ms`;
}
