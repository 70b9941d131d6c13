/**
 * The rows of partitions in the state database. Only a partition's owner writes its row, for itself or for another process, whose right to
 * do so is the `writerTerm`.
 */
import { TandemError } from '../../core/errors.ts';
import type { PartitionLog } from './log/partition-log.ts';
import type { StateDatabase } from './state-database.ts';
import { asStoreErrors, inFencedTransaction } from './state-database.ts';
import { fencedError } from './store-term.ts';

export interface PartitionFacts {
  readonly epoch: string;
  readonly firstOffset: number;
  readonly term: number;
}

interface PendingTrim {
  readonly log: PartitionLog;
  readonly firstOffset: number;
  readonly term: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class Partitions {
  readonly #state: StateDatabase;
  #trims: PendingTrim[] = [];

  constructor(state: StateDatabase) {
    this.#state = state;
  }

  /** Errors: TANDEM_PARTITION_UNKNOWN. */
  facts(topic: string, partition: number): PartitionFacts {
    const facts = this.find(topic, partition);
    if (facts === undefined) throw new TandemError('TANDEM_PARTITION_UNKNOWN', { detail: `${topic}/${partition}` });
    return facts;
  }

  find(topic: string, partition: number): PartitionFacts | undefined {
    return asStoreErrors(() =>
      this.#state.durable
        .prepare('SELECT epoch, first_offset AS firstOffset, term FROM partitions WHERE topic = ? AND partition = ?')
        .get(topic, partition),
    ) as unknown as PartitionFacts | undefined;
  }

  /** Durable at return. Errors: TANDEM_TERM_FENCED. */
  claim(topic: string, partition: number, term: number, writerTerm: number): void {
    inFencedTransaction(this.#state, this.#state.durable, (claimed) => {
      const lower = Math.min(term, writerTerm);
      if (lower < claimed) throw fencedError(lower, claimed);
      this.#state.durable
        .prepare('UPDATE partitions SET term = ? WHERE topic = ? AND partition = ?')
        .run(term, topic, partition);
    });
  }

  /** Raises the first offset, durably; the trims of a turn share a transaction. Errors: TANDEM_TERM_FENCED. */
  trim(log: PartitionLog, firstOffset: number, writerTerm: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#trims.push({ log, firstOffset, term: writerTerm, resolve, reject });
      if (this.#trims.length === 1) queueMicrotask(() => this.#commitTrims());
    });
  }

  #commitTrims(): void {
    const trims = this.#trims;
    this.#trims = [];
    let claimedTerm = 0;
    try {
      inFencedTransaction(this.#state, this.#state.durable, (claimed) => {
        claimedTerm = claimed;
        const update = this.#state.durable.prepare(
          'UPDATE partitions SET first_offset = max(first_offset, ?) WHERE topic = ? AND partition = ?',
        );
        for (const { log, firstOffset, term } of trims)
          if (term >= claimed) update.run(firstOffset, log.topic, log.partition);
      });
    } catch (error) {
      for (const { reject } of trims) reject(error);
      return;
    }
    for (const { term, resolve, reject } of trims) {
      if (term < claimedTerm) reject(fencedError(term, claimedTerm));
      else resolve();
    }
  }
}
