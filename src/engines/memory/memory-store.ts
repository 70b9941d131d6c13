/**
 * What the members of a memory engine share: topics, partitions, groups, leases, one counter of terms, one count of bytes.
 *
 * Invariants: every term that leaves the store is above all before it; a term claimed from outside lifts the counter. The data lives
 * as long as this object: engines come and go on it as processes do on a folder.
 */

import type { TopicInfo } from '../../core/contracts/engine.ts';
import { TandemError } from '../../core/errors.ts';
import type { Limits } from '../../core/limits.ts';
import type { Clock } from '../../core/ports/clock.ts';
import type { Random } from '../../core/ports/random.ts';
import { partitionKey, TOPIC_NAME_PATTERN, type TopicPartition } from '../../core/record.ts';
import { MemoryGroup } from './memory-group.ts';
import { MemoryPartition } from './memory-partition.ts';

const EPOCH_BYTES = 8;

export interface MemoryStoreOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: Limits;
  /** Above: appends are refused with TANDEM_DISK_FULL until a trim makes room. Absent: no bound. */
  readonly bytesMax?: number;
}

/** A held lease; `owner` is the engine through which it was acquired. */
export interface MemoryLease {
  readonly holder: string;
  readonly term: number;
  readonly owner: object;
  expiresMs: number;
}

/** Of a store's topics and records. */
export interface MemoryCopy {
  readonly topics: ReadonlyMap<string, TopicInfo>;
  readonly partitions: ReadonlyMap<string, MemoryPartition>;
}

export class MemoryStore {
  readonly clock: Clock;
  readonly limits: Limits;
  /** May be changed at any time: a disk that fills up or gets space back. */
  bytesMax: number;
  readonly leases = new Map<string, MemoryLease>();
  /** Of released leases, by name. */
  readonly reservations = new Map<string, { readonly holder: string; readonly untilMs: number }>();
  /** The highest term that a member has claimed for the whole store. */
  claimedTerm = 0;
  claims = 0;
  readonly #random: Random;
  #topics = new Map<string, TopicInfo>();
  #partitions = new Map<string, MemoryPartition>();
  readonly #groups = new Map<string, MemoryGroup>();
  readonly #watchers = new Map<string, Set<() => void>>();
  #term = 0;

  constructor({ clock, random, limits, bytesMax = Number.POSITIVE_INFINITY }: MemoryStoreOptions) {
    this.clock = clock;
    this.limits = limits;
    this.bytesMax = bytesMax;
    this.#random = random;
  }

  /** A new term, above every one issued or claimed before. */
  issueTerm(): number {
    return ++this.#term;
  }

  /** Terms issued from here on are above `term`. */
  liftTerm(term: number): void {
    this.#term = Math.max(this.#term, term);
  }

  findTopic(name: string): TopicInfo | undefined {
    return this.#topics.get(name);
  }

