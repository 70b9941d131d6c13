/** Stream entries as batches. What an entry holds: docs/redis.md. */
import { TandemError } from '../../core/errors.ts';
import type { TopicPartition } from '../../core/record.ts';
import type { StoredBatch } from '../../core/record-set.ts';
import type { RedisReply } from './connections/redis-servers.ts';

const LENGTH_BYTES = 4;

/** An entry as XRANGE gives it: its id, and fields and values by turns. Throws TANDEM_LOG_CORRUPT if it contradicts itself. */
export function batchOf(place: TopicPartition, entry: RedisReply): StoredBatch {
  const [id, fields] = entry as readonly [Buffer, readonly Buffer[]];
  const [firstOffset, count] = id.toString('latin1').split('-').map(Number) as [number, number];
  let data: Buffer | undefined;
  let lengths: Buffer | undefined;
  let producerId: string | undefined;
  let [timeMs, term, sequence] = [0, 0, 0];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const value = fields[i + 1] as Buffer;
    switch (String(fields[i])) {
      case 'data':
        data = value;
        break;
      case 'lengths':
        lengths = value;
        break;
      case 'time':
        timeMs = Number(value);
        break;
      case 'term':
        term = Number(value);
        break;
      case 'producer':
        producerId = value.toString('latin1');
        break;
      case 'sequence':
        sequence = Number(value);
        break;
    }
  }
  if (
    data === undefined ||
    !(count > 0) ||
    (lengths === undefined ? count !== 1 : lengths.length !== count * LENGTH_BYTES)
  )
    throw new TandemError('TANDEM_LOG_CORRUPT', {
      detail: `entry ${id} of ${place.topic}/${place.partition}`,
      data: { fromOffset: firstOffset, nextOffset: firstOffset + (count || 1) },
    });
  const set = { count, lengths: lengths === undefined ? new Uint32Array([data.length - 1]) : numbersOf(lengths), data };
  const producer = producerId === undefined ? {} : { producer: { id: producerId, sequence } };
  return { topic: place.topic, partition: place.partition, firstOffset, timeMs, term, ...producer, set };
}

function numbersOf(bytes: Buffer): Uint32Array {
  if (bytes.byteOffset % LENGTH_BYTES === 0)
    return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / LENGTH_BYTES);
  const copy = new Uint8Array(bytes);
  return new Uint32Array(copy.buffer);
}
