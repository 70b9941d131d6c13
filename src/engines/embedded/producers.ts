/**
 * Producers' states: in memory for those that have been heard of, in the state database once the segment with their records is
 * sealed. Between the two the log itself has them: opening reads what was not sealed (recovery.ts) and keeps its index until it is.
 */

import type { StatementSync } from 'node:sqlite';
import type { Limits } from '../../core/limits.ts';
import type { Clock } from '../../core/ports/clock.ts';
import type { PartitionLog, ProducerState } from './log/partition-log.ts';
import type { ProducerWindow } from './log/producer-window.ts';
import { EMPTY_WINDOW } from './log/producer-window.ts';
import type { SegmentIndex } from './log/segment-index.ts';
import type { StateDatabase } from './state-database.ts';
import { asStoreErrors, inFencedTransaction } from './state-database.ts';

export interface ProducerRow {
  readonly topic: string;
  readonly partition: number;
  readonly producerId: string;
  readonly window: ProducerWindow;
  readonly seenMs: number;
}

const ROWS_PER_TRANSACTION = 200;
const UNCHANGED = { isDirty: false, trail: undefined, trailOrigin: 0 };
const PARTITIONS_PER_TRANSACTION = 100;
const EXPIRY_INTERVAL_MS = 300_000;

export class ProducerStates {
  readonly #state: StateDatabase;
  readonly #select: StatementSync;
  readonly #clock: Clock;
  readonly #limits: Limits;
  #nextExpiryMs = 0;
  /** Changed since the last seal. */
  #dirty = new Map<ProducerState, PartitionLog>();
  #indexes: SegmentIndex[] = [];

