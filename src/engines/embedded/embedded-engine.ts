/**
 * The embedded engine: the whole engine contract on files of one folder, for the worker processes of one node.
 *
 *   <dataDir>/state.db                      topics, epochs, terms, leases, committed offsets, producers (state-database.ts)
 *   <dataDir>/journal-<slot>/<n>.seg, .idx  segments and their sidecars (log/segment-format.ts, log/sidecar-format.ts), made smaller
 *                                           and fewer by compaction (compactor.ts)
 *   <dataDir>/journal-<slot>/<n>.trail      what is durable of the segment that is being written (log/trail-format.ts)
 *   <dataDir>/journal-<slot>/lock           held by the process that writes the journal (exclusive-lock.ts)
 *   <dataDir>/run/slot-<slot>.sock          where the other slots' processes reach this one (peers/)
 *
 * Each partition is written by one slot (ownership.ts), each slot by one process. Slots may be more or fewer at the next start: journals
 * of slots that are no more are recovered by those that are left, and a partition's older records lie wherever they were written.
 *
 * Opening has three phases. `prepareEmbeddedEngine` does what needs no slot, so that a process can wait for one and take it in milliseconds; it
 * has no right to anything, writes nothing that another process reads, and costs nothing but memory while it waits. `take` locks and
 * recovers the slot's own journals (recovery.ts). Then the slot takes up its partitions from the sealed segments of all
 * journals; that needs every slot's second phase done. So at the start of a node all slots open before the first one uses a record:
 * either through `afterRecovery`, or by waiting for all opens before the first use. A slot that is replaced later waits for nobody.
 *
 * Non-goals: replication, several nodes on one folder, network file systems.
 */
import { join } from 'node:path';
import { TandemError } from '../../core/errors.ts';
import type {
  EmbeddedEngineOptions,
  PreparedSettings,
  PrepareOptions,
  Settings,
  TakeOptions,
} from './engine-settings.ts';
import { DEFAULT_SETTINGS } from './engine-settings.ts';
import type { ExclusiveLock } from './exclusive-lock.ts';
import { acquireExclusiveLock } from './exclusive-lock.ts';
import type { FrontOptions } from './front-engine.ts';
import { FrontEngine } from './front-engine.ts';
import { journalFolder, journalsOf } from './journal-folders.ts';
import { SegmentSupply } from './log/segment-supply.ts';
import type { EmbeddedEngine } from './opened-engine.ts';
import { OpenedEngine } from './opened-engine.ts';
import { journalOwner } from './ownership.ts';
import { ProducerStates } from './producers.ts';
import { publishSlots } from './published-slots.ts';
import type { RecoveryReport, UnsealedSegment } from './recovery.ts';
import { JournalRecovery } from './recovery.ts';
import { SealedSegments } from './sealed-segments.ts';
import type { StateDatabase } from './state-database.ts';
import { openStateDatabase, storeError } from './state-database.ts';
import { Topics } from './topics.ts';

export type { EmbeddedEngineOptions } from './engine-settings.ts';
export type { EmbeddedEngine } from './opened-engine.ts';

export interface PreparedEngine {
  /**
   * Opens the engine of a slot. Once; if it fails nothing is left open. Errors: TANDEM_DATA_LOCKED, TANDEM_DATA_VERSION, TANDEM_DISK_FULL,
   * TANDEM_STORE_FAILED, TANDEM_TERM_FENCED.
   */
  take(options: TakeOptions): Promise<EmbeddedEngine>;
  /**
   * Opens an engine without a slot (front-engine.ts). Instead of `take`; if it fails nothing is left open. Errors: TANDEM_DISK_FULL,
   * TANDEM_STORE_FAILED.
   */
  front(options: FrontOptions & Pick<PrepareOptions, 'logger'>): Promise<FrontEngine>;
  /** For one that is not needed. Idempotent; nothing happens after `take` and `front`. */
  close(): void;
}

/** Gets ready to take a slot. Errors: TANDEM_DATA_VERSION, TANDEM_DISK_FULL, TANDEM_STORE_FAILED. */
export async function prepareEmbeddedEngine(options: PrepareOptions): Promise<PreparedEngine> {
  const prepared = new Preparation(options);
  await prepared.follow();
  return prepared;
}

/** Opens the engine of a slot. Errors as PreparedEngine.take. */
export async function openEmbeddedEngine(options: EmbeddedEngineOptions): Promise<EmbeddedEngine> {
  return new Preparation(options).take(options);
}

class Preparation implements PreparedEngine {
  readonly #settings: PreparedSettings;
  readonly #state: StateDatabase;
  readonly #topics: Topics;
  readonly #producers: ProducerStates;
  readonly #sealed: SealedSegments;
  #isUsed = false;

