/**
 * A shipment is one append in the making: records of one partition (and at most one producer), and whose they are.
 * Runs stand in the order of the records; a run with `error` stands for one refused record that holds its place among the answers.
 */
import type { AppendBatch, AppendedRun, AppendResult } from '../core/contracts/engine.ts';
import type { AckSink } from '../core/contracts/ingest.ts';
import type { TandemError } from '../core/errors.ts';
import type { ProducerSequence } from '../core/record.ts';
import type { RecordSetBuilder } from '../core/record-set.ts';

interface Run {
  readonly sink: AckSink;
  count: number;
  readonly error: TandemError | undefined;
}

export class Shipment {
  readonly topic: string;
  readonly partition: number;
  readonly #producer: { readonly id: string } | undefined;
  /** Of the first record, with a producer. */
  #firstSequence: number;
  readonly builder: RecordSetBuilder;
  readonly #runs: Run[] = [];
  #countedBytes = 0;

  constructor(topic: string, partition: number, builder: RecordSetBuilder, producer: ProducerSequence | undefined) {
    this.topic = topic;
    this.partition = partition;
    this.builder = builder;
    this.#producer = producer;
    this.#firstSequence = producer?.sequence ?? 0;
  }

  /** `count` records that were just added to the builder belong to `sink`. */
  credit(sink: AckSink, count: number): void {
    const last = this.#runs.at(-1);
    if (last !== undefined && last.sink === sink && last.error === undefined) last.count += count;
    else this.#runs.push({ sink, count, error: undefined });
  }

  /** Bytes that came in since the last call, for the account of unfinished bytes. */
  growth(): number {
    const bytes = this.bytes;
    const grown = bytes - this.#countedBytes;
    this.#countedBytes = bytes;
    return grown;
  }

  get bytes(): number {
    return this.builder.byteLength + this.builder.count * 4;
  }

  /** One refused record before, between or after the others. Before them it uses up the first sequence. */
  refuse(sink: AckSink, error: TandemError): void {
    if (this.builder.count === 0) this.#firstSequence++;
    this.#runs.push({ sink, count: 1, error });
  }

  batch(): AppendBatch {
    const { topic, partition } = this;
    const set = this.builder.view();
    if (this.#producer === undefined) return { topic, partition, set };
    return { topic, partition, set, producer: { id: this.#producer.id, sequence: this.#firstSequence } };
  }

  /** Hands out the answers of a successful append; `result` is absent if there was nothing to append. */
  answer(result: AppendResult | undefined): void {
    const places = new Places(this.partition, result?.epoch ?? '', result?.runs ?? []);
    for (const run of this.#runs) {
      if (run.error === undefined) places.give(run.sink, run.count);
      else run.sink.refused(run.error, 1);
    }
    this.#flushed();
  }

  fail(error: TandemError): void {
    for (const run of this.#runs) run.sink.refused(run.error ?? error, run.count);
    this.#flushed();
  }

  #flushed(): void {
    for (const run of this.#runs) run.sink.flushed();
  }
}

/** Deals the stored runs out to the sinks' runs: both lists are in the same order, with other boundaries. */
class Places {
  readonly #partition: number;
  readonly #epoch: string;
  readonly #stored: readonly AppendedRun[];
  #index = 0;
  #used = 0;

  constructor(partition: number, epoch: string, stored: readonly AppendedRun[]) {
    this.#partition = partition;
    this.#epoch = epoch;
    this.#stored = stored;
  }

  give(sink: AckSink, count: number): void {
    let left = count;
    while (left > 0) {
      const stored = this.#stored[this.#index] as AppendedRun;
      const part = Math.min(left, stored.count - this.#used);
      const first = stored.firstOffset === -1 ? -1 : stored.firstOffset + this.#used;
      sink.stored(this.#partition, first, part, stored.isDuplicate, this.#epoch);
      left -= part;
      this.#used += part;
      if (this.#used === stored.count) {
        this.#index++;
        this.#used = 0;
      }
    }
  }
}
