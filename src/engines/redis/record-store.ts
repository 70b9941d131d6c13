/**
 * The records of a Redis store, as the functions of library/records.lua.ts keep them.
 *
 * - Any process appends to any partition: the server makes each append atomic. Appends are pipelined over one connection per server, so that they
 *   are executed in the order of the calls.
 * - No holes: an append of a producer that is called while another one of it is in hand says which sequence must be stored before; so whatever
 *   happened to that one, in whichever connection, the server refuses what follows it. Origins say so themselves.
 * - Data goes to the server as it is, one call per batch.
 */
import type {
  AppendBatch,
  AppendedRun,
  AppendResult,
  PartitionState,
  ReadResult,
  RecordStore,
  TopicInfo,
} from '../../core/contracts/engine.ts';
import { asTandemError, TandemError } from '../../core/errors.ts';
import { BATCH_BYTES_MAX, BATCH_RECORDS_MAX } from '../../core/limits.ts';
import type { Position } from '../../core/position.ts';
import type { TopicPartition } from '../../core/record.ts';
import type { RecordSet, StoredBatch } from '../../core/record-set.ts';
import type { RedisReply } from './connections/redis-servers.ts';
import { batchOf } from './entries.ts';
import type { Chain, Partition, Partitions } from './partitions.ts';
import type { Shard } from './shard.ts';
import { type Answer, statusOf } from './shard.ts';
import type { StoreTerm } from './store-term.ts';
import type { Topics } from './topics.ts';
import type { Watches } from './watches.ts';

export interface RecordStoreOptions {
  readonly topics: Topics;
  readonly partitions: Partitions;
  readonly catalog: Shard;
  readonly term: StoreTerm;
  readonly watches: Watches;
  /** localPartitions are those with partition % slots === slot. */
  readonly slot: number;
  readonly slots: number;
}

const ATTRIBUTES_FLAG = 0x8000_0000;
const NO_LENGTHS = Buffer.alloc(0);

export class RedisRecordStore implements RecordStore {
  readonly counters = { batches: 0, records: 0, bytes: 0, reads: 0, readBytes: 0 };
  readonly #options: RecordStoreOptions;
  /** Topics that are being looked up: what is called meanwhile stays behind what was called before. */
  readonly #finding = new Map<string, Promise<TopicInfo>>();
  readonly #inHand = new Set<Promise<unknown>>();
  #isClosed = false;

  constructor(options: RecordStoreOptions) {
    this.#options = options;
  }

