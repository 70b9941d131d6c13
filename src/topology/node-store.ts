/**
 * What a keeper holds of the store: its node's name, leases and terms, the other nodes that share it. One for each engine; workers open the
 * engine itself (engine-table.ts).
 */
import type { TandemConfig } from '../config/tandem-config.ts';
import type { PeerNetwork } from '../core/contracts/cluster.ts';
import type { LeaseGrant, LeaseStore } from '../core/contracts/engine.ts';
import type { Logger } from '../core/contracts/telemetry.ts';
import { TandemError } from '../core/errors.ts';
import { systemClock } from '../core/ports/clock.ts';
import { systemRandom } from '../core/ports/random.ts';
import { diskProblem } from '../health/store-problems.ts';
import { NodeLinks } from '../supervisor/node-links.ts';
import { holderOf, type NodeId, NodeRegistry, nodeOf } from '../supervisor/node-registry.ts';
import type { ProcessRoll } from '../supervisor/process-roll.ts';
import { type ConsumerPauses, OwnPauses } from './consumer-pauses.ts';

export interface NodeStore {
  /** As a holder of leases. */
  readonly holder: string;
  readonly leases: LeaseStore;
  /** As EngineCapabilities.provesDeath. */
  readonly provesDeath: boolean;
  /** Leases among the nodes that share this node's data folder: they end with their process. */
  readonly folderLeases: LeaseStore;
  readonly peers: PeerNetwork;
  /** Of this node's processes. undefined: they share nothing that outlives them. */
  readonly roll: ProcessRoll | undefined;
  /** As they were at the latest claim. */
  readonly pauses: ConsumerPauses;
  /** For a new active, before anything is read: claims the term, then reads what the keeper needs. Errors: as Engine.claim. */
  claim(term: number): Promise<void>;
  /** The role's lease is held as this grant: what is to be given back if the node dies and something is left that can. */
  noteGrant(grant: LeaseGrant): void;
  /** Slots are this node's own, whoever is active: its workers have them open all the time. False: they come with the role. */
  readonly ownsSlots: boolean;
  /** A term for a slot, above all earlier ones. `right` is the role's grant, if slots come with it. Errors: TANDEM_TERM_FENCED. */
  issueSlotTerm(right: LeaseGrant | undefined): Promise<number>;
  /** Ends what dead nodes have left running, by force and at once; resolves when it is gone. Errors: TANDEM_PEER_LOST (it does not end). */
  endDead(): Promise<void>;
  /** Why nothing can be stored; undefined: it can. */
  problem(): Promise<string | undefined>;
  close(): Promise<void>;
}

/** Errors: TANDEM_DATA_LOCKED (a node of this name runs), TANDEM_DATA_VERSION, TANDEM_DISK_FULL, TANDEM_STORE_FAILED. */
export type OpenNodeStore = (config: TandemConfig, logger: Logger) => Promise<NodeStore>;

/** The pid stands in it for people. */
const newIncarnation = (): string => `${process.pid}-${systemRandom.id(4)}`;
const nameLease = (name: string): string => `node/${name}`;

export const openEmbeddedNodeStore: OpenNodeStore = async (config, logger) => {
  const { dataFolder, name } = config;
  const { openStateDatabase, storeError } = await import('../engines/embedded/state-database.ts');
  const { Leases } = await import('../engines/embedded/leases.ts');
  const state = openStateDatabase(dataFolder);
  const held = new Leases({ state, dataDir: dataFolder });
  const self: NodeId = { name, incarnation: newIncarnation() };
  const registry = new NodeRegistry(dataFolder);
  const leases = persistently(held, () => endDead(registry, held, self, logger));
  try {
    await takeName(leases, self, dataFolder);
    await endEarlier(registry, self, logger);
    const roll = registry.rollOf(self);
    roll.add(process.pid);
    const links = new NodeLinks({ registry, self, heartbeatTimeoutMs: config.cluster.heartbeatTimeoutMs });
    const pauses = new OwnPauses(
      () => state.pausedConsumers(),
      (consumer, isPaused) => state.setConsumerPaused(consumer, isPaused),
    );
    return {
      ...{ holder: holderOf(self), leases, provesDeath: true, folderLeases: leases, peers: links, roll, pauses },
      endDead: () => endDead(registry, held, self, logger),
      noteGrant() {},
      ownsSlots: false,
      async claim(term) {
        state.claim(term);
        pauses.reload();
      },
      issueSlotTerm: (right) => leases.issueTerm(heldRight(right)),
      problem: () => diskProblem(dataFolder),
      async close() {
        links.close();
        registry.remove(self);
        held.close();
        state.close();
      },
    };
  } catch (error) {
    held.close();
    state.close();
    throw storeError(error);
  }
};

