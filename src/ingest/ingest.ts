/**
 * Ingest: the only way in. Validates, chooses the partition, gathers records into batches and appends them.
 *
 * Which partition: explicit, else by the hash of the key, else by the hash of the producer's id, else one of the partitions that this
 * worker appends to itself, spread evenly over sources (lanes, affinities). So a producer's sequences may be spread over partitions; each
 * partition knows the ones that it got, in rising order.
 * Invariants: answers of a source come in the order of its records; nothing is answered as stored that the engine did not resolve;
 * unfinished bytes are counted, and listeners stop reading above limits.ingestBytesMax.
 * Non-goals: parsing (listeners), rights (listeners), retries (the sender's; a producer sequence makes them safe).
 */
import type { RecordStore, TopicCatalog, TopicInfo } from '../core/contracts/engine.ts';
import type { AppendOptions, Ingest, Lane, LaneOptions, Receipt } from '../core/contracts/ingest.ts';
import type { MetricSample, MetricSource } from '../core/contracts/telemetry.ts';
import { TandemError } from '../core/errors.ts';
import { BATCH_BYTES_MAX, BATCH_RECORDS_MAX, type Limits } from '../core/limits.ts';
import { partitionForKey } from '../core/partitioning.ts';
import type { Clock } from '../core/ports/clock.ts';
import {
  PRODUCER_ID_PATTERN,
  type ProducerSequence,
  partitionKey,
  type RecordInput,
  TOPIC_NAME_PATTERN,
} from '../core/record.ts';
import { AppendCall } from './append-call.ts';
import { Collector } from './collector.ts';
import { Dispatch } from './dispatch.ts';
import { CollectorLane } from './lane.ts';
import { Shipment } from './shipment.ts';

export interface IngestOptions {
  readonly topics: TopicCatalog;
  readonly store: RecordStore;
  readonly clock: Clock;
  readonly limits: Limits;
  /** What a topic gets that is created by its first record. */
  readonly newTopic: (name: string) => TopicInfo;
}

export interface IngestStage extends Ingest, MetricSource {
  /** Received and not yet stored; sockets are not read above limits.ingestBytesMax. */
  readonly unfinishedBytes: number;
}

export function createIngest(options: IngestOptions): IngestStage {
  return new CollectingIngest(options);
}

class CollectingIngest implements IngestStage {
  readonly #options: IngestOptions;
  readonly #dispatch: Dispatch;
  readonly #collectors = new Map<string, Collector>();
  readonly #creating = new Map<string, Promise<TopicInfo>>();
  #sources = 0;
  #isDraining = false;

  constructor(options: IngestOptions) {
    this.#options = options;
    this.#dispatch = new Dispatch(options.store, options.clock, options.limits.ingestBytesMax);
  }

  get unfinishedRecords(): number {
    return this.#dispatch.unfinishedRecords;
  }

  get unfinishedBytes(): number {
    return this.#dispatch.unfinishedBytes;
  }

  get isSaturated(): boolean {
    return this.#dispatch.isSaturated;
  }

  whenReady(callback: () => void): void {
    this.#dispatch.whenReady(callback);
  }

  async drain(): Promise<void> {
    this.#isDraining = true;
    await this.#dispatch.whenIdle();
  }

