/**
 * The embedded engine: the whole engine contract on files of one folder, for the worker processes of the nodes that share it.
 *
 *   <dataDir>/state.db                      topics, epochs, terms, leases, committed offsets, producers (state-database.ts)
 *   <dataDir>/claimed-term                  the highest term that was claimed at the store (store-term.ts)
 *   <dataDir>/leases/<name>.lock, .held     held by the process that has the lease (leases.ts)
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
 * has no right to anything, writes nothing that another process reads, and costs nothing but memory while it waits. `recover` locks and
 * recovers the slot's own journals (recovery.ts). Then `open`: the slot takes up its partitions from the sealed segments of all
 * journals. That needs every slot recovered, so a node opens its slots, or at least uses a record, when it has recovered all. A slot that is
 * replaced later waits for nobody.
 *
 * Non-goals: replication, network file systems.
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
import type { LeftToDo, RecoveryReport, UnsealedSegment } from './recovery.ts';
import { JournalRecovery } from './recovery.ts';
import { SealedSegments } from './sealed-segments.ts';
import type { StateDatabase } from './state-database.ts';
import { openStateDatabase, storeError } from './state-database.ts';
import { Topics } from './topics.ts';

export type { EmbeddedEngineOptions } from './engine-settings.ts';
export type { EmbeddedEngine } from './opened-engine.ts';

export interface PreparedEngine {
  /**
   * Locks and recovers a slot. Once; if it fails nothing is left open. Errors: TANDEM_DATA_LOCKED, TANDEM_DATA_VERSION, TANDEM_DISK_FULL,
   * TANDEM_STORE_FAILED, TANDEM_TERM_FENCED.
   */
  recover(options: TakeOptions): Promise<RecoveredSlot>;
  /** `recover` and `open`, for a slot that has to wait for no other. */
  take(options: TakeOptions): Promise<EmbeddedEngine>;
  /**
   * Opens an engine without a slot (front-engine.ts). Instead of `recover`; if it fails nothing is left open. Errors: TANDEM_DISK_FULL,
   * TANDEM_STORE_FAILED.
   */
  front(options: FrontOptions & Pick<PrepareOptions, 'logger'>): Promise<FrontEngine>;
  /** For one that is not needed. Idempotent; nothing happens after the other calls. */
  close(): void;
}

export interface RecoveredSlot {
  /**
   * When all slots are recovered: opens the engine; from here on other processes reach it. Once; if it fails nothing is left open. Errors:
   * TANDEM_DISK_FULL, TANDEM_STORE_FAILED.
   */
  open(): Promise<EmbeddedEngine>;
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

  async recover(options: TakeOptions): Promise<RecoveredSlot> {
    this.#use();
    const settings = { ...this.#settings, ...options };
    const opening = new SlotOpening(settings, {
      state: this.#state,
      topics: this.#topics,
      producers: this.#producers,
      sealed: this.#sealed,
    });
    await opening.recover();
    return opening;
  }

  async take(options: TakeOptions): Promise<EmbeddedEngine> {
    return (await this.recover(options)).open();
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

/** Of a slot's journal and those of slots that are no more. */
class SlotOpening implements RecoveredSlot {
  readonly #settings: Settings;
  readonly #parts: Parts;
  readonly #locks: ExclusiveLock[] = [];
  readonly #unsealed: UnsealedSegment[] = [];
  readonly #leftOvers: string[] = [];
  readonly #report: RecoveryReport = { segments: 0, batches: 0, scannedBytes: 0, tornTails: 0, damages: 0 };
  #supply: SegmentSupply | undefined;

  constructor(settings: Settings, parts: Parts) {
    this.#settings = settings;
    this.#parts = parts;
  }

  recover(): Promise<void> {
    return this.#orUndo(() => this.#recover());
  }

  open(): Promise<EmbeddedEngine> {
    return this.#orUndo(() => this.#open());
  }

  /** If `action` fails, gives back what was taken. */
  async #orUndo<T>(action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (error) {
      await this.#supply?.close().catch(() => {});
      for (const lock of this.#locks) lock.release();
      this.#parts.state.close();
      throw error instanceof TandemError ? error : storeError(error);
    }
  }

  async #recover(): Promise<void> {
    const { clock, disk, dataDir, logger, slot } = this.#settings;
    const { state, topics } = this.#parts;
    const startMs = clock.monotonicMs();
    state.term.actUnder(slot.slotTerm);
    state.raiseTerm(slot.slotTerm);
    topics.refresh();
    disk.makeFolderSync(journalFolder(dataDir, slot.slot));
    const own = await this.#lockOwn();
    publishSlots(state, slot.slots);
    const lockedMs = clock.monotonicMs();
    this.#note(own.run());
    for (const journal of journalsOf(disk, dataDir)) {
      if (journal === slot.slot || journalOwner(journal, slot.slots) !== slot.slot) continue;
      this.#note((await this.#lock(journal)).run());
    }
    const lockMs = roundedMs(lockedMs - startMs);
    logger.info('slot_recovered', { ...this.#report, lockMs, recoveryMs: roundedMs(clock.monotonicMs() - lockedMs) });
  }

  async #open(): Promise<EmbeddedEngine> {
    const supply = this.#supply as SegmentSupply;
    this.#parts.topics.refresh();
    await supply.ready();
    const found = { unsealed: this.#unsealed, leftOvers: this.#leftOvers, report: this.#report };
    return new OpenedEngine(this.#settings, { ...this.#parts, ...found, locks: this.#locks, supply });
  }

  #note({ unsealed, leftOvers }: LeftToDo): void {
    this.#unsealed.push(...unsealed);
    this.#leftOvers.push(...leftOvers);
  }

  /** The segment in which the journal goes on is made while the earlier ones are read. */
  async #lockOwn(): Promise<JournalRecovery> {
    const { dataDir, slot } = this.#settings;
    const recovery = await this.#lock(slot.slot);
    const supply = new SegmentSupply({
      ...this.#settings,
      ...slot,
      storeId: this.#parts.state.storeId,
      folder: journalFolder(dataDir, slot.slot),
      firstSequence: recovery.lastSequence + 1,
    });
    this.#supply = supply;
    supply.prepare();
    return recovery;
  }

  async #lock(journal: number): Promise<JournalRecovery> {
    const { clock, dataDir, lockWaitMs, slot } = this.#settings;
    const folder = journalFolder(dataDir, journal);
    this.#locks.push(await acquireExclusiveLock(join(folder, 'lock'), { waitMs: lockWaitMs, clock }));
    return new JournalRecovery({ ...this.#settings, ...this.#parts, ...slot }, folder, journal, this.#report);
  }
}

const roundedMs = (ms: number): number => Math.round(ms * 100) / 100;
