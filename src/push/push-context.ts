/** What all parts of the push stage of a worker share. */
import type { RecordStore, TopicCatalog } from '../core/contracts/engine.ts';
import type { ChannelPolicy, SessionQueues } from '../core/contracts/push.ts';
import type { Logger } from '../core/contracts/telemetry.ts';
import type { Limits } from '../core/limits.ts';
import type { Clock } from '../core/ports/clock.ts';
import type { ReplayTurns } from './replay-turns.ts';

/** Push only reads. */
export type ReadableStore = Pick<RecordStore, 'read' | 'state' | 'watch'>;

export interface PushContext {
  readonly topics: Pick<TopicCatalog, 'find'>;
  readonly store: ReadableStore;
  readonly limits: Pick<Limits, 'subscriptionsPerSessionMax'>;
  readonly policyFor: (channel: string) => ChannelPolicy;
  readonly queues: SessionQueues;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly turns: ReplayTurns;
  readonly counters: PushCounters;
}

export class PushCounters {
  sessions = 0;
  feeds = 0;
  liveSubscriptions = 0;
  replayingSubscriptions = 0;
  flushes = 0;
  flushedRecords = 0;
  liveDeliveries = 0;
  replayedRecords = 0;
  lostPositions = 0;
  endedSessions = 0;
}
