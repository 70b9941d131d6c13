/**
 * A collector gathers records of one partition (and at most one producer) while the previous append is under way, so that
 * appends grow with the load instead of queueing up: one shipment in the engine, one being filled.
 *
 * Invariants: shipments leave in order; answers come in order; with a producer, nothing is shipped after a failure (no holes in its
 * sequence: a later success would make the failed records look like repeats).
 */
import type { AckSink } from '../core/contracts/ingest.ts';
import type { TandemError } from '../core/errors.ts';
import { BATCH_BYTES_MAX, BATCH_RECORDS_MAX } from '../core/limits.ts';
import type { RecordSetBuilder } from '../core/record-set.ts';
import type { Dispatch, ShipmentOwner } from './dispatch.ts';
import { Shipment } from './shipment.ts';

export class Collector implements ShipmentOwner {
  readonly topic: string;
  readonly partition: number;
  readonly #dispatch: Dispatch;
  readonly #producerId: string | undefined;
  #nextSequence: number;
  #open: Shipment | undefined;
  /** Full ones, waiting for the flush. */
  #full: Shipment[] = [];
  #shippedCount = 0;
  #isDirty = false;
  #failure: TandemError | undefined;

  constructor(
    dispatch: Dispatch,
    topic: string,
    partition: number,
    producer: { readonly id: string; readonly sequence: number } | undefined,
  ) {
    this.#dispatch = dispatch;
    this.topic = topic;
    this.partition = partition;
    this.#producerId = producer?.id;
    this.#nextSequence = producer?.sequence ?? 0;
  }

  /** A builder with room for `bytes` more in `count` records; the caller adds them and then calls `credit`. */
  builder(bytes: number, count: number): RecordSetBuilder {
    const open = this.#open;
    if (open === undefined) return this.#start().builder;
    const { builder } = open;
    const fits = builder.byteLength + bytes <= BATCH_BYTES_MAX && builder.count + count <= BATCH_RECORDS_MAX;
    if (fits || builder.count === 0) return builder;
    this.#full.push(open);
    this.#open = undefined;
    return this.#start().builder;
  }

  credit(sink: AckSink, count: number): void {
    const open = this.#open as Shipment;
    if (this.#producerId !== undefined) this.#nextSequence += count;
    open.credit(sink, count);
    this.#dispatch.taken(open.growth());
    this.#touch();
  }

  /**
   * One refused record, in its place among the answers. It joins records that go to the engine if there are any: an answer that waits
   * for no append would overtake theirs.
   */
  refuse(sink: AckSink, error: TandemError): void {
    const shipment = this.#open ?? this.#full.at(-1) ?? this.#start();
    shipment.refuse(sink, error);
    if (this.#producerId !== undefined) {
      this.#nextSequence++;
      // A batch's sequences have no gap: the records after this one start another.
      if (shipment === this.#open && shipment.builder.count > 0) {
        this.#full.push(shipment);
        this.#open = undefined;
      }
    }
    this.#touch();
  }

  /** Ships what is there unless the previous shipment is still under way. */
  flush(): void {
    this.#isDirty = false;
    if (this.#shippedCount > 0) return;
    const open = this.#open;
    this.#open = undefined;
    const full = this.#full;
    if (full.length === 0) {
      if (open !== undefined) this.#ship(open);
      return;
    }
    this.#full = [];
    for (const shipment of full) this.#ship(shipment);
    if (open !== undefined) this.#ship(open);
  }

  #ship(shipment: Shipment): void {
    this.#shippedCount++;
    if (this.#failure === undefined) this.#dispatch.ship(shipment, this);
    else this.#dispatch.reject(shipment, this, this.#failure);
  }

  /** Called by the dispatch after the answers of a shipment are out. */
  settled(error: TandemError | undefined): void {
    if (error !== undefined && this.#producerId !== undefined) this.#failure ??= error;
    this.#shippedCount--;
    if (this.#shippedCount === 0 && (this.#open !== undefined || this.#full.length > 0)) this.flush();
  }

  get failure(): TandemError | undefined {
    return this.#failure;
  }

  #start(): Shipment {
    const id = this.#producerId;
    const producer = id === undefined ? undefined : { id, sequence: this.#nextSequence };
    const open = new Shipment(this.topic, this.partition, this.#dispatch.takeBuilder(), producer);
    this.#open = open;
    return open;
  }

  #touch(): void {
    if (this.#isDirty || this.#shippedCount > 0) return;
    this.#isDirty = true;
    this.#dispatch.schedule(this);
  }
}
