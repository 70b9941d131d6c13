/** The record store of a process: what its slot owns it does itself, the rest goes to the owner. */
import type {
  AppendBatch,
  AppendResult,
  PartitionState,
  ReadResult,
  RecordStore,
} from '../../core/contracts/engine.ts';
import type { Admission } from '../../core/contracts/spool-log.ts';
import { asTandemError, TandemError } from '../../core/errors.ts';
import type { Position } from '../../core/position.ts';
import type { TopicPartition } from '../../core/record.ts';
import type { LocalStore } from './local-store.ts';
import type { PartitionLog } from './log/partition-log.ts';
import { ownerSlot } from './ownership.ts';
import type { OwnerStore } from './peers/owner-store.ts';
import type { StoredTopic, Topics } from './topics.ts';

export interface RecordStoreOptions {
  /** undefined: this process has no slot. */
  readonly local: LocalStore | undefined;
  /** Under which this process writes. */
  readonly term: { readonly own: number };
  readonly topics: Topics;
  /** -1: none. */
  readonly slot: number;
  readonly slots: number;
  /** The store of another slot. */
  readonly peer: (slot: number) => OwnerStore;
}

export class EmbeddedRecordStore implements RecordStore {
  readonly #options: RecordStoreOptions;
  readonly #own: OwnerStore;
  /** Stands before the appends to this slot's own partitions. */
  admission: Admission | undefined = undefined;
  #isClosed = false;

  constructor(options: RecordStoreOptions) {
    this.#options = options;
    const { local } = options;
    this.#own =
      local === undefined
        ? NO_STORE
        : {
            ...ownStore(local, options.term, (place) => this.#requireOwn(local, place)),
            append: (batch, writerTerm = options.term.own) => this.#appendOwn(local, batch, writerTerm),
          };
  }

  /** This slot's own partitions, for itself and for its peers. */
  get own(): OwnerStore {
    return this.#own;
  }

  append(batch: AppendBatch): Promise<AppendResult> {
    try {
      return this.#owner(batch).append(batch);
    } catch (error) {
      return Promise.reject(asTandemError(error));
    }
  }

  async read(partition: TopicPartition, from: Position, bytesMax: number): Promise<ReadResult> {
    return this.#owner(partition).read(partition, from, bytesMax);
  }

  async state(partition: TopicPartition): Promise<PartitionState> {
    return this.#owner(partition).state(partition);
  }

  watch(partition: TopicPartition, wake: () => void): () => void {
    return this.#owner(partition).watch(partition, wake);
  }

  async trim(partition: TopicPartition, beforeOffset: number): Promise<number> {
    return this.#owner(partition).trim(partition, beforeOffset);
  }

  async lastSequence(partition: TopicPartition, producerId: string): Promise<number> {
    return this.#owner(partition).lastSequence(partition, producerId);
  }

  async originSequence(): Promise<number> {
    throw this.#isClosed ? new TandemError('TANDEM_DRAINING') : noOrigins();
  }

  async claim(partition: TopicPartition, term: number): Promise<void> {
    return this.#owner(partition).claim(partition, term);
  }

  localPartitions(topic: string): readonly number[] {
    const own = this.ownPartitions(topic);
    return own.length > 0 ? own : Array.from({ length: this.#topic(topic).partitions }, (_, partition) => partition);
  }

  /** This slot's; may be none. */
  ownPartitions(topic: string): readonly number[] {
    const info = this.#topic(topic);
    const own: number[] = [];
    for (let partition = 0; partition < info.partitions; partition++)
      if (this.#slotOf(info, partition) === this.#options.slot) own.push(partition);
    return own;
  }

  /** From now on every call is refused. */
  close(): void {
    this.#isClosed = true;
  }

  #owner(place: TopicPartition): OwnerStore {
    if (this.#isClosed) throw new TandemError('TANDEM_DRAINING');
    const slot = this.#slotOf(this.#requireTopic(place), place.partition);
    return slot === this.#options.slot ? this.#own : this.#options.peer(slot);
  }

  #topic(name: string): StoredTopic {
    const info = this.#options.topics.lookUp(name);
    if (info === undefined) throw new TandemError('TANDEM_TOPIC_UNKNOWN', { detail: name });
    return info;
  }

  #appendOwn(local: LocalStore, batch: AppendBatch, writerTerm: number): Promise<AppendResult> {
    const log = this.#requireOwn(local, batch);
    if (this.admission === undefined) return local.append(log, batch, writerTerm);
    return this.admission(batch, () => local.append(log, batch, writerTerm));
  }

  /** Whoever asks may think that there are more slots or fewer: then it asks the wrong one. */
  #requireOwn(local: LocalStore, place: TopicPartition): PartitionLog {
    const { slot } = this.#options;
    const owner = this.#slotOf(this.#requireTopic(place), place.partition);
    if (owner !== slot) throw notOwned(place);
    return local.log(place.topic, place.partition);
  }

  #requireTopic({ topic, partition }: TopicPartition): StoredTopic {
    const { topics } = this.#options;
    let info = this.#topic(topic);
    // Another process may have added partitions.
    if (partition >= info.partitions) info = topics.reload(topic) ?? info;
    if (!Number.isInteger(partition) || partition < 0 || partition >= info.partitions)
      throw new TandemError('TANDEM_PARTITION_UNKNOWN', { detail: `${topic}/${partition}` });
    return info;
  }

  #slotOf(topic: StoredTopic, partition: number): number {
    return ownerSlot(topic.name, topic.initialPartitions, partition, this.#options.slots);
  }
}

/** `logOf` throws if there is no such partition. */
function ownStore(
  local: LocalStore,
  term: { readonly own: number },
  logOf: (place: TopicPartition) => PartitionLog,
): Omit<OwnerStore, 'append'> {
  return {
    read: async (place, from, bytesMax) => local.read(logOf(place), from, bytesMax),
    state: async (place) => local.state(logOf(place)),
    watch: (place, wake) => local.watch(logOf(place), wake),
    trim: async (place, beforeOffset, writerTerm = term.own) => local.trim(logOf(place), beforeOffset, writerTerm),
    lastSequence: async (place, producerId) => local.lastSequence(logOf(place), producerId),
    claim: async (place, claimed, writerTerm = term.own) => local.claim(logOf(place), claimed, writerTerm),
  };
}

const noOrigins = (): TandemError => new TandemError('TANDEM_INTERNAL', { detail: 'this engine takes no origins' });

const notOwned = ({ topic, partition }: TopicPartition): TandemError =>
  new TandemError('TANDEM_OWNER_UNAVAILABLE', { detail: `${topic}/${partition} belongs to another worker` });

const refuse = async (place: TopicPartition): Promise<never> => {
  throw notOwned(place);
};

const NO_STORE: OwnerStore = {
  ...{ append: refuse, read: refuse, state: refuse, trim: refuse, lastSequence: refuse, claim: refuse },
  watch(place) {
    throw notOwned(place);
  },
};
