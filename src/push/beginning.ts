/**
 * Where a subscription begins, and whether that is where the client asked for.
 *
 * Per partition: `now` is the end as the store has it during the call; `start` the oldest readable record. A position is taken if its epoch is
 * the partition's, or one with the same past up to there, and its records can be read. Otherwise the answer is "incomplete" and the partition begins: trimmed, at the oldest record;
 * another epoch, at the oldest record of this one (all of it is new to the client) or where the two are known to part; beyond the end, at the end; in a damaged stretch, after it. A partition that
 * the position does not name came later and begins at its oldest record; a partition that it names and that does not exist is lost.
 * To know of damage before the answer, the first chunk of each partition is read; what fits is kept for the replay.
 */
import type { PartitionState } from '../core/contracts/engine.ts';
import { asTandemError, type TandemError } from '../core/errors.ts';
import { type Cursor, commonOffsetOf, type Position } from '../core/position.ts';
import type { StoredBatch } from '../core/record-set.ts';
import type { Feed } from './feed.ts';
import type { PushContext } from './push-context.ts';
import { retrying } from './retrying.ts';

export interface Beginning {
  readonly cursor: Map<number, Position>;
  /** False: the asked position is lost, at least in part. */
  readonly isComplete: boolean;
  /** The first records by partition, as far as they were kept. */
  readonly inHand: Map<number, readonly StoredBatch[]> | undefined;
}

export type AskedBeginning = 'now' | 'start' | Cursor;

export interface BeginningSearch {
  readonly context: PushContext;
  readonly feed: Feed;
  readonly asked: AskedBeginning;
  /** False: the subscription has ended; give up. */
  readonly isWanted: () => boolean;
}

const CHUNK_BYTES = 64 * 1024;
const KEPT_BYTES_MAX = 256 * 1024;

interface Start {
  readonly position: Position;
  readonly isComplete: boolean;
  /** There is something to read. */
  readonly isBehind: boolean;
  readonly batches: readonly StoredBatch[];
}

/** Errors: as the store's `state` and `read`, without those that pass and those of lost positions. */
export async function findBeginning(search: BeginningSearch): Promise<Beginning> {
  const { feed, asked, isWanted } = search;
  const partitions = [...feed.position.keys()];
  const starts = await Promise.all(
    partitions.map(async (partition) => startOf(await stateOf(search, partition), asked, partition)),
  );
  const cursor = new Map<number, Position>();
  const inHand = new Map<number, readonly StoredBatch[]>();
  let isComplete = typeof asked === 'string' || [...asked.keys()].every((partition) => feed.position.has(partition));
  let kept = 0;
  for (const [i, partition] of partitions.entries()) {
    const start = starts[i] as Start;
    const probed = start.isBehind && isWanted() ? await probe(search, partition, start) : start;
    const { batches } = probed;
    cursor.set(partition, probed.position);
    isComplete &&= probed.isComplete;
    const bytes = batches.reduce((sum, batch) => sum + batch.set.data.length, 0);
    if (batches.length === 0 || kept + bytes > KEPT_BYTES_MAX) continue;
    kept += bytes;
    inHand.set(partition, batches);
  }
  return { cursor, isComplete, inHand: inHand.size > 0 ? inHand : undefined };
}

function stateOf({ context, feed, isWanted }: BeginningSearch, partition: number): Promise<PartitionState> {
  const { clock, store } = context;
  return retrying(clock, isWanted, () => store.state({ topic: feed.channel, partition }));
}

function startOf({ epoch, firstOffset, nextOffset }: PartitionState, asked: AskedBeginning, partition: number): Start {
  const at = (offset: number, isComplete: boolean): Start => ({
    position: { epoch, offset },
    isComplete,
    isBehind: offset < nextOffset && asked !== 'now',
    batches: [],
  });
  if (asked === 'now') return at(nextOffset, true);
  if (asked === 'start') return at(firstOffset, true);
  const position = asked.get(partition);
  if (position === undefined) return at(firstOffset, firstOffset === 0);
  // Only the store knows whether this epoch has the same past.
  if (position.epoch !== epoch && position.epoch !== '') return { ...at(0, true), position, isBehind: true };
  if (position.offset < firstOffset) return at(firstOffset, false);
  if (position.offset > nextOffset) return at(nextOffset, false);
  return at(position.offset, true);
}

/** Reads the first chunk; moves the start beyond what turns out to be lost. */
async function probe(search: BeginningSearch, partition: number, start: Start): Promise<Start> {
  const { context, feed, asked, isWanted } = search;
  const { clock, store, turns } = context;
  const place = { topic: feed.channel, partition };
  let { position, isComplete } = start;
  while (isWanted()) {
    const from = position;
    try {
      const { batches, epoch } = await retrying(clock, isWanted, () =>
        turns.run(() => store.read(place, from, CHUNK_BYTES)),
      );
      return { position: { epoch, offset: from.offset }, isComplete, isBehind: true, batches };
    } catch (thrown) {
      const error = asTandemError(thrown);
      position = await beyond(search, partition, from, error);
      // From `start` the oldest record is wanted, whichever it is by now.
      if (asked !== 'start' || error.code === 'TANDEM_LOG_CORRUPT') isComplete = false;
    }
  }
  return { position, isComplete, isBehind: true, batches: [] };
}

/** Where reading can go on after the error; throws it if it is of another kind. */
async function beyond(
  search: BeginningSearch,
  partition: number,
  from: Position,
  error: TandemError,
): Promise<Position> {
  if (error.code === 'TANDEM_LOG_CORRUPT') {
    const next = error.data?.['nextOffset'];
    if (typeof next !== 'number' || next <= from.offset) throw error;
    return { epoch: from.epoch, offset: next };
  }
  if (error.code !== 'TANDEM_POSITION_LOST' && error.code !== 'TANDEM_POSITION_AHEAD') throw error;
  const { epoch, firstOffset, nextOffset } = await stateOf(search, partition);
  if (error.code === 'TANDEM_POSITION_AHEAD') return { epoch, offset: nextOffset };
  return { epoch, offset: Math.max(firstOffset, commonOffsetOf(error, epoch)) };
}