function heldRight(right: LeaseGrant | undefined): LeaseGrant {
  if (right === undefined) throw new TandemError('TANDEM_TERM_FENCED', { detail: 'the lease is lost' });
  return right;
}

/**
 * A process that was stopped while it wrote to the state database keeps that locked. If its keeper is dead nobody else will end it, and no
 * lease could be had.
 */
function persistently(leases: LeaseStore, endDead: () => Promise<void>): LeaseStore {
  return {
    async acquire(name, holder, ttlMs) {
      try {
        return await leases.acquire(name, holder, ttlMs);
      } catch {
        await endDead();
        return leases.acquire(name, holder, ttlMs);
      }
    },
    renew: (grant, ttlMs) => leases.renew(grant, ttlMs),
    release: (grant, reserveFor) => leases.release(grant, reserveFor),
    issueTerm: (grant) => leases.issueTerm(grant),
    holder: (name) => leases.holder(name),
  };
}

async function takeName(leases: LeaseStore, self: NodeId, dataFolder: string): Promise<void> {
  const lease = nameLease(self.name);
  if ((await leases.acquire(lease, holderOf(self), 0)) !== undefined) return;
  const other = await leases.holder(lease);
  const pid = other === undefined ? '' : ` (process ${nodeOf(other.holder).incarnation.split('-')[0]})`;
  const detail = `node ${JSON.stringify(self.name)} runs already on ${dataFolder}${pid}`;
  throw new TandemError('TANDEM_DATA_LOCKED', { detail });
}

/** Processes of this name's earlier incarnations: their keeper is dead, since we have the name. */
async function endEarlier(registry: NodeRegistry, self: NodeId, logger: Logger): Promise<void> {
  for (const node of registry.list()) if (node.name === self.name) await endNode(registry, node, logger);
}

/** Processes of all nodes whose keeper is dead. */
async function endDead(registry: NodeRegistry, leases: LeaseStore, self: NodeId, logger: Logger): Promise<void> {
  const others = registry.list().filter((node) => holderOf(node) !== holderOf(self));
  await Promise.all(
    others.map(async (node) => {
      const holder = await leases.holder(nameLease(node.name));
      if (holder?.holder !== holderOf(node)) await endNode(registry, node, logger);
    }),
  );
}

async function endNode(registry: NodeRegistry, node: NodeId, logger: Logger): Promise<void> {
  const ended = await registry.rollOf(node).endAll();
  if (ended.length > 0) logger.warn('earlier_processes_ended', { of: holderOf(node), pids: ended });
  registry.remove(node);
}

/** All in this process: there is nobody to share it with, and nothing that outlives it. */
export const openMemoryNodeStore: OpenNodeStore = async ({ name, limits }) => {
  const { openMemoryEngine } = await import('../engines/memory/memory-engine.ts');
  const { leases } = openMemoryEngine({ clock: systemClock, random: systemRandom, limits, member: 'keeper' });
  const holder = holderOf({ name, incarnation: newIncarnation() });
  const pauses = new OwnPauses(
    () => [],
    () => {},
  );
  return {
    ...{ holder, leases, provesDeath: true, folderLeases: leases, peers: NO_PEERS, roll: undefined, pauses },
    noteGrant() {},
    ownsSlots: false,
    claim: () => Promise.resolve(),
    issueSlotTerm: (right) => leases.issueTerm(heldRight(right)),
    endDead: () => Promise.resolve(),
    problem: () => Promise.resolve(undefined),
    close: () => Promise.resolve(),
  };
};

const NO_PEERS: PeerNetwork = {
  peers: [],
  tell() {},
  onEvent() {},
  onRequest() {},
  request: () => Promise.reject(new TandemError('TANDEM_PEER_LOST', { detail: 'this node is alone' })),
  fence: () => Promise.reject(new TandemError('TANDEM_PEER_LOST', { detail: 'this node is alone' })),
};
