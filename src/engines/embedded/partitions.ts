/** The rows of partitions in the state database. Only a partition's owner writes its row. */
import { TandemError } from '../../core/errors.ts';
import type { PartitionLog } from './log/partition-log.ts';
import type { StateDatabase } from './state-database.ts';
import { asStoreErrors, inTransaction } from './state-database.ts';

export interface PartitionFacts {
  readonly epoch: string;
  readonly firstOffset: number;
  readonly term: number;
}

interface PendingTrim {
  readonly log: PartitionLog;
  readonly firstOffset: number;
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

  /** Durable at return. */
  claim(topic: string, partition: number, term: number): void {
    inTransaction(this.#state.durable, () => {
      this.#state.durable
        .prepare('UPDATE partitions SET term = ? WHERE topic = ? AND partition = ?')
        .run(term, topic, partition);
    });
  }

  /** Raises the first offset, durably; the trims of a turn share a transaction. */
  trim(log: PartitionLog, firstOffset: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#trims.push({ log, firstOffset, resolve, reject });
      if (this.#trims.length === 1) queueMicrotask(() => this.#commitTrims());
    });
  }

  #commitTrims(): void {
    const trims = this.#trims;
    this.#trims = [];
    try {
      inTransaction(this.#state.durable, () => {
        const update = this.#state.durable.prepare(
          'UPDATE partitions SET first_offset = max(first_offset, ?) WHERE topic = ? AND partition = ?',
        );
        for (const { log, firstOffset } of trims) update.run(firstOffset, log.topic, log.partition);
      });
    } catch (error) {
      for (const { reject } of trims) reject(error);
      return;
    }
    for (const { resolve } of trims) resolve();
  }
}
