/**
 * The topics of a spool: those of the remote engine, and beside each one that is used here a local one with as many partitions, which has no retention.
 *
 * A topic that is made while the remote engine is away is made locally at once, and there as soon as it answers. Partitions that were added elsewhere
 * are added locally (`follow`); what was asked for here while the engine was away is asked for there. Nobody is held up by an engine that does not
 * answer for longer than ANSWER_MS.
 */
import type { TopicCatalog, TopicInfo } from '../../core/contracts/engine.ts';
import type { Logger } from '../../core/contracts/telemetry.ts';
import { asTandemError } from '../../core/errors.ts';
import { inTime } from '../../core/in-time.ts';
import type { Clock } from '../../core/ports/clock.ts';
import type { RemoteLink } from './remote-link.ts';

const ANSWER_MS = 1000;

type Retention = Pick<TopicInfo, 'retentionMs' | 'retentionBytes'>;

export interface SpooledTopicsOptions {
  readonly local: TopicCatalog;
  readonly remote: TopicCatalog;
  readonly link: RemoteLink;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly retentionOf: (topic: string) => Retention;
}

export class SpooledTopics implements TopicCatalog {
  readonly #options: SpooledTopicsOptions;
  /** As the remote engine has them or will have them; of those that are local too. */
  readonly #known = new Map<string, TopicInfo>();
  /** Asked for, and not made at the remote engine yet. */
  readonly #wanted = new Map<string, TopicInfo>();
  /** name -> partitions that the remote engine has for sure */
  readonly #brought = new Map<string, number>();
  readonly #bringing = new Map<string, Promise<void>>();
  #isMakingUp = false;
  #isClosed = false;

  constructor(options: SpooledTopicsOptions) {
    this.#options = options;
  }

  peek(name: string): TopicInfo | undefined {
    const local = this.#options.local.peek(name);
    if (local === undefined) return undefined;
    const known = this.#known.get(name);
    if (known?.partitions === local.partitions) return known;
    // The local catalog knows what this machine's other processes have made.
    const topic = { ...(known ?? { name, ...this.#options.retentionOf(name) }), partitions: local.partitions };
    this.#known.set(name, topic);
    return topic;
  }

  /** Errors: TANDEM_TOPIC_INVALID, TANDEM_TOPIC_LIMIT, and those of the local store. */
  async ensure(topic: TopicInfo): Promise<TopicInfo> {
    const { remote, link, clock } = this.#options;
    this.#wanted.set(topic.name, topic);
    if (!link.isAway) {
      const making = remote.ensure(topic).then((made) => this.#made(topic, made));
      try {
        const made = await inTime(clock, making, ANSWER_MS);
        if (made !== undefined) return made;
      } catch (thrown) {
        const error = asTandemError(thrown);
        if (!error.retryable) {
          this.#wanted.delete(topic.name);
          throw error;
        }
        link.failed(error);
      }
    }
    try {
      return await this.#ensureLocally(topic);
    } catch (thrown) {
      this.#wanted.delete(topic.name);
      throw thrown;
    } finally {
      void this.#makeUp();
    }
  }

  async find(name: string): Promise<TopicInfo | undefined> {
    const { remote, link, clock } = this.#options;
    if (!link.isAway) {
      try {
        const found = await inTime(clock, remote.find(name), ANSWER_MS);
        if (found !== undefined) return await this.#ensureLocally(found);
      } catch (thrown) {
        const error = asTandemError(thrown);
        if (!error.retryable) throw error;
      }
    }
    await this.#options.local.find(name);
    return this.peek(name);
  }

  async list(): Promise<readonly TopicInfo[]> {
    const { local, remote, link, clock } = this.#options;
    const topics = new Map<string, TopicInfo>();
    for (const { name } of await local.list()) topics.set(name, this.peek(name) as TopicInfo);
    if (!link.isAway) {
      try {
        for (const topic of (await inTime(clock, remote.list(), ANSWER_MS)) ?? []) topics.set(topic.name, topic);
      } catch (thrown) {
        const error = asTandemError(thrown);
        if (!error.retryable) throw error;
      }
    }
    return [...topics.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The remote engine has the topic, with as many partitions as there are locally. Errors: as its `find` and `ensure`. */
  bring(name: string): Promise<void> {
    let bringing = this.#bringing.get(name);
    if (bringing === undefined) {
      bringing = this.#bring(name).finally(() => this.#bringing.delete(name));
      this.#bringing.set(name, bringing);
    }
    return bringing;
  }

  /** The remote engine says that it does not know it. */
  forget(name: string): void {
    this.#brought.delete(name);
  }

  /** Takes over what was changed elsewhere. Never rejects. */
  async follow(): Promise<void> {
    const { local, remote, logger } = this.#options;
    try {
      for (const topic of await remote.list())
        if (local.peek(topic.name) !== undefined && !this.#wanted.has(topic.name)) await this.#ensureLocally(topic);
    } catch (thrown) {
      logger.debug('spool_topics_not_followed', { problem: asTandemError(thrown).message });
    }
  }

  /** Locally no record goes by age or size: that is the remote engine's. Errors: of the local store. */
  async keepAll(): Promise<void> {
    for (const { name, partitions, retentionMs, retentionBytes } of await this.#options.local.list())
      if (retentionMs !== null || retentionBytes !== null)
        await this.#options.local.ensure({ name, partitions, retentionMs: null, retentionBytes: null });
  }

  close(): void {
    this.#isClosed = true;
  }

  async #bring(name: string): Promise<void> {
    const { local, remote, retentionOf } = this.#options;
    const wanted = this.#wanted.get(name);
    const partitions = local.peek(name)?.partitions ?? wanted?.partitions ?? 1;
    if (wanted === undefined && (this.#brought.get(name) ?? 0) >= partitions) return;
    // Retention is the operator's where the topic exists.
    const unknown = { name, partitions, ...retentionOf(name) };
    const topic = wanted ?? (await remote.find(name)) ?? this.#known.get(name) ?? unknown;
    await this.#made(wanted, await remote.ensure({ ...topic, partitions: Math.max(topic.partitions, partitions) }));
  }

  async #made(wanted: TopicInfo | undefined, made: TopicInfo): Promise<TopicInfo> {
    if (wanted !== undefined && this.#wanted.get(made.name) === wanted) this.#wanted.delete(made.name);
    this.#brought.set(made.name, made.partitions);
    return this.#ensureLocally(made);
  }

  /** With at least as many partitions. */
  async #ensureLocally(topic: TopicInfo): Promise<TopicInfo> {
    const { name, partitions } = topic;
    const local = await this.#options.local.ensure({ name, partitions, retentionMs: null, retentionBytes: null });
    const known = { ...topic, partitions: local.partitions };
    this.#known.set(name, known);
    return known;
  }

  /** Makes at the remote engine what was asked for while it was away. */
  async #makeUp(): Promise<void> {
    if (this.#isMakingUp) return;
    this.#isMakingUp = true;
    const { link, logger } = this.#options;
    while (this.#wanted.size > 0 && !this.#isClosed) {
      await link.up();
      const [name] = this.#wanted.keys();
      if (name === undefined || this.#isClosed) {
        link.skipped();
        break;
      }
      try {
        await this.bring(name);
        link.succeeded();
      } catch (thrown) {
        const error = asTandemError(thrown);
        if (error.retryable) link.failed(error);
        else {
          link.succeeded();
          logger.error('spool_topic_refused', { topic: name, code: error.code, problem: error.message });
          this.#wanted.delete(name);
        }
      }
    }
    this.#isMakingUp = false;
  }
}
