/** The push stage's numbers under their Prometheus names. */
import type { MetricSample } from '../core/contracts/telemetry.ts';
import type { PushCounters } from './push-context.ts';

export function samplesOf(counters: PushCounters): MetricSample[] {
  const sample = (kind: 'counter' | 'gauge', name: string, value: number, help: string): MetricSample => ({
    name: `tandem_push_${name}`,
    kind,
    help,
    value,
  });
  const { sessions, feeds, liveSubscriptions, replayingSubscriptions } = counters;
  return [
    sample('gauge', 'sessions', sessions, 'Sessions now'),
    sample('gauge', 'feeds', feeds, 'Topics that somebody is subscribed to'),
    sample('gauge', 'live_subscriptions', liveSubscriptions, 'Subscriptions that are live'),
    sample('gauge', 'replaying_subscriptions', replayingSubscriptions, 'Subscriptions that are being replayed'),
    sample('counter', 'flushes_total', counters.flushes, 'Flushes of feeds'),
    sample('counter', 'flushed_records_total', counters.flushedRecords, 'Records in flushes of feeds'),
    sample('counter', 'live_deliveries_total', counters.liveDeliveries, 'Records times live sessions'),
    sample('counter', 'replayed_records_total', counters.replayedRecords, 'Records delivered by replays'),
    sample('counter', 'lost_positions_total', counters.lostPositions, 'Gaps told under live feeds and replays'),
    sample('counter', 'ended_sessions_total', counters.endedSessions, 'Sessions ended by push with an error'),
  ];
}
