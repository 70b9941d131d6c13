/**
 * After an append of a producer is rejected, what it sent behind it must not be stored: the rejected sequences would count as repeats
 * when they are sent again, and be lost. Whoever sent it learns of the rejection only later (it may be another process), so the
 * rejection is remembered: higher sequences are rejected with the same error until the rejected one comes again, or until so much time
 * has passed that nothing sent before can still arrive; then the producer has chosen to leave it out.
 */
import type { TandemError } from '../../../core/errors.ts';
import type { Clock } from '../../../core/ports/clock.ts';
import { partitionKey } from '../../../core/record.ts';
import type { PendingAppend } from './pending-append.ts';

interface Refusal {
  readonly sequence: number;
  readonly error: TandemError;
  readonly endMs: number;
}

const REMEMBERED_MS = 1000;
const REMEMBERED_MAX = 10_000;

export class ProducerRefusals {
  readonly #clock: Clock;
  readonly #refusals = new Map<string, Refusal>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Throws the error of an earlier append of the same producer. */
  check(append: PendingAppend): void {
    const { producer } = append.batch;
    if (this.#refusals.size === 0 || producer === undefined) return;
    const key = keyOf(append, producer.id);
    const refusal = this.#refusals.get(key);
    if (refusal === undefined) return;
    if (producer.sequence > refusal.sequence && this.#clock.monotonicMs() < refusal.endMs) throw refusal.error;
    this.#refusals.delete(key);
  }

  add(append: PendingAppend, error: TandemError): void {
    const { producer } = append.batch;
    if (producer === undefined) return;
    const key = keyOf(append, producer.id);
    const earlier = this.#refusals.get(key);
    if (earlier !== undefined && earlier.sequence <= producer.sequence) return;
    const endMs = this.#clock.monotonicMs() + REMEMBERED_MS;
    this.#refusals.set(key, { sequence: producer.sequence, error, endMs });
    if (this.#refusals.size > REMEMBERED_MAX) this.#refusals.delete(this.#refusals.keys().next().value as string);
  }
}

const keyOf = ({ log }: PendingAppend, producerId: string): string =>
  `${partitionKey(log.topic, log.partition)}/${producerId}`;
