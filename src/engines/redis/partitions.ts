/** What a process keeps of the partitions that it has used: their keys, and what is in hand. */
import type { TandemError } from '../../core/errors.ts';
import type { TopicPartition } from '../../core/record.ts';
import { type PartitionPart, partitionKeyOf } from './keys.ts';
import type { LibraryShard } from './library-shard.ts';
import type { Shards } from './shards.ts';

/** Appends of one producer that were called without waiting for each other. */
export interface Chain {
  inFlight: number;
  /** Of the latest one. */
  lastSequence: number;
  /** Of the first one that was rejected: no others are added then. */
  error: TandemError | undefined;
}

export class Partition implements TopicPartition {
  readonly topic: string;
  readonly partition: number;
  readonly shard: LibraryShard;
  /** The keys of a call about records; of one about an append; of one with a producer. */
  readonly keys: readonly [log: string, meta: string];
  readonly appendKeys: readonly string[];
  readonly producerKeys: readonly string[];
  readonly chains = new Map<string, Chain>();
  #epochBytes: Buffer = Buffer.alloc(0);
  #epoch = '';

  constructor({ topic, partition }: TopicPartition, shard: LibraryShard) {
    this.topic = topic;
    this.partition = partition;
    this.shard = shard;
    const [log, meta] = [this.key('log'), this.key('meta')];
    this.keys = [log, meta];
    this.appendKeys = [log, meta, this.key('marks')];
    this.producerKeys = [...this.appendKeys, this.key('producers'), this.key('origins')];
  }

  key(part: PartitionPart): string {
    return partitionKeyOf(this.shard.tag, part, this);
  }

  /** Mostly the same as before: then no string is made of it. */
  epochOf(bytes: Buffer): string {
    if (!bytes.equals(this.#epochBytes)) {
      this.#epochBytes = Buffer.from(bytes);
      this.#epoch = bytes.toString('latin1');
    }
    return this.#epoch;
  }
}

export class Partitions {
  readonly #shards: Shards;
  readonly #byTopic = new Map<string, (Partition | undefined)[]>();

  constructor(shards: Shards) {
    this.#shards = shards;
  }

  /** Of a partition that exists. */
  get(place: TopicPartition): Partition {
    let partitions = this.#byTopic.get(place.topic);
    if (partitions === undefined) {
      partitions = [];
      this.#byTopic.set(place.topic, partitions);
    }
    let known = partitions[place.partition];
    if (known === undefined) {
      known = new Partition(place, this.#shards.of(place));
      partitions[place.partition] = known;
    }
    return known;
  }
}
