/**
 * The guard around every engine, in production too: the rules that all engines share are enforced here once, so that an engine need not
 * repeat them and a faulty engine is found at its first wrong answer instead of in the data.
 *
 * Towards the caller: nothing after close; names, partitions, sizes, sequences and terms are sane before the engine sees them; a process
 * never writes under an older term than it used before. Towards the engine: runs add up and ascend, reads begin at the asked offset and
 * have no gap, terms do not go back, nothing but TandemError comes out (all else as TANDEM_STORE_FAILED with its cause).
 * A broken promise of the engine rejects that call with TANDEM_STORE_FAILED ("the engine broke its contract").
 *
 * Cost: a few comparisons per batch, never per record. Non-goals: checking data (checksums are the engine's), retrying, counting.
 */
import type {
  AppendBatch,
  AppendResult,
  Assignment,
  CommittedOffset,
  Engine,
  EngineCapabilities,
  GroupStore,
  LeaseGrant,
  LeaseStore,
  Membership,
  PartitionState,
  ReadResult,
  RecordStore,
  TopicCatalog,
  TopicInfo,
} from '../core/contracts/engine.ts';
import { asTandemError, TandemError } from '../core/errors.ts';
import type { Position } from '../core/position.ts';
import { TOPIC_NAME_PATTERN, type TopicPartition } from '../core/record.ts';
import {
  broken,
  checkCounts,
  checkRuns,
  isCount,
  requireBatch,
  requireTerm,
  type SeenPlaces,
} from './guarded-appends.ts';

/** Wraps `inner`, which must not be used otherwise from here on. */
export function guardEngine(inner: Engine): Engine {
  const gate = new Gate();
  return {
    capabilities: inner.capabilities,
    topics: guardTopics(inner.topics, gate),
    store: new GuardedStore(inner, gate),
    groups: guardGroups(inner.groups, gate),
    leases: guardLeases(inner.leases, gate),
    async claim(term) {
      requireTerm(term);
      gate.requireCurrent(term);
      await gate.run(() => inner.claim(term));
      gate.claimedTerm = Math.max(gate.claimedTerm, term);
    },
    identity: () => gate.run(() => inner.identity()),
    close: () => gate.close(() => inner.close()),
  };
}

/** Open until closed; turns whatever is thrown into a TandemError. */
class Gate {
  isOpen = true;
  /** The highest term that this process has claimed for the whole store. */
  claimedTerm = 0;
  #closing: Promise<void> | undefined;

  requireOpen(): void {
    if (!this.isOpen) throw new TandemError('TANDEM_DRAINING', { detail: 'the engine is closed' });
  }

  /** Throws TANDEM_TERM_FENCED for a term below what this process has claimed. */
  requireCurrent(term: number): void {
    if (term < this.claimedTerm) throw fenced(term, this.claimedTerm);
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    this.requireOpen();
    try {
      return await work();
    } catch (error) {
      throw storeError(error);
    }
  }

  close(work: () => Promise<void>): Promise<void> {
    this.isOpen = false;
    this.#closing ??= (async () => {
      try {
        await work();
      } catch (error) {
        throw storeError(error);
      }
    })();
    return this.#closing;
  }
}

/** What this process has seen of a partition. */
interface Seen extends SeenPlaces {
  /** The highest term used or claimed here. */
  term: number;
  calls: number;
}

class GuardedStore implements RecordStore {
  readonly #capabilities: EngineCapabilities;
  readonly #store: RecordStore;
  readonly #topics: TopicCatalog;
  readonly #gate: Gate;
  readonly #seen = new Map<string, Seen[]>();

  constructor({ capabilities, store, topics }: Engine, gate: Gate) {
    this.#capabilities = capabilities;
    this.#store = store;
    this.#topics = topics;
    this.#gate = gate;
  }

