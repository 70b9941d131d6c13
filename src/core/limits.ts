/**
 * Every bound in one place, unit in the name, what happens at it beside it. `limits:` in the config overrides these defaults.
 * The inequalities between them are asserted by `assertLimits`, which the config runs on the merged result.
 */
import { TandemError } from './errors.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

export const DEFAULT_LIMITS = {
  /** One record's data, key and headers. Above: TANDEM_RECORD_TOO_LARGE for that record alone. */
  recordBytesMax: 1 * MiB + 4 * KiB,
  /** One HTTP body or one WebSocket message. Above: TANDEM_BATCH_TOO_LARGE. */
  requestBytesMax: 16 * MiB,
  /** Unfinished bytes (received, not yet stored) of one worker. Above: its sockets are not read until half of it is done. */
  ingestBytesMax: 32 * MiB,
  /** Connections of one worker over all listeners. Above: TANDEM_CONNECTIONS_LIMIT and close. */
  connectionsMax: 20_000,
  /** A connection that sends nothing for so long is closed; sessions with a subscription are pinged instead. 0: never. */
  idleTimeoutMs: 300_000,
  /** From accept to the end of the request head, HELLO or TLS handshake. */
  headerTimeoutMs: 10_000,
  /** Topics in the data folder. Above: TANDEM_TOPIC_LIMIT. */
  topicsMax: 20_000,
  /** Creates a topic at its first record. Otherwise TANDEM_TOPIC_UNKNOWN. */
  topicAutoCreate: true,
  partitionsPerTopicMax: 1024,
  subscriptionsPerSessionMax: 100,
  /** What one session may have waiting to be sent. Above: its slow-client policy. */
  sessionQueueBytesMax: 1 * MiB,
  /** Producers remembered for de-duplication per partition; the one unseen for longest is forgotten first. */
  producersPerPartitionMax: 100_000,
  /** A producer unseen for so long is forgotten. */
  producerRetentionMs: 7 * 24 * 3600 * 1000,
} as const;

export type Limits = {
  readonly [K in keyof typeof DEFAULT_LIMITS]: (typeof DEFAULT_LIMITS)[K] extends boolean ? boolean : number;
};

/** The largest batch that an engine takes in one append; ingest cuts at it. */
export const BATCH_BYTES_MAX: number = 4 * MiB;
/** The largest record that any configuration may allow. */
export const RECORD_BYTES_CEILING: number = 16 * MiB;
/** How many records one batch holds at most. */
export const BATCH_RECORDS_MAX: number = 65_536;

/** Throws TANDEM_CONFIG_INVALID with every inequality that does not hold. */
export function assertLimits(limits: Limits): void {
  const problems: string[] = [];
  const need = (holds: boolean, problem: string): void => {
    if (!holds) problems.push(problem);
  };
  need(limits.recordBytesMax <= RECORD_BYTES_CEILING, `limits.recordBytesMax must be at most ${RECORD_BYTES_CEILING}`);
  need(limits.recordBytesMax <= limits.requestBytesMax, 'limits.recordBytesMax must not exceed limits.requestBytesMax');
  need(
    limits.requestBytesMax <= limits.ingestBytesMax,
    'limits.requestBytesMax must not exceed limits.ingestBytesMax, or one request could never be taken',
  );
  need(
    limits.idleTimeoutMs === 0 || limits.headerTimeoutMs <= limits.idleTimeoutMs,
    'limits.headerTimeoutMs must not exceed limits.idleTimeoutMs',
  );
  if (problems.length > 0) throw new TandemError('TANDEM_CONFIG_INVALID', { detail: problems.join('; ') });
}
