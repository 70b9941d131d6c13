/** What recovery does to topics and epochs, for what it finds in segments or misses there. */
import type { Logger } from '../../core/contracts/telemetry.ts';
import type { SegmentDamage } from './log/recovery-scan.ts';
import type { SegmentIndex } from './log/segment-index.ts';
import type { SidecarDirectory } from './log/sidecar-format.ts';
import { ownerSlot } from './ownership.ts';
import type { Topics } from './topics.ts';

/** Topics with at least so many partitions, made if they do not exist. */
export function ensureTopics(topics: Topics, partitions: ReadonlyMap<string, number>): void {
  for (const [name, count] of partitions) {
    const known = topics.lookUp(name);
    if (known !== undefined && known.partitions >= count) continue;
    const { retentionMs, retentionBytes } = known ?? { retentionMs: null, retentionBytes: null };
    topics.ensureNow({ name, partitions: count, retentionMs, retentionBytes });
  }
}

/**
 * Topics of a directory that are not known, with at least so many partitions. A partition that was met before in this process is not looked
 * at again: names are the costly part of a large directory.
 */
export function unknownTopics(directory: SidecarDirectory, topics: Topics): Map<string, number> {
  const partitions = new Map<string, number>();
  for (let row = 0; row < directory.rows; row++) {
    const hash = directory.hashOf(row);
    if (topics.metHashes.has(hash)) continue;
    const { topic, partition } = directory.summary(row);
    const known = topics.lookUp(topic)?.partitions ?? 0;
    if (partition < known) topics.metHashes.add(hash);
    else partitions.set(topic, Math.max(partitions.get(topic) ?? 0, partition + 1));
  }
  return partitions;
}

/**
 * Batches are lost of which not even the partition is known. Whoever of this journal's partitions has nothing after the place may have
 * lost its last records: its offsets will be given again, so it gets a new epoch and old positions are refused.
 */
export function renewEpochs(
  { topics, logger }: { readonly topics: Topics; readonly logger: Logger },
  writer: { readonly slot: number; readonly slots: number },
  index: SegmentIndex | undefined,
  damage: SegmentDamage | undefined,
): void {
  topics.refresh();
  let renewed = 0;
  for (const topic of topics.known()) {
    for (let partition = 0; partition < topic.partitions; partition++) {
      if (ownerSlot(topic.name, topic.initialPartitions, partition, writer.slots) !== writer.slot) continue;
      const last = index?.lastPosition(topic.name, partition) ?? -1;
      if (damage !== undefined && last > damage.from) continue;
      topics.renewEpoch(topic.name, partition);
      renewed++;
    }
  }
  logger.error('epochs_renewed', {
    partitions: renewed,
    reason: 'records at the ends of these partitions may be lost',
  });
}
