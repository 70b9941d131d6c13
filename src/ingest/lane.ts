/** A lane over a collector: counts what is outstanding for its source and turns records away while the node drains. */
import type { AckSink, Lane } from '../core/contracts/ingest.ts';
import { TandemError } from '../core/errors.ts';
import type { Collector } from './collector.ts';

export class CollectorLane implements Lane, AckSink {
  readonly topic: string;
  readonly partition: number;
  readonly lastSequence: number;
  inFlight = 0;
  readonly #collector: Collector;
  readonly #sink: AckSink;
  readonly #isDraining: () => boolean;
  #isClosed = false;

  constructor(collector: Collector, sink: AckSink, isDraining: () => boolean, lastSequence: number) {
    this.topic = collector.topic;
    this.partition = collector.partition;
    this.lastSequence = lastSequence;
    this.#collector = collector;
    this.#sink = sink;
    this.#isDraining = isDraining;
  }

  addLines(source: Buffer, start: number, end: number, lengths: Uint32Array, count: number): void {
    if (this.#turnsAway(count)) return;
    this.#collector.builder(end - start, count).addLines(source, start, end, lengths, count);
    this.#took(count);
  }

  addData(head: Uint8Array, tail?: Uint8Array): void {
    if (this.#turnsAway(1)) return;
    this.#collector.builder(head.length + (tail?.length ?? 0), 1).addData(head, tail);
    this.#took(1);
  }

  refuse(error: TandemError): void {
    this.inFlight++;
    this.#collector.refuse(this, error);
  }

  close(): void {
    this.#isClosed = true;
  }

  stored(partition: number, firstOffset: number, count: number, isDuplicate: boolean, epoch: string): void {
    this.inFlight -= count;
    this.#sink.stored(partition, firstOffset, count, isDuplicate, epoch);
  }

  refused(error: TandemError, count: number): void {
    this.inFlight -= count;
    this.#sink.refused(error, count);
  }

  flushed(): void {
    this.#sink.flushed();
  }

  #took(count: number): void {
    this.inFlight += count;
    this.#collector.credit(this, count);
  }

  #turnsAway(count: number): boolean {
    if (!this.#isDraining() && !this.#isClosed) return false;
    for (let i = 0; i < count; i++) this.refuse(new TandemError('TANDEM_DRAINING'));
    return true;
  }
}
