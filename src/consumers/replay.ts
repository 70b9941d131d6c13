/**
 * Replay: dead letters of one consumer go to its target once more.
 *
 * A letter is delivered straight to the target, not appended to the original topic again: other readers of the topic see nothing of it, no
 * header decides who skips what, and the record arrives as it was the first time: same topic, partition, offset, key, headers,
 * time and `id` (`context.isReplay` is true), so that an idempotent receiver recognises it. It is out of order by nature: later records of its
 * key have been handled, and one of them may be in hand at the same moment. Among replayed letters a key's order holds.
 *
 * Progress is the committed offset of the group `replay:<consumer>` on the dead topic, so a letter is replayed once however often one asks, and
 * a crash in the middle makes letters come again but loses none. A letter that fails again (with all attempts) is written as a new letter at
 * the end of the dead topic; only then is the old one passed. A run covers the letters that were there when it began, in the dead
 * topic's partitions that this process is assigned.
 */
import type { Assignment, Membership } from '../core/contracts/engine.ts';
import { TandemError } from '../core/errors.ts';
import type { TandemRecord } from '../core/record.ts';
import { recordsOf } from '../core/record-set.ts';
import { ABORT_GRACE_MS } from './attempts.ts';
import type { ConsumerConfig } from './consumer-config.ts';
import type { ConsumerParts } from './consumer-parts.ts';
import { newTotals } from './consumer-status.ts';
import { deadTopicOf, OmittedRecord, recordOfLetter } from './dead-letters.ts';
import { DeliveredRecord } from './delivered-record.ts';
import type { Feed } from './feed.ts';
import type { HandlerContext, HandlerRecord } from './handler-api.ts';
import { PartitionReader } from './partition-reader.ts';
import { failureOf, type Outcome, type Target } from './targets/target.ts';

export interface ReplayOptions extends ConsumerParts {
  readonly config: ConsumerConfig;
  readonly target: Target;
  /** At most so many letters. */
  readonly countMax: number;
  readonly onGone: (reason: string) => void;
}

export interface ReplayResult {
  /** Letters that the target took. */
  readonly handled: number;
  /** Letters that failed again and are new letters now. */
  readonly deadLettered: number;
  /** Why a partition was left before its end, if one was. */
  readonly problems: readonly string[];
}

export class Replay {
  readonly #options: ReplayOptions;
  readonly #totals = newTotals();
  readonly #readers = new Map<number, PartitionReader>();
  readonly #problems: string[] = [];
  #left: number;
  #graceMs: number;
  #isStopped = false;

  constructor(options: ReplayOptions) {
    this.#options = options;
    this.#left = options.countMax;
    this.#graceMs = options.config.timeoutMs + ABORT_GRACE_MS;
  }

  /** Resolves when the letters are done or `stop` was called. Once. Errors: what `join` and `state` reject with. */
  async run(): Promise<ReplayResult> {
    const { groups, topics, config } = this.#options;
    const topic = deadTopicOf(config.topic);
    if ((await topics.find(topic)) !== undefined) {
      let membership: Membership | undefined;
      const onChange = (assignments: readonly Assignment[]): Promise<void> => this.#release(assignments);
      try {
        membership = await groups.join(groupOf(config.name), topic, onChange);
        await Promise.all(membership.assignments.map((assignment) => this.#begin(topic, assignment)));
        void this.#release(membership.assignments);
        await Promise.all([...this.#readers.values()].map((reader) => this.#finish(reader)));
      } finally {
        await membership?.leave();
      }
    }
    const { handled, deadLettered } = this.#totals;
    return { handled, deadLettered, problems: this.#problems };
  }

  /** Begins no more deliveries; running ones have `graceMs`. */
  stop(graceMs: number): void {
    this.#isStopped = true;
    this.#graceMs = graceMs;
    for (const reader of this.#readers.values()) void reader.stop('the replay was stopped', graceMs);
  }

  async #begin(topic: string, assignment: Assignment): Promise<void> {
    const { nextOffset } = await this.#options.store.state({ topic, partition: assignment.partition });
    if (this.#isStopped) return;
    const { config, target, store } = this.#options;
    const reader = new PartitionReader({
      ...this.#options,
      group: groupOf(config.name),
      topic,
      assignment,
      target: { deliver: (record, context) => deliverLetter(target, store, record, context) },
      feed: this.#feed(nextOffset),
      totals: this.#totals,
    });
    this.#readers.set(assignment.partition, reader);
  }

  async #finish(reader: PartitionReader): Promise<void> {
    await reader.ended;
    const { reason } = reader.status();
    if (reason !== undefined) this.#problems.push(`partition ${reader.assignment.partition}: ${reason}`);
    await reader.stop('the replay is done', this.#graceMs);
  }

  #feed(untilOffset: number): Feed {
    const { name, topic } = this.#options.config;
    return {
      isReplay: true,
      isOver: (offset) => offset >= untilOffset || this.#left === 0,
      accept: (letter) => {
        const record = recordOfLetter(letter, name, topic);
        if (record !== undefined) this.#left--;
        return record;
      },
    };
  }

  /** Stops work on partitions that are not this process's any more; resolves when it has stopped. */
  async #release(assignments: readonly Assignment[]): Promise<void> {
    const stopped: Promise<void>[] = [];
    for (const [partition, reader] of this.#readers) {
      const isOurs = assignments.some((own) => own.partition === partition && own.term === reader.assignment.term);
      if (!isOurs) stopped.push(reader.stop('the partition has moved on', 0));
    }
    await Promise.all(stopped);
  }
}

/** Cannot be a consumer's name: those have no colon. */
const groupOf = (consumer: string): string => `replay:${consumer}`;

function deliverLetter(
  target: Target,
  store: ReplayOptions['store'],
  record: HandlerRecord,
  context: HandlerContext,
): Outcome | Promise<Outcome> {
  if (!(record instanceof OmittedRecord)) return target.deliver(record, context);
  return readOriginal(store, record).then(
    (original) => target.deliver(new DeliveredRecord(original, record.epoch), context),
    (thrown) => failureOf(thrown),
  );
}

async function readOriginal(store: ReplayOptions['store'], record: OmittedRecord): Promise<TandemRecord> {
  const { epoch, offset } = record;
  const { batches } = await store.read(record, { epoch, offset }, 1);
  const original = batches[0] && recordsOf(batches[0], offset)[0];
  if (original === undefined) throw new TandemError('TANDEM_POSITION_AHEAD');
  return original;
}
