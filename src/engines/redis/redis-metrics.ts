/** What the Redis engine tells of itself, as one process sees it. */
import type { MetricSample } from '../../core/contracts/telemetry.ts';
import type { RedisRecordStore } from './record-store.ts';
import type { Shards } from './shards.ts';
import type { Watches } from './watches.ts';

export function sampleMetrics(store: RedisRecordStore, shards: Shards, watches: Watches): MetricSample[] {
  const { batches, records, bytes, reads, readBytes } = store.counters;
  let [calls, retries] = [0, 0];
  for (const shard of shards.known()) {
    calls += shard.calls;
    retries += shard.retries;
  }
  return [
    counter('batches', 'Batches sent to the servers, repeats included', batches),
    counter('records', 'Records in them', records),
    counter('bytes', 'Bytes of data in them', bytes),
    counter('reads', 'Reads of records from the servers', reads),
    counter('read_bytes', 'Bytes of data read', readBytes),
    counter('calls', 'Function calls sent to the servers', calls),
    counter('calls_retried', 'Calls made again because the server was another one', retries),
    counter(
      'histories',
      'Histories that began through this process: servers that were restarted or promoted',
      shards.adoptions,
    ),
    counter('wakeups', 'Messages that told of new records', watches.messages),
  ];
}

const counter = (name: string, help: string, value: number): MetricSample => ({
  name: `tandem_engine_${name}_total`,
  kind: 'counter',
  help,
  value,
});
