/**
 * An engine whose server need not be there yet: opening it is tried until it succeeds. Until then every call rejects with TANDEM_STORE_UNREACHABLE, and
 * watches wait. For what stands behind a spool, which goes on without it.
 *
 * Non-goal: what happens when the server goes away again; that is the engine's own affair.
 */
import type {
  Engine,
  EngineCapabilities,
  GroupStore,
  LeaseStore,
  RecordStore,
  TopicCatalog,
} from '../core/contracts/engine.ts';
import type { Logger, MetricSource } from '../core/contracts/telemetry.ts';
import { asTandemError, TandemError } from '../core/errors.ts';
import { inTime } from '../core/in-time.ts';
import type { Clock, Timer } from '../core/ports/clock.ts';
import type { TopicPartition } from '../core/record.ts';

export interface PatientOptions {
  readonly open: () => Promise<Engine & Partial<MetricSource>>;
  /** What the engine will have. */
  readonly capabilities: EngineCapabilities;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What is there answers sooner; what is not must not hold up a start. */
const FIRST_TRY_MS = 500;
const RETRY_FIRST_MS = 100;
const RETRY_MS_MAX = 2000;

/** Waits for the first try, for some time, then goes on by itself. Errors: what trying again cannot mend, if the first try says so in time. */
export async function openPatiently(options: PatientOptions): Promise<Engine & MetricSource> {
  const engine = new PatientEngine(options);
  await engine.tryFirst();
  return engine;
}

interface WaitingWatch {
  readonly place: TopicPartition;
  readonly wake: () => void;
  stop: () => void;
}

class PatientEngine implements Engine, MetricSource {
  readonly capabilities: EngineCapabilities;
  readonly #options: PatientOptions;
  #inner: (Engine & Partial<MetricSource>) | undefined;
  #watches = new Set<WaitingWatch>();
  #timer: Timer | undefined;
  #trying: Promise<void> | undefined;
  #isClosed = false;

  readonly topics: TopicCatalog = {
    peek: (name) => this.#inner?.topics.peek(name),
    ensure: async (topic) => this.#engine.topics.ensure(topic),
    find: async (name) => this.#engine.topics.find(name),
    list: async () => this.#engine.topics.list(),
  };

  readonly store: RecordStore = {
    append: async (batch) => this.#engine.store.append(batch),
    read: async (place, from, bytesMax) => this.#engine.store.read(place, from, bytesMax),
    state: async (place) => this.#engine.store.state(place),
    watch: (place, wake) => this.#watch(place, wake),
    trim: async (place, beforeOffset) => this.#engine.store.trim(place, beforeOffset),
    lastSequence: async (place, producerId) => this.#engine.store.lastSequence(place, producerId),
    originSequence: async (place, originId) => this.#engine.store.originSequence(place, originId),
    claim: async (place, term) => this.#engine.store.claim(place, term),
    localPartitions: (topic) => this.#inner?.store.localPartitions(topic) ?? [],
  };

  readonly groups: GroupStore = {
    join: async (group, topic, onChange) => this.#engine.groups.join(group, topic, onChange),
    commit: async (group, topic, offset, term) => this.#engine.groups.commit(group, topic, offset, term),
    committed: async (group, topic) => this.#engine.groups.committed(group, topic),
  };

  readonly leases: LeaseStore = {
    acquire: async (name, holder, ttlMs) => this.#engine.leases.acquire(name, holder, ttlMs),
    renew: async (grant, ttlMs) => this.#engine.leases.renew(grant, ttlMs),
    release: async (grant, reserveFor) => this.#engine.leases.release(grant, reserveFor),
    issueTerm: async (grant) => this.#engine.leases.issueTerm(grant),
    holder: async (name) => this.#engine.leases.holder(name),
  };

  constructor(options: PatientOptions) {
    this.#options = options;
    this.capabilities = options.capabilities;
  }

  async tryFirst(): Promise<void> {
    const { clock, logger } = this.#options;
    let isLate = false;
    const first = this.#try().then(
      () => {
        if (isLate) logger.info('engine_there', {});
      },
      (thrown: unknown) => {
        const error = asTandemError(thrown);
        if (!isLate && !error.retryable) throw error;
        logger.warn('engine_away', { code: error.code, problem: error.message });
        this.#again(RETRY_FIRST_MS);
      },
    );
    this.#trying = first;
    await inTime(clock, first, FIRST_TRY_MS);
    isLate = true;
  }

  async #try(): Promise<void> {
    const inner = await this.#options.open();
    if (this.#isClosed) return inner.close();
    this.#inner = inner;
    for (const watch of this.#watches) watch.stop = inner.store.watch(watch.place, watch.wake);
    this.#watches.clear();
  }

  #again(waitMs: number): void {
    if (this.#isClosed) return;
    const { clock, logger } = this.#options;
    this.#timer = clock.after(waitMs, () => {
      this.#trying = this.#try().then(
        () => logger.info('engine_there', {}),
        () => this.#again(Math.min(waitMs * 2, RETRY_MS_MAX)),
      );
    });
  }

  get #engine(): Engine {
    if (this.#isClosed) throw new TandemError('TANDEM_DRAINING');
    if (this.#inner === undefined)
      throw new TandemError('TANDEM_STORE_UNREACHABLE', { detail: 'it was not there yet' });
    return this.#inner;
  }

  async claim(term: number): Promise<void> {
    return this.#engine.claim(term);
  }

  async identity(): Promise<string> {
    return this.#engine.identity();
  }

  metrics(): ReturnType<MetricSource['metrics']> {
    return this.#inner?.metrics?.() ?? [];
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#watches.clear();
    await this.#trying;
    await this.#inner?.close();
  }

  #watch(place: TopicPartition, wake: () => void): () => void {
    if (this.#inner !== undefined) return this.#inner.store.watch(place, wake);
    const watch: WaitingWatch = { place: { ...place }, wake, stop: () => void this.#watches.delete(watch) };
    this.#watches.add(watch);
    return () => watch.stop();
  }
}
