/**
 * The embedded engine: the whole engine contract on files of one folder, for the worker processes of one node.
 *
 *   <dataDir>/state.db                      topics, epochs, terms, leases, committed offsets, producers (state-database.ts)
 *   <dataDir>/journal-<slot>/<n>.seg, .idx  segments and their sidecars (log/segment-format.ts, log/sidecar-format.ts), made smaller
 *                                           and fewer by compaction (compactor.ts)
 *   <dataDir>/journal-<slot>/lock           held by the process that writes the journal (exclusive-lock.ts)
 *   <dataDir>/run/slot-<slot>.sock          where the other slots' processes reach this one (peers/)
 *
 * Each partition is written by one slot (ownership.ts), each slot by one process. Slots may be more or fewer at the next start: journals
 * of slots that are no more are recovered by those that are left, and a partition's older records lie wherever they were written.
 *
 * Opening has two phases. First a slot recovers its own journals. Then it takes up its partitions from the sealed segments of all
 * journals; that needs every slot's first phase done. So at the start of a node all slots open before the first one uses a record:
 * either through `afterRecovery`, or by waiting for all opens before the first use. A slot that is replaced later waits for nobody.
 *
 * Non-goals: replication, several nodes on one folder, network file systems.
 */
import { join } from 'node:path';
import type { Engine, EngineCapabilities, TopicCatalog } from '../../core/contracts/engine.ts';
import type { Logger, MetricSample, MetricSource } from '../../core/contracts/telemetry.ts';
import { silentLogger } from '../../core/contracts/telemetry.ts';
import type { WorkerSlot } from '../../core/contracts/worker.ts';
import { asTandemError, TandemError } from '../../core/errors.ts';
import type { Limits } from '../../core/limits.ts';
import { DEFAULT_LIMITS } from '../../core/limits.ts';
import type { Clock, Timer } from '../../core/ports/clock.ts';
import { systemClock } from '../../core/ports/clock.ts';
import type { Disk } from '../../core/ports/disk.ts';
import { systemDisk } from '../../core/ports/disk.ts';
import type { Random } from '../../core/ports/random.ts';
import { systemRandom } from '../../core/ports/random.ts';
import { Compactor } from './compactor.ts';
import { sampleMetrics } from './embedded-metrics.ts';
import type { ExclusiveLock } from './exclusive-lock.ts';
import { acquireExclusiveLock } from './exclusive-lock.ts';
import { Groups } from './groups.ts';
import { Leases } from './leases.ts';
import { journalFolder, LocalStore } from './local-store.ts';
import { journalOwner } from './ownership.ts';
import { Peers } from './peers/peers.ts';
import { ProducerStates } from './producers.ts';
import { EmbeddedRecordStore } from './record-store.ts';
import type { RecoveryReport } from './recovery.ts';
import { recoverJournal, sealedSegments } from './recovery.ts';
import { Retention } from './retention.ts';
import type { StateDatabase } from './state-database.ts';
import { openStateDatabase, storeError } from './state-database.ts';
import { Topics } from './topics.ts';

export interface EmbeddedEngineOptions {
  readonly dataDir: string;
  readonly slot: Pick<WorkerSlot, 'slot' | 'slots' | 'slotTerm'>;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly disk?: Disk;
  readonly logger?: Logger;
  readonly limits?: Limits;
  readonly segmentBytes?: number;
  /** How often retention is applied and topics of other processes are looked for. */
  readonly retentionIntervalMs?: number;
  readonly topicsIntervalMs?: number;
  /** How long to wait for an earlier process of the slot to end. */
  readonly lockWaitMs?: number;
  /** Awaited after this slot's journals are recovered and before anything else. */
  readonly afterRecovery?: () => Promise<void>;
  /** The journal has failed for good: this process should end, so that another one recovers it. */
  readonly onFailed?: (error: TandemError) => void;
}

const MIB = 1024 * 1024;
const DEFAULTS = {
  clock: systemClock,
  random: systemRandom,
  disk: systemDisk,
  logger: silentLogger,
  limits: DEFAULT_LIMITS as Limits,
  segmentBytes: 64 * MIB,
  retentionIntervalMs: 10_000,
  topicsIntervalMs: 500,
  lockWaitMs: 10_000,
  onFailed: (_error: TandemError): void => {},
};

type Settings = typeof DEFAULTS & EmbeddedEngineOptions;

const CAPABILITIES: EngineCapabilities = { isDurable: true, isShared: true, provesDeath: true, reopens: true };

export interface EmbeddedEngine extends Engine, MetricSource {
  /** Applies retention now and deletes what it can; resolves when done. Never rejects. */
  applyRetention(): Promise<void>;
  /** Compacts now what is worth it, at its pace; resolves when done. Never rejects. */
  compact(): Promise<void>;
}

/** Opens the engine of a slot. Errors: TANDEM_DATA_LOCKED, TANDEM_DATA_VERSION, TANDEM_DISK_FULL, TANDEM_STORE_FAILED. */
export async function openEmbeddedEngine(options: EmbeddedEngineOptions): Promise<EmbeddedEngine> {
  const settings: Settings = { ...DEFAULTS, ...options };
  const locks: ExclusiveLock[] = [];
  let state: StateDatabase | undefined;
  try {
    state = openStateDatabase(settings.dataDir, settings);
    state.term.actUnder(settings.slot.slotTerm);
    state.raiseTerm(settings.slot.slotTerm);
    const topics = new Topics(state, settings.random, settings.limits);
    topics.refresh();
    const producers = new ProducerStates(state, settings.clock, settings.limits);
    const { firstSequence, report } = await recoverOwn(settings, { state, topics, producers, locks });
    await settings.afterRecovery?.();
    topics.refresh();
    return new OpenedEngine(settings, { state, topics, producers, locks, firstSequence, report });
  } catch (error) {
    for (const lock of locks) lock.release();
    state?.close();
    throw error instanceof TandemError ? error : storeError(error);
  }
}

