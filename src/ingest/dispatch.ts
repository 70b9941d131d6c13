/**
 * The only place that appends. It decides when shipments leave: at the end of the event loop's turn (all sockets that were
 * readable have been read), all together, so that the engine makes one flush of them; and it keeps count of what is unfinished.
 */
import type { RecordStore } from '../core/contracts/engine.ts';
import { asTandemError, type TandemError } from '../core/errors.ts';
import type { Clock } from '../core/ports/clock.ts';
import { RecordSetBuilder } from '../core/record-set.ts';
import type { Shipment } from './shipment.ts';

/** Who fills shipments and is told what became of them. */
export interface ShipmentOwner {
  /** The end of the turn: ship what is there. */
  flush(): void;
  /** The answers of a shipment are out. */
  settled(error: TandemError | undefined): void;
}

export class Dispatch {
  readonly totals = { records: 0, duplicates: 0, refused: 0, bytes: 0, appends: 0, appendMs: 0 };
  readonly #store: RecordStore;
  readonly #clock: Clock;
  readonly #bytesMax: number;
  #dirty: ShipmentOwner[] = [];
  #loose: Shipment[] = [];
  #isScheduled = false;
  #unfinishedBytes = 0;
  #unfinishedRecords = 0;
  #shipmentsUnderWay = 0;
  #waiting: (() => void)[] = [];
  #idle: (() => void)[] = [];
  /** Empty builders for reuse; their memory is bounded by `bytesMax`. */
  readonly #builders: RecordSetBuilder[] = [];
  #keptBytes = 0;

  constructor(store: RecordStore, clock: Clock, bytesMax: number) {
    this.#store = store;
    this.#clock = clock;
    this.#bytesMax = bytesMax;
  }

  takeBuilder(): RecordSetBuilder {
    const builder = this.#builders.pop();
    if (builder === undefined) return new RecordSetBuilder();
    this.#keptBytes -= builder.capacityBytes;
    return builder;
  }

  taken(bytes: number): void {
    this.#unfinishedBytes += bytes;
  }

  get unfinishedBytes(): number {
    return this.#unfinishedBytes;
  }

  /** Of shipments that are under way. */
  get unfinishedRecords(): number {
    return this.#unfinishedRecords;
  }

  get isSaturated(): boolean {
    return this.#unfinishedBytes > this.#bytesMax;
  }

  whenReady(callback: () => void): void {
    if (this.isSaturated) this.#waiting.push(callback);
    else callback();
  }

  /** Resolves when nothing is unfinished. */
  async whenIdle(): Promise<void> {
    while (this.#isScheduled || this.#shipmentsUnderWay > 0) {
      await new Promise<void>((resolve) => this.#idle.push(resolve));
    }
  }

  schedule(collector: ShipmentOwner): void {
    this.#dirty.push(collector);
    this.#arm();
  }

  /** A shipment of its own, not gathered with others (a producer's single request). */
  scheduleLoose(shipment: Shipment): void {
    this.taken(shipment.growth());
    this.#loose.push(shipment);
    this.#arm();
  }

  ship(shipment: Shipment, owner: ShipmentOwner | undefined): void {
    this.#shipmentsUnderWay++;
    this.#unfinishedRecords += shipment.builder.count;
    if (shipment.builder.count === 0) {
      this.#settle(shipment, owner, undefined, () => shipment.answer(undefined));
      return;
    }
    const startedMs = this.#clock.monotonicMs();
    this.#store.append(shipment.batch()).then(
      (result) => {
        this.totals.appendMs += this.#clock.monotonicMs() - startedMs;
        this.totals.appends++;
        for (const run of result.runs) {
          if (run.isDuplicate) this.totals.duplicates += run.count;
          else this.totals.records += run.count;
        }
        this.totals.bytes += shipment.builder.byteLength;
        this.#settle(shipment, owner, undefined, () => shipment.answer(result));
      },
      (thrown: unknown) => this.#refuse(shipment, owner, asTandemError(thrown, 'TANDEM_STORE_FAILED')),
    );
  }

  reject(shipment: Shipment, owner: ShipmentOwner, error: TandemError): void {
    this.#shipmentsUnderWay++;
    this.#unfinishedRecords += shipment.builder.count;
    this.#refuse(shipment, owner, error);
  }

  #refuse(shipment: Shipment, owner: ShipmentOwner | undefined, error: TandemError): void {
    this.totals.refused += shipment.builder.count;
    this.#settle(shipment, owner, error, () => shipment.fail(error));
  }

  #settle(
    shipment: Shipment,
    owner: ShipmentOwner | undefined,
    error: TandemError | undefined,
    answer: () => void,
  ): void {
    answer();
    this.#unfinishedBytes -= shipment.bytes;
    this.#unfinishedRecords -= shipment.builder.count;
    this.#keep(shipment.builder);
    owner?.settled(error);
    this.#shipmentsUnderWay--;
    if (this.#waiting.length > 0 && this.#unfinishedBytes <= this.#bytesMax / 2) this.#wake();
    if (this.#shipmentsUnderWay === 0 && !this.#isScheduled) this.#wakeIdle();
  }

  #keep(builder: RecordSetBuilder): void {
    if (this.#keptBytes + builder.capacityBytes > this.#bytesMax) return;
    builder.reset();
    this.#keptBytes += builder.capacityBytes;
    this.#builders.push(builder);
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const callback of waiting) callback();
  }

  #wakeIdle(): void {
    const idle = this.#idle;
    this.#idle = [];
    for (const callback of idle) callback();
  }

  #arm(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#clock.soon(() => this.#flush());
  }

  #flush(): void {
    this.#isScheduled = false;
    const dirty = this.#dirty;
    const loose = this.#loose;
    this.#dirty = [];
    this.#loose = [];
    for (const collector of dirty) collector.flush();
    for (const shipment of loose) this.ship(shipment, undefined);
    if (this.#shipmentsUnderWay === 0) this.#wakeIdle();
  }
}
