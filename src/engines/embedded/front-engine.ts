/**
 * The engine of a process without a slot: a worker that serves clients while the slots are with other processes, of this node or of another one
 * that shares the folder. It owns nothing and is never given anything: records go to the partitions' owners and come from there, over their
 * sockets (peers/); topics and committed offsets it reads and writes in the state database itself; groups assign it no partition, ever.
 *
 * While an owner is replaced requests wait, as those of other slots do (peers/peer-client.ts), and are sent to the next one; after that they
 * are rejected with TANDEM_OWNER_UNAVAILABLE. Appends go under the owner's term: who has lost that answers none.
 *
 * Owners may come with another number of slots, so that partitions change hands. The front looks for that every `topicsIntervalMs`, and takes
 * its watches along; what is in hand then, and what is asked of the wrong owner before, is rejected with TANDEM_OWNER_UNAVAILABLE.
 */
import type { Engine, RecordStore, TopicCatalog } from '../../core/contracts/engine.ts';
import type { MetricSample, MetricSource } from '../../core/contracts/telemetry.ts';
import { asTandemError, TandemError } from '../../core/errors.ts';
import type { Timer } from '../../core/ports/clock.ts';
import type { TopicPartition } from '../../core/record.ts';
import { peerRequests } from './embedded-metrics.ts';
import type { PreparedSettings } from './engine-settings.ts';
import { Groups } from './groups.ts';
import { Leases } from './leases.ts';
import { CAPABILITIES, IDENTITY } from './opened-engine.ts';
import { Peers } from './peers/peers.ts';
import { publishedSlots } from './published-slots.ts';
import { EmbeddedRecordStore } from './record-store.ts';
import type { StateDatabase } from './state-database.ts';
import type { Topics } from './topics.ts';

export interface FrontOptions {
  /** Of the node that writes, if that has not said so yet. */
  readonly slots: number;
}

const NO_SLOT = -1;

export class FrontEngine implements Engine, MetricSource {
  readonly capabilities = CAPABILITIES;
  readonly topics: TopicCatalog;
  readonly store: RecordStore;
  readonly groups: Groups;
  readonly leases: Leases;
  readonly #settings: PreparedSettings;
  readonly #state: StateDatabase;
  readonly #topics: Topics;
  readonly #records: FrontRecords;
  readonly #peers: Peers;
  #timer: Timer;
  #closing: Promise<void> | undefined;

  /** `state` and `topics` are this engine's own from here on. */
  constructor(settings: PreparedSettings & FrontOptions, state: StateDatabase, topics: Topics) {
    const { dataDir } = settings;
    this.#settings = settings;
    this.#state = state;
    this.#topics = topics;
    this.topics = topics;
    this.groups = new Groups(state, topics, NO_SLOT, settings.slots);
    this.leases = new Leases({ state, dataDir, clock: settings.clock });
    this.#peers = new Peers({ ...settings, term: state.term, server: undefined });
    this.#records = new FrontRecords(settings.slots, this.#peers, state, topics);
    this.store = this.#records.store;
    this.#refresh();
    this.#timer = this.#again();
  }

  async identity(): Promise<string> {
    if (this.#closing !== undefined) throw new TandemError('TANDEM_DRAINING');
    return IDENTITY;
  }

  async claim(term: number): Promise<void> {
    this.#state.claim(term);
  }

  metrics(): MetricSample[] {
    return [peerRequests(this.#peers)];
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#records.close();
    this.#topics.close();
    this.#timer.cancel();
    this.groups.close();
    try {
      await this.#peers.drain();
    } catch (error) {
      throw asTandemError(error, 'TANDEM_STORE_FAILED');
    } finally {
      this.#peers.close();
      this.leases.close();
      this.#state.close();
    }
  }

  #again(): Timer {
    return this.#settings.clock.after(this.#settings.topicsIntervalMs, () => {
      if (this.#closing !== undefined) return;
      this.#refresh();
      this.#timer = this.#again();
    });
  }

  #refresh(): void {
    try {
      this.#topics.refresh();
      const slots = publishedSlots(this.#state);
      if (slots !== undefined) this.#records.follow(slots);
    } catch (error) {
      this.#settings.logger.warn('topics_not_refreshed', { error: String(error) });
    }
  }
}

interface Watch {
  readonly place: TopicPartition;
  readonly wake: () => void;
  stop: () => void;
}

/** The owners' records, by the number of slots that there are. */
class FrontRecords {
  readonly store: RecordStore;
  readonly #records: EmbeddedRecordStore;
  readonly #peers: Peers;
  readonly #watches = new Set<Watch>();
  #slots: number;

  constructor(slots: number, peers: Peers, state: StateDatabase, topics: Topics) {
    this.#slots = slots;
    this.#peers = peers;
    const slotsNow = (): number => this.#slots;
    this.#records = new EmbeddedRecordStore({
      local: undefined,
      term: state.term,
      topics,
      slot: NO_SLOT,
      get slots() {
        return slotsNow();
      },
      peer: (slot) => peers.store(slot),
    });
    const records = this.#records;
    this.store = {
      append: (batch) => records.append(batch),
      read: (place, from, bytesMax) => records.read(place, from, bytesMax),
      state: (place) => records.state(place),
      watch: (place, wake) => this.#watch(place, wake),
      trim: (place, beforeOffset) => records.trim(place, beforeOffset),
      lastSequence: (place, producerId) => records.lastSequence(place, producerId),
      originSequence: () => records.originSequence(),
      claim: (place, term) => records.claim(place, term),
      localPartitions: (topic) => records.localPartitions(topic),
    };
  }

  /** There are so many slots from now on. */
  follow(slots: number): void {
    if (slots === this.#slots) return;
    this.#slots = slots;
    this.#peers.giveUp();
    for (const watch of this.#watches) {
      watch.stop = this.#records.watch(watch.place, watch.wake);
    }
  }

  close(): void {
    this.#records.close();
    this.#watches.clear();
  }

  #watch({ topic, partition }: TopicPartition, wake: () => void): () => void {
    const place = { topic, partition };
    const watch: Watch = { place, wake, stop: this.#records.watch(place, wake) };
    this.#watches.add(watch);
    return () => {
      this.#watches.delete(watch);
      watch.stop();
    };
  }
}