interface Foundation {
  readonly state: StateDatabase;
  readonly topics: Topics;
  readonly producers: ProducerStates;
  readonly locks: ExclusiveLock[];
}

/** Locks and recovers this slot's journal and those of slots that are no more. */
async function recoverOwn(
  settings: Settings,
  foundation: Foundation,
): Promise<{ firstSequence: number; report: RecoveryReport }> {
  const { disk, dataDir, clock, lockWaitMs, slot } = settings;
  const report: RecoveryReport = { scannedSegments: 0, tornTails: 0, damages: 0 };
  let firstSequence = 1;
  disk.makeFolderSync(journalFolder(dataDir, slot.slot));
  for (const journal of journalsOf(disk, dataDir)) {
    if (journalOwner(journal, slot.slots) !== slot.slot) continue;
    const folder = journalFolder(dataDir, journal);
    foundation.locks.push(await acquireExclusiveLock(join(folder, 'lock'), { waitMs: lockWaitMs, clock }));
    const highest = recoverJournal({ ...settings, ...foundation, slots: slot.slots }, folder, journal, report);
    if (journal === slot.slot) firstSequence = highest + 1;
  }
  return { firstSequence, report };
}

function journalsOf(disk: Disk, dataDir: string): number[] {
  const journals: number[] = [];
  for (const name of disk.listSync(dataDir)) {
    const match = /^journal-(\d+)$/.exec(name);
    if (match !== null) journals.push(Number(match[1]));
  }
  return journals.sort((a, b) => a - b);
}

class OpenedEngine implements EmbeddedEngine {
  readonly capabilities = CAPABILITIES;
  readonly topics: TopicCatalog;
  readonly store: EmbeddedRecordStore;
  readonly groups: Groups;
  readonly leases: Leases;
  readonly #settings: Settings;
  readonly #foundation: Foundation & { readonly report: RecoveryReport };
  readonly #local: LocalStore;
  readonly #peers: Peers;
  readonly #retention: Retention;
  readonly #compactor: Compactor;
  readonly #timers = new Map<string, Timer>();
  #closing: Promise<void> | undefined;

  constructor(
    settings: Settings,
    foundation: Foundation & { readonly firstSequence: number; readonly report: RecoveryReport },
  ) {
    const { slot, slots } = settings.slot;
    const { state, topics, producers } = foundation;
    this.#settings = settings;
    this.#foundation = foundation;
    this.topics = topics;
    this.groups = new Groups(state, topics, slot, slots);
    this.leases = new Leases({ ...settings, state });
    this.#local = new LocalStore({
      ...settings,
      ...settings.slot,
      ...foundation,
      loadSegments: () =>
        journalsOf(settings.disk, settings.dataDir).flatMap((journal) =>
          sealedSegments(settings.disk, journalFolder(settings.dataDir, journal), journal),
        ),
    });
    this.#peers = new Peers({ ...settings, slot, slots, term: state.term, own: () => this.store.own });
    this.store = new EmbeddedRecordStore({
      local: this.#local,
      term: state.term,
      topics,
      slot,
      slots,
      peer: (owner) => this.#peers.store(owner),
    });
    this.#retention = new Retention({
      ...settings,
      store: this.#local,
      term: state.term,
      topics,
      producers,
      slot,
      slots,
    });
    const { storeId } = state;
    this.#compactor = new Compactor({ ...settings, store: this.#local, topics, storeId, slot, slots });
    this.#repeat('retention', settings.retentionIntervalMs, () => void this.#reclaim());
    this.#repeat('topics', settings.topicsIntervalMs, () => this.#refreshTopics());
  }

  async identity(): Promise<string> {
    if (this.#closing !== undefined) throw new TandemError('TANDEM_DRAINING');
    return 'embedded 1';
  }

  async claim(term: number): Promise<void> {
    this.#foundation.state.claim(term);
  }

  applyRetention(): Promise<void> {
    return this.#retention.apply();
  }

  compact(): Promise<void> {
    return this.#compactor.run();
  }

  metrics(): MetricSample[] {
    const { report } = this.#foundation;
    return sampleMetrics(this.#local, this.#retention, this.#compactor, this.#peers, report);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #reclaim(): Promise<void> {
    await this.#retention.apply();
    await this.#compactor.run();
  }

  async #close(): Promise<void> {
    this.store.close();
    this.#foundation.topics.close();
    for (const timer of this.#timers.values()) timer.cancel();
    this.groups.close();
    const { state, locks } = this.#foundation;
    try {
      await this.#peers.drain();
      await this.#compactor.close();
      await this.#retention.idle();
      await this.#local.close();
    } catch (error) {
      throw asTandemError(error, 'TANDEM_STORE_FAILED');
    } finally {
      this.#peers.close();
      this.leases.close();
      state.close();
      for (const lock of locks) lock.release();
    }
  }

  #refreshTopics(): void {
    try {
      this.#foundation.topics.refresh();
    } catch (error) {
      this.#settings.logger.warn('topics_not_refreshed', { error: String(error) });
    }
  }

  #repeat(name: string, intervalMs: number, action: () => void): void {
    const again = (): void => {
      if (this.#closing !== undefined) return;
      action();
      this.#timers.set(name, this.#settings.clock.after(intervalMs, again));
    };
    this.#timers.set(name, this.#settings.clock.after(intervalMs, again));
  }
}
