/** Lets a fault happen. Resolves with what was done when it is over and the dead are started again. */
import { pick, spanMs } from '../faults/fault.ts';
import { killNodes, revive, stopNodes } from '../faults/process-faults.ts';
import { switchOver } from '../faults/switchover-fault.ts';
import type { NodeUnderTest } from '../node-under-test.ts';
import { isAlive, processId, signal } from '../processes.ts';
import { pause } from '../producers/producer.ts';
import { cutMaster, cutNode } from './network-partings.ts';
import type { RedisFault, RedisFaultName, RedisWorld } from './redis-fault.ts';
import { failOver, killAllServers, killServer, restartServer, stopServers } from './server-faults.ts';

/** What a node says of itself reaches the others over Redis. */
const HEARSAY_MS = 5000;

type Injection = (world: RedisWorld, fault: RedisFault) => Promise<string>;

const INJECTIONS: { readonly [name in RedisFaultName]: Injection } = {
  'kill-master': async (world, fault) => killServer(world, await world.site.master(fault.choice), fault),
  'restart-master': async (world, { choice }) => restartServer(world, await world.site.master(choice), false),
  'empty-master': async (world, { choice }) => restartServer(world, await world.site.master(choice), true),
  'stop-master': async (world, fault) =>
    stopServers(world, [await world.site.master(fault.choice)], world.limits.serverMs, fault),
  'kill-replica': async (world, fault) => killServer(world, await world.site.replica(fault.choice), fault),
  'empty-replica': async (world, { choice }) => restartServer(world, await world.site.replica(choice), true),
  'stop-replica': async (world, fault) =>
    stopServers(world, [await world.site.replica(fault.choice)], world.limits.serverMs, fault),
  'kill-sentinel': (world, fault) => killServer(world, world.site.sentinel(fault.choice), fault),
  'stop-sentinel': (world, fault) =>
    stopServers(world, [world.site.sentinel(fault.choice)], world.limits.serverMs, fault),
  'kill-redis': killAllServers,
  'stop-redis': (world, fault) => stopServers(world, world.site.all, world.limits.leaseMs, fault),
  failover: failOver,
  'cut-master': (world, fault) => cutMaster(world, fault, 'none'),
  'cut-master-with-node': (world, fault) => cutMaster(world, fault, 'others'),
  'cut-master-from-nodes': (world, fault) => cutMaster(world, fault, 'all'),
  'cut-node': (world, fault) => cutNode(world, nodeOf(world, fault), 'both', fault),
  'cut-node-hearing': (world, fault) => cutNode(world, nodeOf(world, fault), 'to-servers', fault),
  'cut-node-speaking': (world, fault) => cutNode(world, nodeOf(world, fault), 'to-nodes', fault),
  'kill-worker': killWorker,
  'stop-worker': stopWorker,
  'kill-keeper': killKeeper,
  'stop-keeper': stopKeeper,
  'kill-node': (world, fault) => killNodes([nodeOf(world, fault)], fault),
  'stop-node': (world, fault) => stopNodes(hangWorld(world), [nodeOf(world, fault)], fault),
  'restart-node': restartNode,
  'kill-two': (world, fault) => killNodes(twoNodes(world, fault), fault),
  'kill-all': (world, fault) => killNodes(world.nodes.nodes, fault),
  switchover: (world, fault) => switchOver({ ...world, cluster: world.nodes }, fault, HEARSAY_MS),
};

export const injectRedis = (fault: RedisFault, world: RedisWorld): Promise<string> =>
  INJECTIONS[fault.name](world, fault);

const running = ({ nodes }: RedisWorld): NodeUnderTest[] => nodes.nodes.filter(({ isRunning }) => isRunning);

/** Any; where one serves at a time that one more often than others. */
function nodeOf(world: RedisWorld, { choice }: RedisFault): NodeUnderTest | undefined {
  const { active } = world.roles;
  if (world.nodes.mode === 'active-standby' && active !== undefined && choice < 0.6) return active;
  return pick(running(world), choice);
}

function twoNodes(world: RedisWorld, fault: RedisFault): (NodeUnderTest | undefined)[] {
  const first = nodeOf(world, fault);
  return [first, running(world).find((node) => node !== first)];
}

/** Nobody ends a node that hangs on a host of its own: its lease ends. */
const hangWorld = ({ limits, complain }: RedisWorld) => ({ limits: { nodeMs: limits.leaseMs }, complain });

async function killWorker(world: RedisWorld, fault: RedisFault): Promise<string> {
  const node = nodeOf(world, fault);
  node?.killWorker(fault.amount);
  return `a worker of ${node?.name}`;
}

async function stopWorker(world: RedisWorld, fault: RedisFault): Promise<string> {
  const node = nodeOf(world, fault);
  const pid = node?.pickWorker(fault.amount);
  const id = pid === undefined ? undefined : processId(pid);
  if (id === undefined) return 'no worker to stop';
  const stoppedMs = spanMs(world.limits.workerMs, fault.amount);
  signal(id.pid, 'SIGSTOP');
  await pause(stoppedMs);
  if (isAlive(id)) signal(id.pid, 'SIGCONT');
  return `a worker of ${node?.name} for ${stoppedMs} ms`;
}

async function killKeeper(world: RedisWorld, fault: RedisFault): Promise<string> {
  const node = nodeOf(world, fault);
  await node?.killKeeper();
  await revive([node], fault.pauseMs);
  return `keeper of ${node?.name}`;
}

async function stopKeeper(world: RedisWorld, fault: RedisFault): Promise<string> {
  const node = nodeOf(world, fault);
  if (node === undefined) return 'no keeper to stop';
  node.harm();
  const { keeperPid } = node;
  const stoppedMs = spanMs(world.limits.leaseMs, fault.amount);
  signal(keeperPid, 'SIGSTOP');
  await pause(stoppedMs);
  signal(keeperPid, 'SIGCONT');
  return `keeper of ${node.name} for ${stoppedMs} ms`;
}

async function restartNode(world: RedisWorld, fault: RedisFault): Promise<string> {
  const node = nodeOf(world, fault);
  if (node === undefined) return 'nobody';
  const code = await node.stop();
  if (fault.isAlone && code !== 0) world.complain(`EXIT: node ${node.name} ended with ${code} when it was told to end`);
  await revive([node], fault.pauseMs);
  return node.name;
}
