/**
 * The topics of a Redis store: kept in the catalog (library/topics.lua.ts), known to this process from memory. Other processes create topics too;
 * changes are told on a channel, and looked for now and then besides.
 *
 * A history of the catalog that is another one (a failover, a restart) may have lost topics and partitions, or all of them. Those that this process
 * knows are made again, so that it and the others go on alike: topics are never deleted and never shrink, so what is missing was lost. What became of
 * the records in them, their epochs say.
 */
import type { TopicCatalog, TopicInfo } from '../../core/contracts/engine.ts';
import type { Logger } from '../../core/contracts/telemetry.ts';
import { asTandemError, TandemError } from '../../core/errors.ts';
import type { Limits } from '../../core/limits.ts';
import { TOPIC_NAME_PATTERN } from '../../core/record.ts';
import { type Shard, statusOf } from './shard.ts';

export interface TopicsOptions {
  readonly catalog: Shard;
  readonly limits: Limits;
  readonly logger: Logger;
}

const CHANNEL = 'topics';

export class Topics implements TopicCatalog {
  readonly #options: TopicsOptions;
  readonly #known = new Map<string, TopicInfo>();
  readonly #listeners = new Set<(topic: TopicInfo) => void>();
  readonly #stopListening: () => void;
  #history = '';
  #version = '';
  #refreshing: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: TopicsOptions) {
    this.#options = options;
    this.#stopListening = options.catalog.subscribe(CHANNEL, () => this.#refreshSoon());
  }

  peek(name: string): TopicInfo | undefined {
    return this.#known.get(name);
  }

  known(): Iterable<TopicInfo> {
    return this.#known.values();
  }

  /** `listener` hears of each topic that is new to this process or has changed. Returns the way to stop it. */
  onChange(listener: (topic: TopicInfo) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async ensure(topic: TopicInfo): Promise<TopicInfo> {
    this.#requireOpen();
    this.#check(topic);
    const known = this.#known.get(topic.name);
    return known !== undefined && isSettled(known, topic) ? known : this.#ensure(topic);
  }

  async find(name: string): Promise<TopicInfo | undefined> {
    this.#requireOpen();
    const { catalog } = this.#options;
    const [, json] = await catalog.call('find_topic', [catalog.key('topics')], [name]);
    return Buffer.isBuffer(json) ? this.#learn(name, json) : undefined;
  }

  async list(): Promise<readonly TopicInfo[]> {
    this.#requireOpen();
    await this.#refresh();
    return [...this.#known.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Learns what other processes have changed. Cheap if nothing has. Errors as of the store. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  /** From now on every call is refused. */
  close(): void {
    this.#isClosed = true;
    this.#stopListening();
  }

  #refreshSoon(): void {
    if (this.#isClosed) return;
    this.refresh().catch((error: unknown) =>
      this.#options.logger.warn('topics_not_refreshed', { error: String(error) }),
    );
  }

  async #refresh(): Promise<void> {
    const { catalog } = this.#options;
    const keys = [catalog.key('topics'), catalog.key('catalog')];
    const [, history, version, ...rows] = await catalog.call('list_topics', keys, [this.#version, this.#history]);
    const isOther = String(history) !== this.#history;
    const stored = new Map<string, number>();
    for (let i = 0; i < rows.length; i += 2) {
      const [name, json] = [String(rows[i]), rows[i + 1] as Buffer];
      stored.set(name, parse(name, json).partitions);
      this.#learn(name, json);
    }
    // Before the history counts as known: if it fails, the next refresh tries again.
    if (isOther) await this.#makeAgain(stored);
    this.#history = String(history);
    this.#version = String(version);
  }

  /** `stored`: name -> partitions, all that the catalog has. What it has keeps the retention that it has there. */
  async #makeAgain(stored: ReadonlyMap<string, number>): Promise<void> {
    const { logger } = this.#options;
    const lost = [...this.#known.values()].filter(({ name, partitions }) => (stored.get(name) ?? 0) < partitions);
    for (const topic of lost) {
      logger.warn('redis_topic_made_again', { topic: topic.name, partitions: topic.partitions });
      try {
        await this.#ensure(topic);
      } catch (thrown) {
        const error = asTandemError(thrown);
        if (error.retryable) throw error;
        logger.error('redis_topic_refused', { topic: topic.name, code: error.code, problem: error.message });
      }
    }
  }

  async #ensure({ name, partitions, retentionMs, retentionBytes }: TopicInfo): Promise<TopicInfo> {
    const { catalog, limits } = this.#options;
    const keys = ['topics', 'catalog', CHANNEL].map((key) => catalog.key(key));
    const args = [name, String(partitions), String(retentionMs), String(retentionBytes), String(limits.topicsMax)];
    const answer = await catalog.call('ensure_topic', keys, args);
    if (statusOf(answer) === 'LIMIT') throw new TandemError('TANDEM_TOPIC_LIMIT');
    return this.#learn(name, answer[1] as Buffer);
  }

  #check({ name, partitions }: TopicInfo): void {
    if (!TOPIC_NAME_PATTERN.test(name)) throw new TandemError('TANDEM_TOPIC_INVALID', { detail: name });
    const { partitionsPerTopicMax } = this.#options.limits;
    if (!Number.isInteger(partitions) || partitions < 1 || partitions > partitionsPerTopicMax)
      throw new TandemError('TANDEM_TOPIC_INVALID', {
        detail: `${partitions} partitions; from 1 to ${partitionsPerTopicMax} are possible`,
      });
  }

  #learn(name: string, json: Buffer): TopicInfo {
    const before = this.#known.get(name);
    const stored = parse(name, json);
    // An answer that was overtaken by a later one.
    const topic = { ...stored, partitions: Math.max(stored.partitions, before?.partitions ?? 0) };
    if (before !== undefined && isSettled(before, topic) && before.partitions === topic.partitions) return before;
    this.#known.set(name, topic);
    for (const listener of this.#listeners) listener(topic);
    return topic;
  }

  #requireOpen(): void {
    if (this.#isClosed) throw new TandemError('TANDEM_DRAINING', { detail: 'the engine is closed' });
  }
}

const parse = (name: string, json: Buffer): TopicInfo => ({
  name,
  ...(JSON.parse(json.toString('utf8')) as Omit<TopicInfo, 'name'>),
});

const isSettled = (known: TopicInfo, wanted: TopicInfo): boolean =>
  known.partitions >= wanted.partitions &&
  known.retentionMs === wanted.retentionMs &&
  known.retentionBytes === wanted.retentionBytes;
