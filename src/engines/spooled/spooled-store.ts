/** The record store of a spool: appends go to the local log, all else is the remote engine's. */
import type { AppendBatch, AppendedRun, AppendResult, RecordStore } from '../../core/contracts/engine.ts';
import type { SpoolLog } from '../../core/contracts/spool-log.ts';
import { TandemError } from '../../core/errors.ts';
import { inTime } from '../../core/in-time.ts';
import type { Clock } from '../../core/ports/clock.ts';
import type { TopicPartition } from '../../core/record.ts';
import type { RemoteLink } from './remote-link.ts';

/** A producer that connects is not held up for longer by an engine that does not answer. */
const LAST_SEQUENCE_MS = 500;

export interface SpooledStoreOptions {
  readonly local: SpoolLog;
  readonly remote: RecordStore;
  readonly link: RemoteLink;
  readonly clock: Clock;
  readonly isClosed: () => boolean;
}

export function spooledStore({ local, remote, link, clock, isClosed }: SpooledStoreOptions): RecordStore {
  return {
    append: (batch) => (isClosed() ? Promise.reject(closed()) : local.store.append(withoutRight(batch)).then(unplaced)),
    async lastSequence(place, producerId) {
      if (isClosed()) throw closed();
      const here = local.store.lastSequence(place, producerId);
      // What it sent through another spool, or before this one was empty.
      const there = link.isAway ? 0 : inTime(clock, knownTo(remote, place, producerId), LAST_SEQUENCE_MS);
      return Math.max(await here, (await there) ?? 0);
    },
    read: (place, from, bytesMax) => remote.read(place, from, bytesMax),
    state: (place) => remote.state(place),
    watch: (place, wake) => remote.watch(place, wake),
    trim: (place, beforeOffset) => remote.trim(place, beforeOffset),
    originSequence: (place, originId) => remote.originSequence(place, originId),
    claim: (place, term) => remote.claim(place, term),
    localPartitions: (topic) => local.store.localPartitions(topic),
  };
}

/** 0 if it cannot be told. */
const knownTo = (store: RecordStore, place: TopicPartition, producerId: string): Promise<number> =>
  store.lastSequence(place, producerId).catch(() => 0);

/** Terms are the remote engine's, and what is forwarded carries none. */
function withoutRight(batch: AppendBatch): AppendBatch {
  if (batch.term === undefined) return batch;
  const { term: _, ...rest } = batch;
  return rest;
}

/** The places are those of the local log: what they will be at the remote engine nobody knows. */
function unplaced({ runs }: AppendResult): AppendResult {
  const [first] = runs;
  if (runs.length === 1 && first !== undefined) return { epoch: '', runs: [withoutPlace(first)] };
  return { epoch: '', runs: runs.map(withoutPlace) };
}

const withoutPlace = ({ count, isDuplicate }: AppendedRun): AppendedRun => ({ count, firstOffset: -1, isDuplicate });

const closed = (): TandemError => new TandemError('TANDEM_DRAINING', { detail: 'the spool is closed' });
