/**
 * Which engine the config's `engine` means: the one place. Modules load when they are wanted, so a driver that is not configured is never
 * loaded, and the keeper does not load what only workers need.
 */
import type { EngineKind, RedisEngineConfig, TandemConfig } from '../config/tandem-config.ts';
import { TandemError } from '../core/errors.ts';
import { systemClock } from '../core/ports/clock.ts';
import { systemRandom } from '../core/ports/random.ts';
import { type OpenNodeStore, openEmbeddedNodeStore, openMemoryNodeStore } from './node-store.ts';
import type { PreparedEngine } from './prepared-engine.ts';

interface EngineEntry {
  /** The store is a folder of one machine, whose parts only one node at a time can write. False: a server, to which all nodes write. */
  readonly isFolder: boolean;
  /** For the keeper. */
  readonly openNodeStore: OpenNodeStore;
  /** For workers: everything that needs no slot. Errors: TANDEM_DATA_VERSION, TANDEM_DISK_FULL, TANDEM_STORE_FAILED. */
  prepare(config: TandemConfig): Promise<PreparedEngine>;
}

export const ENGINES: { readonly [kind in EngineKind]: EngineEntry } = {
  embedded: {
    isFolder: true,
    openNodeStore: openEmbeddedNodeStore,
    async prepare({ dataFolder: dataDir, limits, cluster }) {
      const { prepareEmbeddedEngine } = await import('../engines/embedded/embedded-engine.ts');
      const hasFronts = cluster.mode === 'active-active';
      const prepared = await prepareEmbeddedEngine({ dataDir, limits, hasFronts, onFailed: endProcess });
      return {
        recover: async (slot, logger) =>
          slot.isFront
            ? { open: () => prepared.front({ slots: slot.slots, logger }) }
            : prepared.recover({ slot, logger }),
        async warmUp(signal) {
          const { warmUp } = await import('../engines/embedded/warm-up.ts');
          await warmUp(signal);
        },
      };
    },
  },
  memory: {
    isFolder: true,
    openNodeStore: openMemoryNodeStore,
    async prepare({ limits }) {
      const { openMemoryEngine } = await import('../engines/memory/memory-engine.ts');
      const options = { clock: systemClock, random: systemRandom, limits };
      return {
        recover: async ({ slot }) => ({ open: async () => openMemoryEngine({ ...options, member: `worker ${slot}` }) }),
        warmUp: () => Promise.resolve(),
      };
    },
  },
  redis: {
    isFolder: false,
    async openNodeStore(config, logger) {
      if (config.cluster.mode === 'single') return openEmbeddedNodeStore(config, logger);
      const { openRedisNodeStore } = await import('./redis-node-store.ts');
      return openRedisNodeStore(config, redisOf(config), logger);
    },
    async prepare(config) {
      const { prepareRedisEngine } = await import('./redis-engine.ts');
      return prepareRedisEngine(config, redisOf(config), endProcess);
    },
  },
};

/** Every node serves clients, and those that do not have the store reach it through the one that has it. */
export const hasFronts = ({ engine, cluster }: TandemConfig): boolean =>
  cluster.mode === 'active-active' && ENGINES[engine.kind].isFolder;

/** This node serves whatever others do: it has its store to itself, or all write to it at once. */
export const servesAlone = ({ engine, cluster }: TandemConfig): boolean =>
  cluster.mode === 'single' || (cluster.mode === 'active-active' && !ENGINES[engine.kind].isFolder);

/** The config's own engine settings. */
function redisOf({ engine }: TandemConfig): RedisEngineConfig {
  if (engine.kind !== 'redis') throw new TandemError('TANDEM_INTERNAL', { detail: `engine ${engine.kind}` });
  return engine;
}

/** A journal that cannot go on is recovered by the next process of the slot. */
function endProcess(error: TandemError): void {
  process.nextTick(() => {
    throw error;
  });
}
