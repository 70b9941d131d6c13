/**
 * The topics of a data folder: kept in the state database, known to this process from memory. Other processes create topics too;
 * whoever meets an unknown one asks the database, and `refresh` finds what others have changed.
 */
import type { TopicCatalog, TopicInfo } from '../../core/contracts/engine.ts';
import { TandemError } from '../../core/errors.ts';
import type { Limits } from '../../core/limits.ts';
import type { Random } from '../../core/ports/random.ts';
import { TOPIC_NAME_PATTERN } from '../../core/record.ts';
import type { StateDatabase } from './state-database.ts';
import { asStoreErrors, inTransaction } from './state-database.ts';

export interface StoredTopic extends TopicInfo {
  /** Fixes the owners (ownership.ts). */
  readonly initialPartitions: number;
}

interface TopicRow {
  name: string;
  partitions: number;
  initial_partitions: number;
  retention_ms: number | null;
  retention_bytes: number | null;
}

const COLUMNS = 'name, partitions, initial_partitions, retention_ms, retention_bytes';
const EPOCH_BYTES = 6;

export class Topics implements TopicCatalog {
  readonly #state: StateDatabase;
  readonly #random: Random;
  readonly #limits: Limits;
  readonly #known = new Map<string, StoredTopic>();
  /** Hashes of partitions found in the log whose topics are certainly known (recovery.ts). */
  readonly metHashes = new Set<number>();
  readonly #listeners = new Set<(topic: StoredTopic) => void>();
  #version = -1;
  #isClosed = false;

  constructor(state: StateDatabase, random: Random, limits: Limits) {
    this.#state = state;
    this.#random = random;
    this.#limits = limits;
  }

  peek(name: string): TopicInfo | undefined {
    const known = this.#known.get(name);
    return known === undefined ? undefined : publicPart(known);
  }

  /** As memory or else the database has it; undefined: there is none. */
  lookUp(name: string): StoredTopic | undefined {
    return this.#known.get(name) ?? this.reload(name);
  }

  reload(name: string): StoredTopic | undefined {
    const row = asStoreErrors(() =>
      this.#state.durable.prepare(`SELECT ${COLUMNS} FROM topics WHERE name = ?`).get(name),
    ) as unknown as TopicRow | undefined;
    return row === undefined ? undefined : this.#learn(fromRow(row));
  }

  known(): Iterable<StoredTopic> {
    return this.#known.values();
  }

  /** `listener` hears of each topic that is new to this process or has changed. Returns the way to stop it. */
  onChange(listener: (topic: StoredTopic) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Learns what other processes have changed. Cheap if nothing has. */
  refresh(): void {
    asStoreErrors(() => {
      const { value } = this.#state.durable.prepare(`SELECT value FROM facts WHERE name = 'topics_version'`).get() as {
        value: number;
      };
      if (value === this.#version) return;
      this.#version = value;
      const rows = this.#state.durable.prepare(`SELECT ${COLUMNS} FROM topics`).all() as unknown as TopicRow[];
      for (const row of rows) this.#learn(fromRow(row));
    });
  }

  /** From now on every call is refused. */
  close(): void {
    this.#isClosed = true;
  }

  async ensure(topic: TopicInfo): Promise<TopicInfo> {
    this.#requireOpen();
    this.#check(topic);
    const known = this.#known.get(topic.name);
    if (known !== undefined && isSettled(known, topic)) return publicPart(known);
    return publicPart(this.ensureNow(topic));
  }

  ensureNow(topic: TopicInfo): StoredTopic {
    const stored = inTransaction(this.#state.durable, () => this.#ensureInTransaction(topic));
    return this.#learn(stored);
  }

  async find(name: string): Promise<TopicInfo | undefined> {
    this.#requireOpen();
    const topic = this.reload(name);
    return topic === undefined ? undefined : publicPart(topic);
  }

  async list(): Promise<readonly TopicInfo[]> {
    this.#requireOpen();
    this.refresh();
    return [...this.#known.values()].map(publicPart).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Gives a partition a new epoch: its history may have lost something at its end. */
  renewEpoch(topic: string, partition: number): void {
    inTransaction(this.#state.durable, () => {
      this.#state.durable
        .prepare('UPDATE partitions SET epoch = ? WHERE topic = ? AND partition = ?')
        .run(this.#random.id(EPOCH_BYTES), topic, partition);
    });
  }

  #requireOpen(): void {
    if (this.#isClosed) throw new TandemError('TANDEM_DRAINING');
  }

  #check(topic: TopicInfo): void {
    if (!TOPIC_NAME_PATTERN.test(topic.name)) throw new TandemError('TANDEM_TOPIC_INVALID', { detail: topic.name });
    const { partitions } = topic;
    if (!Number.isInteger(partitions) || partitions < 1 || partitions > this.#limits.partitionsPerTopicMax)
      throw new TandemError('TANDEM_TOPIC_INVALID', {
        detail: `${partitions} partitions; from 1 to ${this.#limits.partitionsPerTopicMax} are possible`,
      });
  }

  #ensureInTransaction(topic: TopicInfo): StoredTopic {
    const { durable } = this.#state;
    const row = durable.prepare(`SELECT ${COLUMNS} FROM topics WHERE name = ?`).get(topic.name) as unknown as
      | TopicRow
      | undefined;
    const before = row === undefined ? undefined : fromRow(row);
    if (before !== undefined && isSettled(before, topic)) return before;
    if (before === undefined) {
      const { topics } = durable.prepare('SELECT count(*) AS topics FROM topics').get() as { topics: number };
      if (topics >= this.#limits.topicsMax) throw new TandemError('TANDEM_TOPIC_LIMIT');
    }
    const partitions = Math.max(before?.partitions ?? 0, topic.partitions);
    const initialPartitions = before?.initialPartitions ?? partitions;
    durable
      .prepare(`INSERT OR REPLACE INTO topics (${COLUMNS}) VALUES (?, ?, ?, ?, ?)`)
      .run(topic.name, partitions, initialPartitions, topic.retentionMs, topic.retentionBytes);
    this.#insertPartitions(topic.name, before?.partitions ?? 0, partitions);
    durable.exec(`UPDATE facts SET value = value + 1 WHERE name = 'topics_version'`);
    return { ...topic, partitions, initialPartitions };
  }

  #insertPartitions(topic: string, from: number, to: number): void {
    const insert = this.#state.durable.prepare(
      'INSERT OR IGNORE INTO partitions (topic, partition, epoch) VALUES (?, ?, ?)',
    );
    for (let partition = from; partition < to; partition++) insert.run(topic, partition, this.#random.id(EPOCH_BYTES));
  }

  #learn(topic: StoredTopic): StoredTopic {
    const before = this.#known.get(topic.name);
    if (before !== undefined && isSettled(before, topic) && before.partitions === topic.partitions) return before;
    this.#known.set(topic.name, topic);
    for (const listener of this.#listeners) listener(topic);
    return topic;
  }
}

const isSettled = (known: TopicInfo, wanted: TopicInfo): boolean =>
  known.partitions >= wanted.partitions &&
  known.retentionMs === wanted.retentionMs &&
  known.retentionBytes === wanted.retentionBytes;

const fromRow = (row: TopicRow): StoredTopic => ({
  name: row.name,
  partitions: row.partitions,
  initialPartitions: row.initial_partitions,
  retentionMs: row.retention_ms,
  retentionBytes: row.retention_bytes,
});

const publicPart = ({ name, partitions, retentionMs, retentionBytes }: StoredTopic): TopicInfo => ({
  name,
  partitions,
  retentionMs,
  retentionBytes,
});
