/**
 * Consumers: from the log to the user's code and to webhooks.
 *
 * Per consumer one ConsumerGroup, per assigned partition one PartitionReader (source -> feed -> key lanes -> attempts -> target, committer
 * beside it). Promises: at least once; in order per key; a committed offset never passes an unfinished record; a record that keeps
 * failing ends in `<topic>.dead` and is counted as done only when that letter is durable; nothing is skipped without being counted and logged.
 * Non-goals: exactly once (use `record.id`), order across keys, remembering a pause (the node does: `paused`).
 */
import type { GroupStore, RecordStore, TopicCatalog } from '../core/contracts/engine.ts';
import type { Ingest } from '../core/contracts/ingest.ts';
import type { Logger, MetricSample, MetricSource } from '../core/contracts/telemetry.ts';
import { asTandemError, TandemError } from '../core/errors.ts';
import type { Clock } from '../core/ports/clock.ts';
import type { HttpClient } from '../core/ports/http-client.ts';
import type { Random } from '../core/ports/random.ts';
import type { ConnectRedis } from '../core/ports/redis-connection.ts';
import { assertConsumers, type ConsumerConfig, isWebhook } from './consumer-config.ts';
import { ConsumerGroup, type SkipResult } from './consumer-group.ts';
import type { ConsumerParts } from './consumer-parts.ts';
import type { ConsumerStatus, ConsumerTotals } from './consumer-status.ts';
import { DeadLetters } from './dead-letters.ts';
import type { ReplayResult } from './replay.ts';
import { loadHandler } from './targets/handler.ts';
import { redisListTarget } from './targets/redis-list.ts';
import type { Target } from './targets/target.ts';
import { webhookTarget } from './targets/webhook.ts';

export type { ConsumerConfig } from './consumer-config.ts';
export { CONSUMER_DEFAULTS } from './consumer-config.ts';
export type { SkipResult } from './consumer-group.ts';
export type { ConsumerStatus, ConsumerTotals, PartitionPhase, PartitionStatus } from './consumer-status.ts';
export type { ReplayResult } from './replay.ts';

export interface ConsumersOptions {
  readonly consumers: readonly ConsumerConfig[];
  /** Names of those that begin paused; unknown ones are ignored. */
  readonly paused?: readonly string[];
  readonly topics: TopicCatalog;
  readonly store: RecordStore;
  readonly groups: GroupStore;
  readonly ingest: Ingest;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly http: HttpClient;
  readonly connectRedis: ConnectRedis;
  /** Imports a user's module: `(path) => import(pathToFileURL(path).href)`. */
  readonly loadModule: (path: string) => Promise<unknown>;
}

/** Methods that take a consumer's name reject with TANDEM_CONSUMER_UNKNOWN if there is none of that name. */
export interface Consumers extends MetricSource {
  /** Loads every target and tells what is wrong; empty: all fit. For refusing a bad config before anything starts. Never rejects. */
  check(): Promise<readonly TandemError[]>;
  /** Begins; those in `paused` deliver nothing until `resume`. One whose target does not load is stopped with the reason. Never rejects. */
  start(): Promise<void>;
  /** Resolves when nothing of it, replays included, runs any more here and what is finished is committed. Idempotent. */
  pause(name: string): Promise<void>;
  /** Goes on after `pause` or after it stopped. Idempotent. */
  resume(name: string): Promise<void>;
  /** Partitions that this process works on; each worker tells its own. */
  status(): Promise<readonly ConsumerStatus[]>;
  /** Delivers up to `countMax` dead letters of the consumer again (replay.ts). Errors: TANDEM_DELIVERY_FAILED (paused or stopped). */
  replay(name: string, countMax: number): Promise<ReplayResult>;
  /** Passes over damage, or up to `toOffset`; of a paused consumer too. Errors: as `ConsumerGroup.skip`. */
  skip(name: string, partition: number, toOffset?: number): Promise<SkipResult>;
  /** Finishes what is in hand of every consumer that is not paused, and delivers no more until `unquiesce`. */
  quiesce(): Promise<void>;
  unquiesce(): Promise<void>;
  /** Delivers no more, gives running calls `deadlineMs`, commits, leaves the groups. Never rejects. */
  drain(deadlineMs: number): Promise<void>;
}

/** Throws TANDEM_CONFIG_INVALID with every problem. */
export function createConsumers(options: ConsumersOptions): Consumers {
  assertConsumers(options.consumers);
  return new GroupedConsumers(options);
}