  async openLane(options: LaneOptions): Promise<Lane> {
    const { producer, sink } = options;
    if (this.#isDraining) throw new TandemError('TANDEM_DRAINING');
    if (producer !== undefined) checkProducer(producer);
    const topic = await this.#topic(options.topic);
    const partition = this.#partitionOf(topic, options.partition, producer, undefined, this.#sources++);
    if (producer === undefined)
      return new CollectorLane(this.#collector(topic.name, partition), sink, this.#isClosed, 0);
    const lastSequence = await this.#options.store.lastSequence({ topic: topic.name, partition }, producer.id);
    const collector = new Collector(this.#dispatch, topic.name, partition, producer);
    return new CollectorLane(collector, sink, this.#isClosed, lastSequence);
  }

  async append(options: AppendOptions): Promise<readonly Receipt[]> {
    const { producer, records } = options;
    if (this.#isDraining) throw new TandemError('TANDEM_DRAINING');
    if (producer !== undefined) checkProducer(producer);
    this.#checkSizes(records);
    // No await while the topic is known: calls of one turn keep their order.
    const topic = this.#options.topics.peek(options.topic) ?? (await this.#topic(options.topic));
    if (producer !== undefined) return this.#shipAlone(topic, options, producer);
    const call = new AppendCall(options.records.length);
    this.#gather(topic, options, call);
    return call.settled();
  }

  metrics(): MetricSample[] {
    const { totals } = this.#dispatch;
    const counter = (name: string, help: string, value: number): MetricSample => ({
      name,
      kind: 'counter',
      help,
      value,
    });
    return [
      counter('tandem_ingest_records_total', 'Records stored', totals.records),
      counter(
        'tandem_ingest_duplicates_total',
        'Records that were stored before and not stored again',
        totals.duplicates,
      ),
      counter('tandem_ingest_refused_records_total', 'Records that the store refused', totals.refused),
      counter('tandem_ingest_bytes_total', 'Bytes of stored records', totals.bytes),
      counter('tandem_ingest_appends_total', 'Batches stored', totals.appends),
      counter(
        'tandem_ingest_append_seconds_total',
        'Time from append to durable, summed over batches',
        totals.appendMs / 1000,
      ),
      {
        name: 'tandem_ingest_unfinished_bytes',
        kind: 'gauge',
        help: 'Received, not yet stored',
        value: this.#dispatch.unfinishedBytes,
      },
    ];
  }

  readonly #isClosed = (): boolean => this.#isDraining;

  #gather(topic: TopicInfo, options: AppendOptions, call: AppendCall): void {
    const spread = options.affinity ?? this.#sources++;
    for (const record of options.records) {
      const partition = this.#partitionOf(topic, options.partition, undefined, record.key, spread);
      const collector = this.#collector(topic.name, partition);
      collector.builder(bytesOf(record), 1).add(record);
      collector.credit(call, 1);
    }
  }

  /** One shipment for each run of records of one partition, since a batch's sequences have no gap. The receipts keep the records' order. */
  async #shipAlone(topic: TopicInfo, options: AppendOptions, producer: ProducerSequence): Promise<readonly Receipt[]> {
    const { records } = options;
    if (records.length > BATCH_RECORDS_MAX)
      throw new TandemError('TANDEM_BATCH_TOO_LARGE', { detail: `${BATCH_RECORDS_MAX} records with a producer` });
    const partitions = records.map(({ key }) => this.#partitionOf(topic, options.partition, producer, key, 0));
    const shipments: Shipment[] = [];
    const calls: AppendCall[] = [];
    for (let start = 0, end = 0; start < records.length; start = end) {
      const partition = partitions[start] as number;
      while (partitions[end] === partition) end++;
      const first = { id: producer.id, sequence: producer.sequence + start };
      const shipment = new Shipment(topic.name, partition, this.#dispatch.takeBuilder(), first);
      const call = new AppendCall(end - start);
      for (let at = start; at < end; at++) shipment.builder.add(records[at] as RecordInput);
      shipment.credit(call, end - start);
      if (shipment.builder.byteLength > BATCH_BYTES_MAX && end - start > 1)
        throw new TandemError('TANDEM_BATCH_TOO_LARGE', { detail: `${BATCH_BYTES_MAX} bytes with a producer` });
      shipments.push(shipment);
      calls.push(call);
    }
    for (const shipment of shipments) this.#dispatch.scheduleLoose(shipment);
    return receiptsOf(calls);
  }

  #collector(topic: string, partition: number): Collector {
    const key = partitionKey(topic, partition);
    let collector = this.#collectors.get(key);
    if (collector === undefined) {
      collector = new Collector(this.#dispatch, topic, partition, undefined);
      this.#collectors.set(key, collector);
    }
    return collector;
  }

  #partitionOf(
    topic: TopicInfo,
    wanted: number | undefined,
    producer: ProducerSequence | undefined,
    key: string | undefined,
    spread: number,
  ): number {
    if (wanted !== undefined) {
      if (Number.isInteger(wanted) && wanted >= 0 && wanted < topic.partitions) return wanted;
      throw new TandemError('TANDEM_PARTITION_UNKNOWN', {
        detail: `${topic.name}/${wanted}, the topic has ${topic.partitions}`,
      });
    }
    const named = key ?? producer?.id;
    if (named !== undefined) return partitionForKey(named, topic.partitions);
    const local = this.#options.store.localPartitions(topic.name);
    return local[spread % local.length] ?? spread % topic.partitions;
  }

  async #topic(name: string): Promise<TopicInfo> {
    const { topics, limits, newTopic } = this.#options;
    const known = topics.peek(name);
    if (known !== undefined) return known;
    if (!TOPIC_NAME_PATTERN.test(name))
      throw new TandemError('TANDEM_TOPIC_INVALID', { detail: JSON.stringify(name.slice(0, 140)) });
    const found = await topics.find(name);
    if (found !== undefined) return found;
    if (!limits.topicAutoCreate) throw new TandemError('TANDEM_TOPIC_UNKNOWN', { detail: name });
    let creating = this.#creating.get(name);
    if (creating === undefined) {
      creating = topics.ensure(newTopic(name)).finally(() => this.#creating.delete(name));
      this.#creating.set(name, creating);
    }
    return creating;
  }

  #checkSizes(records: readonly RecordInput[]): void {
    const { recordBytesMax } = this.#options.limits;
    records.forEach((record, index) => {
      const bytes = bytesOf(record);
      if (bytes <= recordBytesMax) return;
      throw new TandemError('TANDEM_RECORD_TOO_LARGE', {
        detail: `record ${index + 1} has ${bytes} bytes, the limit is ${recordBytesMax}`,
      });
    });
  }
}

/** Of all calls in their order; rejects with the first error when all are settled. */
async function receiptsOf(calls: readonly AppendCall[]): Promise<readonly Receipt[]> {
  const [only] = calls;
  if (only !== undefined && calls.length === 1) return only.settled();
  const results = await Promise.allSettled(calls.map((call) => call.settled()));
  return results.flatMap((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}

function bytesOf(record: RecordInput): number {
  let bytes = record.data.length;
  if (record.key !== undefined) bytes += Buffer.byteLength(record.key);
  if (record.headers !== undefined) bytes += Buffer.byteLength(JSON.stringify(record.headers));
  return bytes;
}

function checkProducer(producer: ProducerSequence): void {
  if (!PRODUCER_ID_PATTERN.test(producer.id)) throw new TandemError('TANDEM_PRODUCER_INVALID', { detail: 'the id' });
  if (!Number.isSafeInteger(producer.sequence) || producer.sequence < 1) {
    throw new TandemError('TANDEM_PRODUCER_INVALID', { detail: `the sequence ${producer.sequence}` });
  }
}