  constructor(options: PrepareOptions) {
    const settings = { ...DEFAULT_SETTINGS, ...options };
    const { clock, disk, dataDir, limits, random } = settings;
    this.#settings = settings;
    const state = openStateDatabase(dataDir, settings);
    this.#state = state;
    try {
      this.#topics = new Topics(state, random, limits);
      this.#topics.refresh();
      this.#producers = new ProducerStates(state, clock, limits);
    } catch (error) {
      state.close();
      throw storeError(error);
    }
    this.#sealed = new SealedSegments({ disk, clock, dataDir, storeId: state.storeId, topics: this.#topics });
  }

  follow(): Promise<void> {
    return this.#sealed.follow();
  }

  async take(options: TakeOptions): Promise<EmbeddedEngine> {
    this.#use();
    const settings = { ...this.#settings, ...options };
    const opening = new SlotOpening(settings, {
      state: this.#state,
      topics: this.#topics,
      producers: this.#producers,
      sealed: this.#sealed,
    });
    try {
      return await opening.run();
    } catch (error) {
      await opening.undo();
      this.#state.close();
      throw error instanceof TandemError ? error : storeError(error);
    }
  }

  async front(options: FrontOptions & Pick<PrepareOptions, 'logger'>): Promise<FrontEngine> {
    this.#use();
    try {
      return new FrontEngine({ ...this.#settings, ...options }, this.#state, this.#topics);
    } catch (error) {
      this.#state.close();
      throw error instanceof TandemError ? error : storeError(error);
    }
  }

  close(): void {
    if (this.#isUsed) return;
    this.#use();
    this.#state.close();
  }

  #use(): void {
    if (this.#isUsed) throw new TandemError('TANDEM_INTERNAL', { detail: 'a prepared engine is used once' });
    this.#isUsed = true;
    this.#sealed.stop();
  }
}

interface Parts {
  readonly state: StateDatabase;
  readonly topics: Topics;
  readonly producers: ProducerStates;
  readonly sealed: SealedSegments;
}

/** Locks and recovers a slot's journal and those of slots that are no more. */
class SlotOpening {
  readonly #settings: Settings;
  readonly #parts: Parts;
  readonly #locks: ExclusiveLock[] = [];
  #supply: SegmentSupply | undefined;

  constructor(settings: Settings, parts: Parts) {
    this.#settings = settings;
    this.#parts = parts;
  }

  async run(): Promise<EmbeddedEngine> {
    const { clock, disk, dataDir, logger, slot } = this.#settings;
    const { state, topics } = this.#parts;
    const startMs = clock.monotonicMs();
    state.term.actUnder(slot.slotTerm);
    state.raiseTerm(slot.slotTerm);
    topics.refresh();
    disk.makeFolderSync(journalFolder(dataDir, slot.slot));
    const report: RecoveryReport = { segments: 0, batches: 0, scannedBytes: 0, tornTails: 0, damages: 0 };
    const { recovery, supply } = await this.#lockOwn(report);
    publishSlots(state, slot.slots);
    const lockedMs = clock.monotonicMs();
    const unsealed: UnsealedSegment[] = [...recovery.run()];
    for (const journal of journalsOf(disk, dataDir)) {
      if (journal === slot.slot || journalOwner(journal, slot.slots) !== slot.slot) continue;
      unsealed.push(...(await this.#lock(journal, report)).run());
    }
    const recoveredMs = clock.monotonicMs();
    await this.#settings.afterRecovery?.();
    topics.refresh();
    await supply.ready();
    const foundation = { ...this.#parts, locks: this.#locks, supply, unsealed, report };
    const engine = new OpenedEngine(this.#settings, foundation);
    const spent = (from: number, to: number): number => Math.round((to - from) * 100) / 100;
    const recoveryMs = spent(lockedMs, recoveredMs);
    const ms = { lockMs: spent(startMs, lockedMs), recoveryMs, openMs: spent(recoveredMs, clock.monotonicMs()) };
    logger.info('slot_taken', { ...report, ...ms });
    return engine;
  }

  /** Gives back what was taken. */
  async undo(): Promise<void> {
    await this.#supply?.close().catch(() => {});
    for (const lock of this.#locks) lock.release();
  }

  /** The segment in which the journal goes on is made while the earlier ones are read. */
  async #lockOwn(report: RecoveryReport): Promise<{ recovery: JournalRecovery; supply: SegmentSupply }> {
    const { dataDir, slot } = this.#settings;
    const recovery = await this.#lock(slot.slot, report);
    const supply = new SegmentSupply({
      ...this.#settings,
      ...slot,
      storeId: this.#parts.state.storeId,
      folder: journalFolder(dataDir, slot.slot),
      firstSequence: recovery.lastSequence + 1,
    });
    this.#supply = supply;
    supply.prepare();
    return { recovery, supply };
  }

  async #lock(journal: number, report: RecoveryReport): Promise<JournalRecovery> {
    const { clock, dataDir, lockWaitMs, slot } = this.#settings;
    const folder = journalFolder(dataDir, journal);
    this.#locks.push(await acquireExclusiveLock(join(folder, 'lock'), { waitMs: lockWaitMs, clock }));
    return new JournalRecovery({ ...this.#settings, ...this.#parts, ...slot }, folder, journal, report);
  }
}