  async append(batch: AppendBatch): Promise<AppendResult> {
    this.#gate.requireOpen();
    this.#requirePlace(batch);
    requireBatch(batch);
    if (batch.origin !== undefined) this.#requireOrigins();
    if (batch.term !== undefined) this.#gate.requireCurrent(batch.term);
    const seen = this.#seenOf(batch);
    if (batch.term !== undefined && batch.term < seen.term) throw fenced(batch.term, seen.term);
    const call = ++seen.calls;
    let result: AppendResult;
    try {
      result = await this.#store.append(batch);
    } catch (error) {
      throw storeError(error);
    }
    if (this.#capabilities.answersBeforePlaces === true) checkCounts(batch, result);
    else checkRuns(batch, result, seen, call);
    if (batch.term !== undefined && batch.term > seen.term) seen.term = batch.term;
    return result;
  }

  async read(place: TopicPartition, from: Position, bytesMax: number): Promise<ReadResult> {
    this.#gate.requireOpen();
    this.#requirePlace(place);
    if (!isCount(from.offset)) throw new TandemError('TANDEM_POSITION_MALFORMED', { detail: 'offset' });
    const result = await this.#gate.run(() => this.#store.read(place, from, bytesMax));
    checkRead(place, from, result);
    return result;
  }

  async state(place: TopicPartition): Promise<PartitionState> {
    this.#gate.requireOpen();
    this.#requirePlace(place);
    const state = await this.#gate.run(() => this.#store.state(place));
    checkState(state);
    return state;
  }

  watch(place: TopicPartition, wake: () => void): () => void {
    this.#gate.requireOpen();
    this.#requirePlace(place);
    let isStopped = false;
    const stop = this.#store.watch(place, () => {
      if (!isStopped && this.#gate.isOpen) wake();
    });
    return () => {
      if (isStopped) return;
      isStopped = true;
      stop();
    };
  }

  async trim(place: TopicPartition, beforeOffset: number): Promise<number> {
    this.#gate.requireOpen();
    this.#requirePlace(place);
    if (!isCount(beforeOffset)) throw new TandemError('TANDEM_POSITION_MALFORMED', { detail: 'offset' });
    return this.#gate.run(() => this.#store.trim(place, beforeOffset));
  }

  async lastSequence(place: TopicPartition, producerId: string): Promise<number> {
    this.#gate.requireOpen();
    this.#requirePlace(place);
    return this.#gate.run(() => this.#store.lastSequence(place, producerId));
  }

  async originSequence(place: TopicPartition, originId: string): Promise<number> {
    this.#gate.requireOpen();
    this.#requirePlace(place);
    this.#requireOrigins();
    return this.#gate.run(() => this.#store.originSequence(place, originId));
  }

  async claim(place: TopicPartition, term: number): Promise<void> {
    this.#gate.requireOpen();
    this.#requirePlace(place);
    requireTerm(term);
    this.#gate.requireCurrent(term);
    const seen = this.#seenOf(place);
    if (term < seen.term) throw fenced(term, seen.term);
    await this.#gate.run(() => this.#store.claim(place, term));
    seen.term = Math.max(seen.term, term);
  }

  localPartitions(topic: string): readonly number[] {
    return this.#store.localPartitions(topic);
  }

  #requireOrigins(): void {
    if (!this.#capabilities.takesOrigins)
      throw new TandemError('TANDEM_INTERNAL', { detail: 'this engine takes no origins' });
  }

  /** A name that is not valid is certainly not known. Whether a valid one is known, the engine knows best. */
  #requirePlace({ topic, partition }: TopicPartition): void {
    if (this.#topics.peek(topic) === undefined && !TOPIC_NAME_PATTERN.test(topic))
      throw new TandemError('TANDEM_TOPIC_UNKNOWN');
    if (!isCount(partition)) throw new TandemError('TANDEM_PARTITION_UNKNOWN', { detail: `${topic} ${partition}` });
  }

  #seenOf({ topic, partition }: TopicPartition): Seen {
    let partitions = this.#seen.get(topic);
    if (partitions === undefined) {
      partitions = [];
      this.#seen.set(topic, partitions);
    }
    let seen = partitions[partition];
    if (seen === undefined) {
      seen = { term: 0, epoch: '', nextOffset: 0, calls: 0, answeredCall: 0 };
      partitions[partition] = seen;
    }
    return seen;
  }
}

function checkRead(place: TopicPartition, from: Position, result: ReadResult): void {
  checkState(result);
  // An earlier epoch will do where the store knows that its past is the same: the answer has the current one.
  const { batches, nextOffset } = result;
  if (batches.length === 0 && from.offset !== nextOffset) throw broken('an empty read before the end');
  let expected = from.offset;
  let term = 0;
  for (const batch of batches) {
    const end = batch.firstOffset + batch.set.count;
    const isFirst = expected === from.offset && batch.firstOffset < expected;
    if (batch.firstOffset !== expected && !isFirst) throw broken(`offset ${batch.firstOffset} instead of ${expected}`);
    if (end <= expected || end > nextOffset) throw broken(`a batch ends at ${end}`);
    if (batch.term < term) throw broken(`term ${batch.term} after ${term}`);
    if (batch.partition !== place.partition || batch.topic !== place.topic) throw broken('a batch of another place');
    expected = end;
    term = batch.term;
  }
}

