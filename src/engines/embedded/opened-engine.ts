/** The engine of a slot, opened: what works together in it, and in which order it ends. How it is opened: embedded-engine.ts. */
import type { EngineCapabilities, TopicCatalog } from '../../core/contracts/engine.ts';
import type { Admission, SpoolLog } from '../../core/contracts/spool-log.ts';
import type { MetricSample, MetricSource } from '../../core/contracts/telemetry.ts';
import { asTandemError, TandemError } from '../../core/errors.ts';
import type { Timer } from '../../core/ports/clock.ts';
import { Compactor } from './compactor.ts';
import { sampleMetrics } from './embedded-metrics.ts';
import type { Settings } from './engine-settings.ts';
import type { ExclusiveLock } from './exclusive-lock.ts';
import { Groups } from './groups.ts';
import { Leases } from './leases.ts';
import { LocalStore } from './local-store.ts';
import type { Segment } from './log/segment.ts';
import type { SegmentSupply } from './log/segment-supply.ts';
import { Peers } from './peers/peers.ts';
import type { ProducerStates } from './producers.ts';
import { EmbeddedRecordStore } from './record-store.ts';
import type { LeftToDo, RecoveryReport } from './recovery.ts';
import { Retention } from './retention.ts';
import type { SealedSegments } from './sealed-segments.ts';
import type { StateDatabase } from './state-database.ts';
import type { Topics } from './topics.ts';

export const IDENTITY = 'embedded 1';
export const CAPABILITIES: EngineCapabilities = {
  ...{ isDurable: true, isShared: true, provesDeath: true, reopens: true },
  takesOrigins: false,
  ack: 'flushed',
};

export interface EmbeddedEngine extends SpoolLog, MetricSource {
  /** Names the store for as long as its state database lives; another one has another name. */
  readonly storeId: string;
  /** Applies retention now and deletes what it can; resolves when done. Never rejects. */
  applyRetention(): Promise<void>;
  /** Compacts now what is worth it, at its pace; resolves when done. Never rejects. */
  compact(): Promise<void>;
}

/** What recovery leaves to the engine. */
export interface EngineFoundation extends LeftToDo {
  readonly state: StateDatabase;
  readonly topics: Topics;
  readonly producers: ProducerStates;
  readonly sealed: SealedSegments;
  readonly locks: readonly ExclusiveLock[];
  readonly supply: SegmentSupply;
  readonly report: RecoveryReport;
}

export class OpenedEngine implements EmbeddedEngine {
  readonly capabilities = CAPABILITIES;
  readonly topics: TopicCatalog;
  readonly store: EmbeddedRecordStore;
  readonly groups: Groups;
  readonly leases: Leases;
  readonly #settings: Settings;
  readonly #foundation: EngineFoundation;
  readonly #local: LocalStore;
  readonly #peers: Peers;
  readonly #retention: Retention;
  readonly #compactor: Compactor;
  readonly #timers = new Map<string, Timer>();
  #closing: Promise<void> | undefined;

  /** What is in `foundation` is this engine's own from here on. */
  constructor(settings: Settings, foundation: EngineFoundation) {
    const { slot, slots } = settings.slot;
    const { state, topics, producers } = foundation;
    this.#settings = settings;
    this.#foundation = foundation;
    this.topics = topics;
    this.groups = new Groups(state, topics, slot, slots);
    this.leases = new Leases({ ...settings, state });
    const loadSegments = (): Segment[] => foundation.sealed.all();
    this.#local = new LocalStore({ ...settings, ...settings.slot, ...foundation, loadSegments });
    // With one slot there is nobody to talk to, unless there are fronts.
    const server = slots > 1 || settings.hasFronts ? { slot, own: () => this.store.own } : undefined;
    this.#peers = new Peers({ ...settings, term: state.term, server });
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
    const { storeId, term } = state;
    this.#compactor = new Compactor({ ...settings, store: this.#local, topics, term, storeId, slot, slots });
    this.#repeat('retention', settings.retentionIntervalMs, () => void this.#reclaim());
    this.#repeat('topics', settings.topicsIntervalMs, () => this.#refresh());
  }

  async identity(): Promise<string> {
    if (this.#closing !== undefined) throw new TandemError('TANDEM_DRAINING');
    return IDENTITY;
  }

  async claim(term: number): Promise<void> {
    this.#foundation.state.claim(term);
  }

  get storeId(): string {
    return this.#foundation.state.storeId;
  }

  get ownBytes(): number {
    return this.#local.liveBytes;
  }

  ownPartitions(topic: string): readonly number[] {
    return this.store.ownPartitions(topic);
  }

  admit(admission: Admission): void {
    this.store.admission = admission;
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

  /** Looks at what other processes have done. */
  #refresh(): void {
    this.#local.journal.checkTerm();
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
