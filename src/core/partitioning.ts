/**
 * Which partition a key goes to: Kafka's default partitioner (murmur2 with seed 0x9747b28c, sign bit cleared, modulo), so that
 * a key lands on the same partition number whether Tandem or a Kafka client sends it.
 * Source: org.apache.kafka.common.utils.Utils.murmur2 and BuiltInPartitioner.partitionForKey.
 */
const M = 0x5bd1e995;
const SEED = 0x9747b28c;

export function partitionForKey(key: string, partitions: number): number {
  if (partitions === 1) return 0;
  return (murmur2(Buffer.from(key, 'utf8')) & 0x7fff_ffff) % partitions;
}

/** Signed 32-bit murmur2. */
export function murmur2(bytes: Uint8Array): number {
  let h = SEED ^ bytes.length;
  const whole = bytes.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    let k =
      (bytes[i] as number) |
      ((bytes[i + 1] as number) << 8) |
      ((bytes[i + 2] as number) << 16) |
      ((bytes[i + 3] as number) << 24);
    k = Math.imul(k, M);
    k ^= k >>> 24;
    h = Math.imul(h, M) ^ Math.imul(k, M);
  }
  const rest = bytes.length - whole;
  if (rest > 2) h ^= (bytes[whole + 2] as number) << 16;
  if (rest > 1) h ^= (bytes[whole + 1] as number) << 8;
  if (rest > 0) h = Math.imul(h ^ (bytes[whole] as number), M);
  h = Math.imul(h ^ (h >>> 13), M);
  return h ^ (h >>> 15);
}