  append(batch: AppendBatch): Promise<AppendResult> {
    try {
      this.#requireOpen();
      requireSize(batch.set);
      const found = this.#partition(batch);
      const appended =
        found instanceof Promise
          ? found.then((partition) => this.#append(partition, batch))
          : this.#append(found, batch);
      this.#inHand.add(appended);
      return appended.finally(() => this.#inHand.delete(appended));
    } catch (error) {
      return Promise.reject(asTandemError(error));
    }
  }

  async read(place: TopicPartition, from: Position, bytesMax: number): Promise<ReadResult> {
    this.#requireOpen();
    const partition = await this.#partition(place);
    const { watches } = this.#options;
    const arms = watches.isWatched(partition) ? '1' : '0';
    const args = [from.epoch, String(from.offset), String(Math.max(1, Math.floor(bytesMax))), arms];
    const answer = await partition.shard.call('read', partition.keys, args);
    const state = stateOf(partition, answer);
    const status = statusOf(answer);
    if (status === 'LOST') throw positionLost(state, answer[4]);
    if (status === 'AHEAD') throw new TandemError('TANDEM_POSITION_AHEAD', { data: { ...state } });
    if (answer[4] === 1) watches.armed(partition, state.nextOffset);
    const batches = (answer[5] as readonly RedisReply[]).map((entry) => batchOf(partition, entry));
    requireWhole(partition, from.offset, state.nextOffset, batches);
    this.counters.reads++;
    for (const { set } of batches) this.counters.readBytes += set.data.length;
    return { ...state, batches };
  }

  async state(place: TopicPartition): Promise<PartitionState> {
    this.#requireOpen();
    const partition = await this.#partition(place);
    return stateOf(partition, await partition.shard.call('state', partition.keys, []));
  }

  watch(place: TopicPartition, wake: () => void): () => void {
    this.#requireOpen();
    const found = this.#partition(place);
    const { watches } = this.#options;
    if (!(found instanceof Promise)) return watches.add(found, wake);
    let isStopped = false;
    let stop = (): void => {
      isStopped = true;
    };
    found.then(
      (partition) => {
        if (!isStopped) stop = watches.add(partition, wake);
      },
      // No such place: there is nothing to wake for.
      () => {},
    );
    return () => stop();
  }

  async trim(place: TopicPartition, beforeOffset: number): Promise<number> {
    this.#requireOpen();
    const partition = await this.#partition(place);
    for (;;) {
      const args = [this.#options.term.text, String(beforeOffset)];
      const [, firstOffset, hasMore] = await partition.shard.call('trim', partition.appendKeys, args);
      if (hasMore !== 1) return Number(firstOffset);
    }
  }

  async lastSequence(place: TopicPartition, producerId: string): Promise<number> {
    return this.#sequence('last_sequence', 'producers', place, producerId);
  }

  async originSequence(place: TopicPartition, originId: string): Promise<number> {
    return this.#sequence('origin_sequence', 'origins', place, originId);
  }

  async claim(place: TopicPartition, term: number): Promise<void> {
    this.#requireOpen();
    const partition = await this.#partition(place);
    const { catalog, term: own } = this.#options;
    const keys = [catalog.key('claims'), catalog.key('term')];
    const args = [own.text, String(term)];
    await catalog.call('note_claim', keys, [...args, `${place.topic}/${place.partition}`]);
    await partition.shard.call('claim_partition', partition.keys, args);
  }

  localPartitions(topic: string): readonly number[] {
    const info = this.#options.topics.peek(topic);
    if (info === undefined) throw new TandemError('TANDEM_TOPIC_UNKNOWN', { detail: topic });
    const { slot, slots } = this.#options;
    const all = Array.from({ length: info.partitions }, (_, partition) => partition);
    const own = all.filter((partition) => partition % slots === slot);
    return own.length === 0 ? all : own;
  }

  /** From now on every call is refused; resolves when the appends in hand are settled. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled(this.#inHand);
  }

  #append(partition: Partition, batch: AppendBatch): Promise<AppendResult> {
    const { set, producer, origin, term } = batch;
    const { counters } = this;
    counters.batches++;
    counters.records += set.count;
    counters.bytes += set.data.length;
    const own = this.#options.term;
    const head = [
      term === undefined || term >= own.own ? own.text : String(term),
      term === undefined ? '' : String(term),
      String(set.count),
      set.data,
      lengthsOf(set),
    ];
    if (origin !== undefined) {
      const after = origin.after ?? origin.sequence - 1;
      const args = [
        ...head,
        producer?.id ?? '',
        String(producer?.sequence ?? 0),
        origin.id,
        String(origin.sequence),
        String(after),
      ];
      return partition.shard
        .write('append', partition.producerKeys, args)
        .then((answer) => resultOf(partition, answer));
    }
    if (producer === undefined)
      return partition.shard.write('append', partition.appendKeys, head).then((answer) => resultOf(partition, answer));
    return this.#appendInChain(partition, head, producer.id, producer.sequence, set.count);
  }

  #appendInChain(
    partition: Partition,
    head: readonly (string | Buffer)[],
    id: string,
    sequence: number,
    count: number,
  ): Promise<AppendResult> {
    let chain = partition.chains.get(id);
    if (chain === undefined) {
      chain = { inFlight: 0, lastSequence: 0, error: undefined };
      partition.chains.set(id, chain);
    }
    const args = [...head, id, String(sequence), '', '', String(chain.lastSequence)];
    chain.inFlight++;
    chain.lastSequence = Math.max(chain.lastSequence, sequence + count - 1);
    return inChain(partition, id, chain, partition.shard.write('append', partition.producerKeys, args));
  }

  async #sequence(name: string, part: 'producers' | 'origins', place: TopicPartition, id: string): Promise<number> {
    this.#requireOpen();
    const partition = await this.#partition(place);
    const [, last] = await partition.shard.call(name, [partition.key(part)], [id]);
    return Number(last);
  }

  /** At once where the topic is known. Errors: TANDEM_TOPIC_UNKNOWN, TANDEM_PARTITION_UNKNOWN. */
  #partition(place: TopicPartition): Partition | Promise<Partition> {
    const { topics, partitions } = this.#options;
    const finding = this.#finding.get(place.topic);
    const known = topics.peek(place.topic);
    const isKnown = known !== undefined && place.partition < known.partitions;
    if (isKnown && finding === undefined) {
      requirePartition(place, known);
      return partitions.get(place);
    }
    return (finding ?? this.#find(place.topic)).then((info) => {
      requirePartition(place, info);
      return partitions.get(place);
    });
  }

  #find(topic: string): Promise<TopicInfo> {
    const found = this.#options.topics.find(topic).then((info) => {
      if (info === undefined) throw new TandemError('TANDEM_TOPIC_UNKNOWN', { detail: topic });
      return info;
    });
    this.#finding.set(topic, found);
    // After whatever waits for it.
    const forget = (): void => queueMicrotask(() => this.#finding.delete(topic));
    found.then(forget, forget);
    return found;
  }

  #requireOpen(): void {
    if (this.#isClosed) throw new TandemError('TANDEM_DRAINING', { detail: 'the engine is closed' });
  }
}

