/** What a spool tells of itself. */
import type { MetricSample } from '../../core/contracts/telemetry.ts';
import type { Clock } from '../../core/ports/clock.ts';
import type { Forwarding } from './forwarding.ts';
import type { SpoolRoom } from './spool-room.ts';

export interface SpoolParts {
  readonly forwarding: Forwarding;
  readonly room: SpoolRoom;
  readonly clock: Clock;
  readonly isRemoteAway: boolean;
}

export function sampleSpool({ forwarding, room, clock, isRemoteAway }: SpoolParts): MetricSample[] {
  const { counters, oldestMs } = forwarding;
  const oldestSeconds = oldestMs === undefined ? 0 : Math.max(0, clock.nowMs() - oldestMs) / 1000;
  return [
    gauge('records', 'Records that are not confirmed by the engine yet', forwarding.unconfirmedRecords),
    gauge('bytes', 'Bytes in the spool, those that are kept for the window included', room.bytes),
    gauge('oldest_seconds', 'Age of the oldest record that is not confirmed yet', oldestSeconds),
    gauge('window_seconds', 'For how long confirmed records are kept now', forwarding.windowMs / 1000),
    gauge('in_flight_bytes', 'Bytes on the way to the engine', forwarding.inFlightBytes),
    gauge('waiting_appends', 'Appends that wait for room', room.waitingAppends),
    gauge('is_remote_away', '1: the engine does not take records', isRemoteAway ? 1 : 0),
    counter('forwarded', 'Records that the engine has confirmed', counters.forwarded),
    counter('sent_again', 'Records that were sent to the engine more than once', counters.sentAgain),
    counter(
      'lost',
      'Records that the engine has lost after it had confirmed them, and the spool keeps no more',
      counters.lost,
    ),
    counter('refused_appends', 'Appends refused for lack of room', room.refusedBatches),
  ];
}

const gauge = (name: string, help: string, value: number): MetricSample => ({
  name: `tandem_spool_${name}`,
  kind: 'gauge',
  help,
  value,
});

const counter = (name: string, help: string, value: number): MetricSample => ({
  name: `tandem_spool_${name}_total`,
  kind: 'counter',
  help,
  value,
});