  constructor(state: StateDatabase, clock: Clock, limits: Limits) {
    this.#state = state;
    this.#select = state.durable.prepare(
      'SELECT last_sequence, runs FROM producers WHERE topic = ? AND partition = ? AND producer = ? AND seen_ms >= ?',
    );
    this.#clock = clock;
    this.#limits = limits;
  }

  /** The state of a producer, an empty one if it is not known. Becomes the most recently seen. */
  use(log: PartitionLog, producerId: string): ProducerState {
    const known = log.producers.get(producerId);
    if (known !== undefined) {
      log.producers.delete(producerId);
      log.producers.set(producerId, known);
      return known;
    }
    const window = this.load(log.topic, log.partition, producerId) ?? EMPTY_WINDOW;
    const state: ProducerState = { producerId, window, pending: undefined, seenMs: 0, ...UNCHANGED };
    log.producers.set(producerId, state);
    if (log.producers.size > this.#limits.producersPerPartitionMax) this.#forgetOldest(log);
    return state;
  }

  lastSequence(log: PartitionLog, producerId: string): number {
    const window = log.producers.get(producerId)?.window ?? this.load(log.topic, log.partition, producerId);
    return window?.lastSequence ?? 0;
  }

  /** What the flush has made durable counts from now on. */
  confirm(log: PartitionLog, producer: ProducerState, nowMs: number): void {
    producer.window = producer.pending ?? producer.window;
    producer.pending = undefined;
    producer.seenMs = nowMs;
    if (producer.isDirty) return;
    producer.isDirty = true;
    this.#dirty.set(producer, log);
  }

  /**
   * Writes what has changed since the last call, a few hundred rows at a turn. Must be done before the segment's sidecar is written.
   * If it fails, what was not written counts as changed still. Errors: TANDEM_TERM_FENCED, as `persistRows`.
   */
  async persist(): Promise<void> {
    const dirty = [...this.#dirty];
    this.#dirty = new Map();
    for (let at = 0; at < dirty.length; at += ROWS_PER_TRANSACTION) {
      const some = dirty.slice(at, at + ROWS_PER_TRANSACTION);
      try {
        this.persistRows(
          some.map(([state, log]) => rowOf(state, log)),
          at + ROWS_PER_TRANSACTION < dirty.length,
        );
      } catch (error) {
        for (const [state, log] of dirty.slice(at)) this.#dirty.set(state, log);
        throw error;
      }
      for (const [state] of some) state.isDirty = false;
      await new Promise<void>((resolve) => this.#clock.soon(resolve));
    }
    this.#state.term.require();
  }

  /**
   * Durable at return, and with them all written before. `isPart`: others follow, so that these need not be durable yet. Errors:
   * TANDEM_TERM_FENCED, also if there is nothing to write: so whoever goes on to write a sidecar had the right to.
   */
  persistRows(rows: readonly ProducerRow[], isPart: boolean = false): void {
    if (rows.length === 0) {
      this.#state.term.require();
      return;
    }
    const database = isPart ? this.#state.relaxed : this.#state.durable;
    inFencedTransaction(this.#state, database, () => {
      // A row that another writer has brought further stays.
      const insert = database.prepare(
        `INSERT INTO producers (topic, partition, producer, last_sequence, runs, seen_ms) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET last_sequence = excluded.last_sequence, runs = excluded.runs, seen_ms = excluded.seen_ms
         WHERE excluded.last_sequence >= producers.last_sequence`,
      );
      for (const { topic, partition, producerId, window, seenMs } of rows)
        insert.run(topic, partition, producerId, window.lastSequence, JSON.stringify(window.runs), seenMs);
    });
  }

  /** Knows from now on what stands in a segment that is not sealed; to be called in the order of segments. */
  addIndex(index: SegmentIndex): void {
    this.#indexes.push(index);
  }

  /** `rowsOf(index)` have been persisted. */
  dropIndex(index: SegmentIndex): void {
    this.#indexes = this.#indexes.filter((other) => other !== index);
  }

  /** The producers that have written to a segment, as they are after it. */
  *rowsOf(index: SegmentIndex): Iterable<ProducerRow> {
    for (const { topic, partition, producerId, seenMs } of index.producers()) {
      const before = this.load(topic, partition, producerId) ?? EMPTY_WINDOW;
      const window = index.window(topic, partition, producerId, before);
      yield { topic, partition, producerId, window, seenMs };
    }
  }

  load(topic: string, partition: number, producerId: string): ProducerWindow | undefined {
    let window = this.#stored(topic, partition, producerId);
    for (const index of this.#indexes) window = index.window(topic, partition, producerId, window);
    return window === EMPTY_WINDOW ? undefined : window;
  }

  #stored(topic: string, partition: number, producerId: string): ProducerWindow {
    const row = asStoreErrors(() => this.#select.get(topic, partition, producerId, this.#oldestMs())) as
      | { last_sequence: number; runs: string }
      | undefined;
    if (row === undefined) return EMPTY_WINDOW;
    return { lastSequence: row.last_sequence, runs: JSON.parse(row.runs) as number[] };
  }

  /**
   * Deletes, every few minutes, what has outlived limits.producerRetentionMs or, in the given partitions, goes beyond
   * limits.producersPerPartitionMax; some partitions at a turn.
   */
  async expire(logs: Iterable<PartitionLog>): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs < this.#nextExpiryMs) return;
    this.#nextExpiryMs = nowMs + EXPIRY_INTERVAL_MS;
    const used = [...logs].filter(({ producers }) => producers.size > 0);
    for (let at = 0; at < used.length; at += PARTITIONS_PER_TRANSACTION) {
      this.#expireSome(used.slice(at, at + PARTITIONS_PER_TRANSACTION));
      await new Promise<void>((resolve) => this.#clock.soon(resolve));
    }
  }

  #expireSome(logs: readonly PartitionLog[]): void {
    const oldestMs = this.#oldestMs();
    const { durable } = this.#state;
    inFencedTransaction(this.#state, durable, () => {
      const old = durable.prepare('DELETE FROM producers WHERE topic = ? AND partition = ? AND seen_ms < ?');
      const excess = durable.prepare(
        `DELETE FROM producers WHERE topic = ?1 AND partition = ?2 AND seen_ms <= (SELECT seen_ms FROM producers
         WHERE topic = ?1 AND partition = ?2 ORDER BY seen_ms DESC LIMIT 1 OFFSET ?3)`,
      );
      for (const { topic, partition } of logs) {
        old.run(topic, partition, oldestMs);
        excess.run(topic, partition, this.#limits.producersPerPartitionMax);
      }
    });
    for (const log of logs)
      for (const [producerId, state] of log.producers) {
        if (state.seenMs >= oldestMs || state.pending !== undefined || state.isDirty) break;
        log.producers.delete(producerId);
      }
  }

  #oldestMs(): number {
    return this.#clock.nowMs() - this.#limits.producerRetentionMs;
  }

  #forgetOldest(log: PartitionLog): void {
    for (const [producerId, state] of log.producers) {
      if (state.pending !== undefined) continue;
      log.producers.delete(producerId);
      this.#dirty.delete(state);
      return;
    }
  }
}

const rowOf = ({ producerId, window, seenMs }: ProducerState, { topic, partition }: PartitionLog): ProducerRow => ({
  topic,
  partition,
  producerId,
  window,
  seenMs,
});
