/** CRC-16 (XMODEM) of a hash tag, modulo the slots of a cluster: the Redis Cluster specification. */
const SLOTS = 16_384;

export function hashSlot(tag: string): number {
  let crc = 0;
  for (const byte of Buffer.from(tag)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
  }
  return (crc & 0xffff) % SLOTS;
}
