/**
 * The memory engine: the whole engine contract without a disk. It is the model that other engines are compared with, and the store in
 * the tests of other stages; it is also what `engine: memory` gives. Simple before fast.
 *
 * Several engines on one `MemoryStore` are several processes on one folder: they share everything, each has its own appends in hand,
 * memberships and leases. `kill` is the death of one of them.
 * Appends of a tick are stored and answered together in the next check phase. Nothing survives the store object.
 */
import type { Engine, EngineCapabilities, TopicCatalog, TopicInfo } from '../../core/contracts/engine.ts';
import { TandemError } from '../../core/errors.ts';
import { AppendFaults } from './append-faults.ts';
import { MemoryGroups } from './memory-groups.ts';
import { MemoryLeases } from './memory-leases.ts';
import { MemoryRecords } from './memory-records.ts';
import { MemoryStore, type MemoryStoreOptions } from './memory-store.ts';
import { MemoryTerm } from './memory-term.ts';

export { MemoryStore } from './memory-store.ts';

export interface MemoryEngineOptions extends MemoryStoreOptions {
  /** Absent: a store of its own. Present: `bytesMax` here is ignored, the store has its own. */
  readonly store?: MemoryStore;
  /** For messages only. */
  readonly member?: string;
}

export interface MemoryEngine extends Engine {
  readonly faults: AppendFaults;
  /** The shared data, for tests that fill it up or lose it. */
  readonly shared: MemoryStore;
  /** Dies as a process does: appends in hand are not stored (and rejected with TANDEM_STORE_FAILED), memberships end, leases stay until they time out. Idempotent. */
  kill(): void;
}

const CAPABILITIES: EngineCapabilities = {
  ...{ isDurable: false, isShared: true, provesDeath: false, reopens: true },
  takesOrigins: true,
  ack: 'memory',
};

/** Opens a member. Cannot fail. */
export function openMemoryEngine(options: MemoryEngineOptions): MemoryEngine {
  const shared = options.store ?? new MemoryStore(options);
  const member = options.member ?? 'memory';
  let isOpen = true;
  const requireOpen = (): void => {
    if (!isOpen) throw new TandemError('TANDEM_DRAINING', { detail: `${member} is closed` });
  };
  const faults = new AppendFaults();
  const term = new MemoryTerm(shared);
  const store = new MemoryRecords(shared, term, requireOpen, faults);
  const groups = new MemoryGroups(shared, term, requireOpen);
  const leases = new MemoryLeases(shared, requireOpen);
  const end = (endRecords: () => void): void => {
    isOpen = false;
    endRecords();
    groups.leaveAll();
  };
  return {
    capabilities: CAPABILITIES,
    topics: topicsOf(shared, requireOpen),
    store,
    groups,
    leases,
    faults,
    shared,
    async claim(claimed) {
      requireOpen();
      term.claim(claimed);
    },
    async identity() {
      requireOpen();
      return 'memory 1';
    },
    async close() {
      if (!isOpen) return;
      end(() => store.close());
      leases.releaseAll();
    },
    kill() {
      if (isOpen) end(() => store.kill());
    },
  };
}

function topicsOf(shared: MemoryStore, requireOpen: () => void): TopicCatalog {
  return {
    peek: (name) => shared.findTopic(name),
    async ensure(topic: TopicInfo) {
      requireOpen();
      return shared.ensureTopic(topic);
    },
    async find(name) {
      requireOpen();
      return shared.findTopic(name);
    },
    async list() {
      requireOpen();
      return shared.listTopics();
    },
  };
}