  listTopics(): TopicInfo[] {
    return [...this.#topics.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  ensureTopic(wanted: TopicInfo): TopicInfo {
    const { name, partitions, retentionMs, retentionBytes } = wanted;
    const { topicsMax, partitionsPerTopicMax } = this.limits;
    if (!TOPIC_NAME_PATTERN.test(name)) throw new TandemError('TANDEM_TOPIC_INVALID');
    if (!Number.isInteger(partitions) || partitions < 1 || partitions > partitionsPerTopicMax)
      throw new TandemError('TANDEM_TOPIC_INVALID', { detail: `partitions must be 1 to ${partitionsPerTopicMax}` });
    const existing = this.#topics.get(name);
    if (existing === undefined && this.#topics.size >= topicsMax) throw new TandemError('TANDEM_TOPIC_LIMIT');
    const from = existing?.partitions ?? 0;
    const topic = { name, partitions: Math.max(from, partitions), retentionMs, retentionBytes };
    this.#topics.set(name, topic);
    for (let partition = from; partition < topic.partitions; partition++)
      this.#partitions.set(
        partitionKey(name, partition),
        new MemoryPartition({ topic: name, partition }, this.#random.id(EPOCH_BYTES), this.limits),
      );
    if (topic.partitions > from) this.#rebalance(topic);
    return topic;
  }

  /** Errors: TANDEM_TOPIC_UNKNOWN, TANDEM_PARTITION_UNKNOWN. */
  partition({ topic, partition }: TopicPartition): MemoryPartition {
    const found = this.#partitions.get(partitionKey(topic, partition));
    if (found !== undefined) return found;
    this.#requireTopic(topic);
    throw new TandemError('TANDEM_PARTITION_UNKNOWN', { detail: `${topic} ${partition}` });
  }

  /** Errors: TANDEM_TOPIC_UNKNOWN. */
  group(group: string, topic: string): MemoryGroup {
    const key = `${topic}/${group}`;
    let found = this.#groups.get(key);
    if (found === undefined) {
      found = new MemoryGroup(topic, this.clock, () => this.issueTerm());
      found.rebalance(this.#requireTopic(topic).partitions);
      this.#groups.set(key, found);
    }
    return found;
  }

  hasRoomFor(bytes: number): boolean {
    if (bytes === 0 || this.bytesMax === Number.POSITIVE_INFINITY) return true;
    let used = 0;
    for (const partition of this.#partitions.values()) used += partition.byteLength;
    return used + bytes <= this.bytesMax;
  }

  /** Calls `wake` soon, and soon after each `wakeWatchers`; many may give one call. Returns the way to stop it. */
  watch({ topic, partition }: TopicPartition, wake: () => void): () => void {
    const key = partitionKey(topic, partition);
    const watchers = this.#watchers.get(key) ?? new Set();
    this.#watchers.set(key, watchers);
    let isDue = false;
    const watcher = (): void => {
      if (isDue) return;
      isDue = true;
      this.clock.soon(() => {
        isDue = false;
        if (watchers.has(watcher)) wake();
      });
    };
    watchers.add(watcher);
    watcher();
    return () => void watchers.delete(watcher);
  }

  wakeWatchers({ topic, partition }: TopicPartition): void {
    for (const watcher of this.#watchers.get(partitionKey(topic, partition)) ?? []) watcher();
  }

  /** For tests of readers: the partition's history is lost and another begins, empty, under a new epoch. */
  loseHistory(place: TopicPartition): void {
    this.partition(place).replaceHistory(this.#random.id(EPOCH_BYTES));
    this.wakeWatchers(place);
  }

  /** All topics and records as they are now. */
  copy(): MemoryCopy {
    const partitions = [...this.#partitions].map(([key, partition]) => [key, partition.copy(partition.epoch)] as const);
    return { topics: new Map(this.#topics), partitions: new Map(partitions) };
  }

  /**
   * For tests of whoever forwards or reads: a failover to a copy that knows no more than this, under new epochs. What was stored since is lost;
   * without a copy all is. Topics that were made since are unknown.
   */
  failOverTo(copy: MemoryCopy = { topics: new Map(), partitions: new Map() }): void {
    this.#take(copy, () => this.#random.id(EPOCH_BYTES));
  }

  /** For the same: somebody has put a copy of the folder in its place, and nothing tells. */
  putBack(copy: MemoryCopy): void {
    this.#take(copy, ({ epoch }) => epoch);
  }

  #take({ topics, partitions }: MemoryCopy, epochOf: (partition: MemoryPartition) => string): void {
    this.#topics = new Map(topics);
    this.#partitions = new Map([...partitions].map(([key, partition]) => [key, partition.copy(epochOf(partition))]));
    for (const watchers of this.#watchers.values()) for (const watcher of watchers) watcher();
  }

  #rebalance(topic: TopicInfo): void {
    for (const group of this.#groups.values()) if (group.topic === topic.name) group.rebalance(topic.partitions);
  }

  #requireTopic(name: string): TopicInfo {
    const topic = this.#topics.get(name);
    if (topic === undefined) throw new TandemError('TANDEM_TOPIC_UNKNOWN', { detail: name });
    return topic;
  }
}