async function inChain(
  partition: Partition,
  id: string,
  chain: Chain,
  appended: Promise<Answer>,
): Promise<AppendResult> {
  try {
    const answer = await appended;
    if (statusOf(answer) === 'AFTER') throw chain.error ?? missingBefore();
    return resultOf(partition, answer);
  } catch (error) {
    chain.error ??= error as TandemError;
    // What is called from here on knows of the rejection.
    if (partition.chains.get(id) === chain) partition.chains.delete(id);
    throw error;
  } finally {
    chain.inFlight--;
    if (chain.inFlight === 0 && partition.chains.get(id) === chain) partition.chains.delete(id);
  }
}

const missingBefore = (): TandemError =>
  new TandemError('TANDEM_STORE_FAILED', { detail: 'an earlier append of the producer was not stored' });

function resultOf(partition: Partition, answer: Answer): AppendResult {
  const status = statusOf(answer);
  if (status !== 'OK') throw refusal(status, answer[1]);
  const runs: AppendedRun[] = [];
  for (let i = 2; i + 2 < answer.length; i += 3)
    runs.push({
      count: answer[i] as number,
      firstOffset: answer[i + 1] as number,
      isDuplicate: answer[i + 2] === 1,
    });
  return { epoch: partition.epochOf(answer[1] as Buffer), runs };
}

function refusal(status: string, what: RedisReply | undefined): TandemError {
  const sequence = Number(what);
  if (status === 'GAP')
    return new TandemError('TANDEM_ORIGIN_GAP', { detail: `the last sequence is ${sequence}`, data: { sequence } });
  if (status === 'LEFT_OUT')
    return new TandemError('TANDEM_PRODUCER_INVALID', {
      detail: `sequence ${sequence} was left out before higher ones and can no longer be stored under it`,
      data: { sequence },
    });
  return new TandemError('TANDEM_STORE_FAILED', { detail: `an append was answered ${status}` });
}

function positionLost(state: PartitionState, common: RedisReply | undefined): TandemError {
  const isKnown = typeof common === 'number' && common >= 0;
  return new TandemError('TANDEM_POSITION_LOST', { data: { ...state, ...(isKnown ? { commonOffset: common } : {}) } });
}

const stateOf = (partition: Partition, answer: Answer): PartitionState => ({
  epoch: partition.epochOf(answer[1] as Buffer),
  firstOffset: answer[2] as number,
  nextOffset: answer[3] as number,
});

/** Somebody else has removed entries, if not. */
function requireWhole(
  place: TopicPartition,
  offset: number,
  nextOffset: number,
  batches: readonly StoredBatch[],
): void {
  let expected = offset;
  for (const { firstOffset, set } of batches) {
    if (firstOffset > expected || firstOffset + set.count <= expected) break;
    expected = firstOffset + set.count;
  }
  const last = batches.at(-1);
  const end = last === undefined ? offset : last.firstOffset + last.set.count;
  if (expected === end && (end > offset || offset === nextOffset)) return;
  const after = batches.find(({ firstOffset }) => firstOffset > expected);
  throw new TandemError('TANDEM_LOG_CORRUPT', {
    detail: `${place.topic}/${place.partition}: entries were removed by another program`,
    data: { fromOffset: expected, nextOffset: after?.firstOffset ?? nextOffset },
  });
}

function requirePartition({ topic, partition }: TopicPartition, info: TopicInfo): void {
  if (!Number.isInteger(partition) || partition < 0 || partition >= info.partitions)
    throw new TandemError('TANDEM_PARTITION_UNKNOWN', { detail: `${topic}/${partition}` });
}

function requireSize({ data, count }: RecordSet): void {
  if ((data.length > BATCH_BYTES_MAX && count > 1) || count > BATCH_RECORDS_MAX)
    throw new TandemError('TANDEM_BATCH_TOO_LARGE');
}

/** None for one record without attributes: its length is that of the data. */
function lengthsOf({ lengths, count }: RecordSet): Buffer {
  if (count === 1 && ((lengths[0] as number) & ATTRIBUTES_FLAG) === 0) return NO_LENGTHS;
  return Buffer.from(lengths.buffer, lengths.byteOffset, count * Uint32Array.BYTES_PER_ELEMENT);
}
