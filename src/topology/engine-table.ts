/**
 * Which engine the config's `engine` means: the one place. Modules load when they are wanted, so a driver that is not configured is never
 * loaded, and the keeper does not load what only workers need.
 */
import type { EngineKind, TandemConfig } from '../config/tandem-config.ts';
import type { Engine } from '../core/contracts/engine.ts';
import type { Logger, MetricSource } from '../core/contracts/telemetry.ts';
import type { WorkerSlot } from '../core/contracts/worker.ts';
import type { TandemError } from '../core/errors.ts';
import { systemClock } from '../core/ports/clock.ts';
import { systemRandom } from '../core/ports/random.ts';
import { type OpenNodeStore, openEmbeddedNodeStore, openMemoryNodeStore } from './node-store.ts';

/** Phase one of a worker's start: recovers what the slot owns; uses nothing of other slots. */
export type OpenEngine = (config: TandemConfig, slot: WorkerSlot, logger: Logger) => Promise<OpenedEngine>;

/** An engine may count. */
export type OpenedEngine = Engine & Partial<MetricSource>;

interface EngineEntry {
  /** For the keeper. */
  readonly openNodeStore: OpenNodeStore;
  /** For workers: loads the modules. */
  load(): Promise<OpenEngine>;
  /** For a spare, when it has nothing to do: makes `OpenEngine` quick. */
  warmUp(): Promise<void>;
}

export const ENGINES: { readonly [kind in EngineKind]: EngineEntry } = {
  embedded: {
    openNodeStore: openEmbeddedNodeStore,
    async load() {
      const { openEmbeddedEngine } = await import('../engines/embedded/embedded-engine.ts');
      return (config, slot, logger) =>
        openEmbeddedEngine({ dataDir: config.dataFolder, slot, limits: config.limits, logger, onFailed: endProcess });
    },
    async warmUp() {
      const { warmUp } = await import('../engines/embedded/warm-up.ts');
      await warmUp(new AbortController().signal);
    },
  },
  memory: {
    openNodeStore: openMemoryNodeStore,
    async load() {
      const { openMemoryEngine } = await import('../engines/memory/memory-engine.ts');
      return (config, { slot }) => {
        const options = { clock: systemClock, random: systemRandom, limits: config.limits, member: `worker ${slot}` };
        return Promise.resolve(openMemoryEngine(options));
      };
    },
    warmUp: () => Promise.resolve(),
  },
};

/** A journal that cannot go on is recovered by the next process of the slot. */
function endProcess(error: TandemError): void {
  process.nextTick(() => {
    throw error;
  });
}
