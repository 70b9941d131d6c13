/**
 * A record is one piece of data as producers send it and readers see it.
 * `topic`, `partition`, `offset` are as in Kafka: a topic has 1..n partitions, offsets are dense integers from 0 per partition.
 */

/** One ordered sequence of records. */
export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

export type RecordHeaders = Readonly<{ [name: string]: string }>;

/** What a producer hands in. An empty `data` is a valid record. */
export interface RecordInput {
  readonly key?: string;
  readonly headers?: RecordHeaders;
  readonly data: Uint8Array;
}

/** What a reader gets. `timeMs` is the server's clock (Unix milliseconds) when the record was stored. `data` may share memory with its batch. */
export interface TandemRecord extends TopicPartition {
  readonly offset: number;
  readonly timeMs: number;
  readonly key: string | undefined;
  readonly headers: RecordHeaders | undefined;
  readonly data: Buffer;
}

/** Who sends, and the sequence of the first record of what it sends. Sequences start at 1 and rise by one per record. */
export interface ProducerSequence {
  readonly id: string;
  readonly sequence: number;
}

/** A place in a log that is forwarded. */
export interface OriginSequence extends ProducerSequence {
  /**
   * The last sequence before it that the store must have, as far as the sender knows; what lies between is gone for good. Below `sequence`;
   * absent: `sequence` - 1.
   */
  readonly after?: number;
}

export const TOPIC_NAME_PATTERN: RegExp = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
export const PRODUCER_ID_PATTERN: RegExp = /^[\x21-\x7e]{1,128}$/;

/** A text key for maps: unique, since a topic name cannot contain '/'. */
export const partitionKey = (topic: string, partition: number): string => `${topic}/${partition}`;
