/**
 * Which engine the config's `engine` means: the one place. Modules load when they are wanted, so a driver that is not configured is never
 * loaded, and the keeper does not load what only workers need.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EngineKind, TandemConfig } from '../config/tandem-config.ts';
import type { Engine } from '../core/contracts/engine.ts';
import type { Logger, MetricSource } from '../core/contracts/telemetry.ts';
import type { WorkerSlot } from '../core/contracts/worker.ts';
import { asTandemError, TandemError } from '../core/errors.ts';
import { systemClock } from '../core/ports/clock.ts';
import { systemRandom } from '../core/ports/random.ts';
import { diskProblem } from '../health/store-problems.ts';
import { ProcessRoll } from '../supervisor/process-roll.ts';
import { ConsumerPauses } from './consumer-pauses.ts';

/** What the keeper holds of a store: the node's exclusive right to it, and the terms. */
export interface NodeStore {
  /** Above all terms ever issued here; durable at return. */
  nextTerm(): number;
  /** Of the node's worker processes; those of an earlier keeper have ended. undefined: they share nothing that outlives them. */
  readonly roll: ProcessRoll | undefined;
  readonly pauses: ConsumerPauses;
  /** Why nothing can be stored; undefined: it can. */
  problem(): Promise<string | undefined>;
  close(): void;
}

/** Phase one of a worker's start: recovers what the slot owns; uses nothing of other slots. */
export type OpenEngine = (config: TandemConfig, slot: WorkerSlot, logger: Logger) => Promise<OpenedEngine>;

/** An engine may count. */
export type OpenedEngine = Engine & Partial<MetricSource>;

interface EngineEntry {
  /** For the keeper. Errors: TANDEM_DATA_LOCKED, TANDEM_DATA_VERSION, TANDEM_DISK_FULL, TANDEM_STORE_FAILED. */
  openNodeStore(config: TandemConfig, logger: Logger): Promise<NodeStore>;
  /** For workers: loads the modules. */
  load(): Promise<OpenEngine>;
  /** For a spare, when it has nothing to do: makes `OpenEngine` quick. */
  warmUp(): Promise<void>;
}

export const ENGINES: { readonly [kind in EngineKind]: EngineEntry } = {
  embedded: {
    openNodeStore: openDataFolder,
    async load() {
      const { openEmbeddedEngine } = await import('../engines/embedded/embedded-engine.ts');
      return (config, slot, logger) =>
        openEmbeddedEngine({ dataDir: config.dataFolder, slot, limits: config.limits, logger, onFailed: endProcess });
    },
    async warmUp() {
      const { warmUpRecovery } = await import('../engines/embedded/warm-up.ts');
      warmUpRecovery();
    },
  },
  memory: {
    openNodeStore: () => Promise.resolve(memoryNodeStore()),
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

function memoryNodeStore(): NodeStore {
  let term = 0;
  const pauses = new ConsumerPauses([], () => {});
  return { nextTerm: () => ++term, roll: undefined, pauses, problem: () => Promise.resolve(undefined), close() {} };
}

/** Names who holds the folder, for the message to whoever comes second. Proves nothing: the lock does. */
const HOLDER_FILE = 'keeper.json';

async function openDataFolder({ dataFolder }: TandemConfig, logger: Logger): Promise<NodeStore> {
  const { openStateDatabase } = await import('../engines/embedded/state-database.ts');
  const { acquireExclusiveLock } = await import('../engines/embedded/exclusive-lock.ts');
  const state = openStateDatabase(dataFolder);
  try {
    const lock = await acquireExclusiveLock(join(dataFolder, 'keeper.lock'), { waitMs: 0 });
    const roll = new ProcessRoll(join(dataFolder, 'run', 'workers'));
    const ended = await roll.endAll();
    if (ended.length > 0) logger.warn('earlier_workers_ended', { pids: ended });
    await writeFile(join(dataFolder, HOLDER_FILE), `${JSON.stringify({ pid: process.pid })}\n`).catch(() => {});
    return {
      nextTerm: () => state.nextTerm(),
      roll,
      pauses: new ConsumerPauses(state.pausedConsumers(), (name, isPaused) => state.setConsumerPaused(name, isPaused)),
      problem: () => diskProblem(dataFolder),
      close() {
        state.close();
        lock.release();
      },
    };
  } catch (thrown) {
    state.close();
    const error = asTandemError(thrown);
    if (error.code !== 'TANDEM_DATA_LOCKED') throw error;
    throw new TandemError('TANDEM_DATA_LOCKED', { detail: `${dataFolder}${await holderText(dataFolder)}` });
  }
}

async function holderText(dataFolder: string): Promise<string> {
  try {
    const { pid } = JSON.parse(await readFile(join(dataFolder, HOLDER_FILE), 'utf8')) as { pid: number };
    return ` is held by process ${pid}`;
  } catch {
    return '';
  }
}
