/** What the embedded engine tells of itself. */
import type { MetricSample } from '../../core/contracts/telemetry.ts';
import type { Compactor } from './compactor.ts';
import type { LocalStore } from './local-store.ts';
import type { Peers } from './peers/peers.ts';
import type { RecoveryReport } from './recovery.ts';
import type { Retention } from './retention.ts';

export function sampleMetrics(
  local: LocalStore,
  retention: Retention,
  compactor: Compactor,
  peers: Peers,
  report: RecoveryReport,
): MetricSample[] {
  const { counters } = local.journal;
  const damages = report.damages + local.reader.damagedReads + compactor.counters.refused;
  const gauge = (name: string, help: string, value: number): MetricSample => ({
    name: `tandem_engine_${name}`,
    kind: 'gauge',
    help,
    value,
  });
  return [
    counter('flushes', 'Flushes made durable', counters.flushes),
    counter('records', 'Records made durable', counters.records),
    counter('bytes', 'Bytes made durable, headers included', counters.bytes),
    counter('sync_seconds', 'Time spent forcing data to the medium', counters.syncSeconds),
    counter('disk_full', 'Flushes refused for lack of space', counters.diskFull),
    counter('damages', 'Damaged places found in the log', damages),
    counter('torn_tails', 'Unfinished flushes cut off at the start', report.tornTails),
    counter('segments_deleted', 'Segments deleted by retention', retention.deletedSegments),
    counter('segments_compacted', 'Segments replaced by compaction', compactor.counters.segments),
    counter('compaction_bytes', 'Bytes that compaction has copied', compactor.counters.copiedBytes),
    counter('compaction_freed_bytes', 'Bytes that compaction has given back', compactor.counters.freedBytes),
    gauge('segments', 'Sealed segments known to this worker', local.segmentCount),
    peerRequests(peers),
  ];
}

export const peerRequests = ({ requests }: Peers): MetricSample =>
  counter('peer_requests', 'Requests sent to the owners of other partitions', requests);

const counter = (name: string, help: string, value: number): MetricSample => ({
  name: `tandem_engine_${name}_total`,
  kind: 'counter',
  help,
  value,
});
