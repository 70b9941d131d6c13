/**
 * Which slot writes which partition. Fixed by the topic's name, the partitions it was created with and the number of slots, so that
 * every process knows it without asking. A topic with at least as many partitions as slots starts at slot 0; smaller ones start at a
 * slot given by their name, so that many small topics spread.
 */
import { murmur2 } from '../../core/partitioning.ts';

/** `initialPartitions`: as created; growing later must not move what is there. */
export function ownerSlot(topic: string, initialPartitions: number, partition: number, slots: number): number {
  if (slots === 1) return 0;
  const rotation = initialPartitions >= slots ? 0 : (murmur2(Buffer.from(topic, 'latin1')) & 0x7fff_ffff) % slots;
  return (partition + rotation) % slots;
}

/** The journals that a slot recovers and whose files it deletes: its own, and those of slots that are no more. */
export const journalOwner = (journal: number, slots: number): number => journal % slots;