class GroupedConsumers implements Consumers {
  readonly #groups: readonly ConsumerGroup[];
  readonly #loadTarget: (config: ConsumerConfig) => Promise<Target>;
  #quiesced: readonly ConsumerGroup[] = [];

  constructor(options: ConsumersOptions) {
    const { topics, store, groups, clock, random, logger } = options;
    this.#loadTarget = (config) => loadTarget(config, options);
    const deadLetters = new DeadLetters(options.ingest, topics);
    const { consumers, paused = [] } = options;
    const parts: ConsumerParts = {
      topics,
      store,
      groups,
      clock,
      random,
      logger,
      deadLetters,
      loadTarget: this.#loadTarget,
    };
    this.#groups = consumers.map((config) => new ConsumerGroup(config, parts, paused.includes(config.name)));
  }

  async check(): Promise<readonly TandemError[]> {
    const problems = await Promise.all(
      this.#groups.map(({ config }) =>
        this.#loadTarget(config).then(
          () => [],
          (thrown) => [asTandemError(thrown, 'TANDEM_HANDLER_INVALID')],
        ),
      ),
    );
    return problems.flat();
  }

  async start(): Promise<void> {
    await Promise.all(this.#groups.map((group) => group.start()));
  }

  async pause(name: string): Promise<void> {
    await this.#group(name).pause();
  }

  async resume(name: string): Promise<void> {
    await this.#group(name).resume();
  }

  async quiesce(): Promise<void> {
    this.#quiesced = this.#groups.filter(({ isRunning }) => isRunning);
    await Promise.all(this.#quiesced.map((group) => group.pause()));
  }

  async unquiesce(): Promise<void> {
    const groups = this.#quiesced;
    this.#quiesced = [];
    await Promise.all(groups.map((group) => group.resume()));
  }

  async status(): Promise<readonly ConsumerStatus[]> {
    return Promise.all(this.#groups.map((group) => group.status()));
  }

  async replay(name: string, countMax: number): Promise<ReplayResult> {
    return this.#group(name).replay(countMax);
  }

  async skip(name: string, partition: number, toOffset?: number): Promise<SkipResult> {
    return this.#group(name).skip(partition, toOffset);
  }

  async drain(deadlineMs: number): Promise<void> {
    await Promise.all(this.#groups.map((group) => group.drain(deadlineMs)));
  }

  metrics(): MetricSample[] {
    return this.#groups.flatMap((group) => {
      const { name: consumer, topic } = group.config;
      const counters = COUNTERS.map(([field, name, help]): MetricSample => {
        return { name, kind: 'counter', help, labels: { consumer }, value: group.totals[field] };
      });
      const lags = group.lags().map(({ partition, lagRecords }): MetricSample => {
        const labels = { consumer, topic, partition: String(partition) };
        return { name: 'tandem_consumers_lag_records', kind: 'gauge', help: LAG_HELP, labels, value: lagRecords ?? 0 };
      });
      return [...counters, ...lags];
    });
  }

  #group(name: string): ConsumerGroup {
    const group = this.#groups.find(({ config }) => config.name === name);
    if (group === undefined) throw new TandemError('TANDEM_CONSUMER_UNKNOWN', { detail: JSON.stringify(name) });
    return group;
  }
}

const LAG_HELP = 'Records stored and not yet committed by the consumer';

const COUNTERS: readonly (readonly [keyof ConsumerTotals, string, string])[] = [
  ['handled', 'tandem_consumers_handled_records_total', 'Records that the target took'],
  ['failedAttempts', 'tandem_consumers_failed_attempts_total', 'Deliveries that failed'],
  ['deadLettered', 'tandem_consumers_dead_lettered_records_total', 'Records that became dead letters'],
  ['missed', 'tandem_consumers_missed_records_total', 'Records gone or skipped before their turn'],
  ['historiesLost', 'tandem_consumers_histories_lost_total', 'Partitions whose history was replaced'],
  ['abandonedCalls', 'tandem_consumers_abandoned_calls_total', 'Calls given up while still running'],
];

async function loadTarget(config: ConsumerConfig, options: ConsumersOptions): Promise<Target> {
  const { name, to, secret, redisList } = config;
  const { http, clock, loadModule, connectRedis: connect } = options;
  if (redisList !== undefined) return redisListTarget({ ...redisList, connect, clock });
  return isWebhook(to) ? webhookTarget({ url: to, secret, http, clock }) : loadHandler({ name, to, loadModule });
}