function checkState({ epoch, firstOffset, nextOffset }: PartitionState): void {
  const isSane = isCount(firstOffset) && isCount(nextOffset) && firstOffset <= nextOffset && epoch !== '';
  if (!isSane) throw broken(`a partition from ${firstOffset} to ${nextOffset}`);
}

function guardTopics(inner: TopicCatalog, gate: Gate): TopicCatalog {
  return {
    peek: (name) => inner.peek(name),
    find: (name) => gate.run(() => inner.find(name)),
    list: () => gate.run(() => inner.list()),
    async ensure(topic: TopicInfo) {
      gate.requireOpen();
      if (!TOPIC_NAME_PATTERN.test(topic.name)) throw new TandemError('TANDEM_TOPIC_INVALID');
      if (!isCount(topic.partitions) || topic.partitions < 1)
        throw new TandemError('TANDEM_TOPIC_INVALID', { detail: 'partitions' });
      const made = await gate.run(() => inner.ensure(topic));
      if (made.name !== topic.name || made.partitions < topic.partitions) throw broken('another topic than asked for');
      return made;
    },
  };
}

function guardGroups(inner: GroupStore, gate: Gate): GroupStore {
  return {
    async join(group, topic, onChange) {
      const terms = new Map<number, number>();
      let isMember = true;
      const membership = await gate.run(() =>
        inner.join(group, topic, (assignments) =>
          isMember && gate.isOpen ? onChange(withoutOlderTerms(assignments, terms)) : undefined,
        ),
      );
      return {
        get assignments() {
          return withoutOlderTerms(membership.assignments, terms);
        },
        leave() {
          isMember = false;
          return leave(membership);
        },
      };
    },
    async commit(group: string, topic: string, offset: CommittedOffset, term: number) {
      requireTerm(term);
      gate.requireCurrent(term);
      if (!isCount(offset.offset)) throw new TandemError('TANDEM_POSITION_MALFORMED', { detail: 'offset' });
      if (!isCount(offset.partition)) throw new TandemError('TANDEM_PARTITION_UNKNOWN');
      await gate.run(() => inner.commit(group, topic, offset, term));
    },
    committed: (group, topic) => gate.run(() => inner.committed(group, topic)),
  };
}

/** Leaving is allowed after close too: close has left already. */
async function leave(membership: Membership): Promise<void> {
  try {
    await membership.leave();
  } catch (error) {
    throw storeError(error);
  }
}

/** An assignment under an older term than seen before is not one: the member must not work on it. */
function withoutOlderTerms(assignments: readonly Assignment[], terms: Map<number, number>): readonly Assignment[] {
  return assignments.filter(({ partition, term }) => {
    const isCurrent = term >= (terms.get(partition) ?? 0);
    if (isCurrent) terms.set(partition, term);
    return isCurrent;
  });
}

function guardLeases(inner: LeaseStore, gate: Gate): LeaseStore {
  let highest = 0;
  return {
    async acquire(name, holder, ttlMs) {
      if (name === '' || holder === '' || !(ttlMs > 0))
        throw new TandemError('TANDEM_INTERNAL', { detail: 'a lease needs a name, a holder and a positive ttlMs' });
      // Grants that overlap in time may be answered in any order: only those answered before this call are below.
      const before = highest;
      const grant = await gate.run(() => inner.acquire(name, holder, ttlMs));
      if (grant !== undefined && grant.term <= before) throw broken(`a lease of term ${grant.term} after ${before}`);
      highest = Math.max(highest, grant?.term ?? 0);
      return grant;
    },
    renew: (grant: LeaseGrant, ttlMs) => gate.run(() => inner.renew(grant, ttlMs)),
    release: (grant, reserveFor) => gate.run(() => inner.release(grant, reserveFor)),
    async issueTerm(grant) {
      const before = Math.max(highest, grant.term);
      const term = await gate.run(() => inner.issueTerm(grant));
      if (term <= before) throw broken(`a term ${term} was issued after ${before}`);
      highest = Math.max(highest, term);
      return term;
    },
    holder: (name) => gate.run(() => inner.holder(name)),
  };
}

const storeError = (error: unknown): TandemError => asTandemError(error, 'TANDEM_STORE_FAILED');

const fenced = (term: number, seen: number): TandemError =>
  new TandemError('TANDEM_TERM_FENCED', { detail: `${term} is below ${seen}`, data: { term: seen } });
