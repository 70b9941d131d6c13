/**
 * The names of all keys. Everything that one function call touches has one hash tag, so that a cluster keeps it together:
 * `{<prefix>}` for the catalog (topics, terms, leases, groups), `{<prefix>:<shard>}` for the partitions of a shard.
 * No name forges a key: topics have neither ':' nor braces, and all other names from outside are fields, members or values.
 */
import { murmur2 } from '../../core/partitioning.ts';
import type { TopicPartition } from '../../core/record.ts';

/** What is kept of a partition: the stream; its facts; its producers; origins; marks of size and age for retention. */
export type PartitionPart = 'log' | 'meta' | 'producers' | 'origins' | 'marks';

export const catalogTag = (prefix: string): string => prefix;
export const shardTag = (prefix: string, shard: number): string => `${prefix}:${shard}`;

/** `tag` without braces. */
export const keyOf = (tag: string, name: string): string => `{${tag}}:${name}`;

export const partitionKeyOf = (tag: string, part: PartitionPart, { topic, partition }: TopicPartition): string =>
  `{${tag}}:${part}:${topic}:${partition}`;

/** The shard that holds a partition, of `shards`. Never changes for a store. */
export function shardOf({ topic, partition }: TopicPartition, shards: number): number {
  if (shards === 1) return 0;
  return (murmur2(Buffer.from(`${topic}/${partition}`, 'latin1')) & 0x7fff_ffff) % shards;
}
