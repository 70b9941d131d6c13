/** What is configured about one consumer. The config fills defaults and resolves `to` before it comes here. */
import { TandemError } from '../core/errors.ts';
import type { RedisEndpoint } from '../core/ports/redis-connection.ts';
import { TOPIC_NAME_PATTERN } from '../core/record.ts';
import { deadTopicOf } from './dead-letters.ts';
import type { RetryConfig } from './retry.ts';

export interface ConsumerConfig {
  /** Also the group's name and the name of the export in a handler module. */
  readonly name: string;
  readonly topic: string;
  /** An absolute path or `file:` URL of a module, an `http(s)://` URL, or what `redisList` is called. */
  readonly to: string;
  /** Present: records are appended to this list. */
  readonly redisList?: { readonly endpoint: RedisEndpoint; readonly list: string };
  /** Records of different keys in hand at once, per partition. From 1. */
  readonly concurrency: number;
  readonly retry: RetryConfig;
  /** How long one delivery may take. */
  readonly timeoutMs: number;
  /** The most records of one call of a batch handler. From 1. */
  readonly batchRecordsMax: number;
  /** Where a group without a committed offset begins. */
  readonly start: 'start' | 'now';
  /** Signs webhooks. */
  readonly secret?: string;
}

/** For everything but `name`, `topic` and `to`. */
export const CONSUMER_DEFAULTS = {
  concurrency: 1,
  retry: { attemptsMax: 5, backoffMs: 100, backoffMsMax: 30_000 },
  timeoutMs: 30_000,
  batchRecordsMax: 1000,
  start: 'start',
} as const;

export const isWebhook = (to: string): boolean => /^https?:\/\//i.test(to);

/** Throws TANDEM_CONFIG_INVALID with every problem. */
export function assertConsumers(configs: readonly ConsumerConfig[]): void {
  const problems: string[] = [];
  const names = new Set<string>();
  for (const config of configs) {
    const need = (holds: boolean, problem: string): void => {
      if (!holds) problems.push(`consumers.${config.name}${problem}`);
    };
    need(!names.has(config.name), ': the name is there twice');
    names.add(config.name);
    need(
      TOPIC_NAME_PATTERN.test(deadTopicOf(config.topic)),
      `.topic: "${deadTopicOf(config.topic)}" must be a topic name`,
    );
    need(Number.isInteger(config.concurrency) && config.concurrency >= 1, '.concurrency must be an integer from 1');
    need(
      Number.isInteger(config.batchRecordsMax) && config.batchRecordsMax >= 1,
      '.batchRecordsMax must be an integer from 1',
    );
    need(config.timeoutMs >= 1, '.timeoutMs must be at least 1');
    need(config.retry.attemptsMax >= 1, '.retry.attemptsMax must be at least 1');
    need(config.retry.backoffMs >= 0, '.retry.backoffMs must not be negative');
    need(config.retry.backoffMs <= config.retry.backoffMsMax, '.retry.backoffMs must not exceed backoffMsMax');
    need(!isWebhook(config.to) || URL.canParse(config.to), '.to is not a URL');
  }
  if (problems.length > 0) throw new TandemError('TANDEM_CONFIG_INVALID', { detail: problems.join('; ') });
}
