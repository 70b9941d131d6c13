/**
 * What an operator may do with a consumer, over all workers of the node.
 *
 *   pause, resume   written down first, then told to every worker that may be working; one that begins later is told before it delivers.
 *                   One at a time, so that what is written down last is told last. Answered: it holds, everywhere.
 *   skip            every worker is asked, the one that works on the partition obeys.
 *   replay          one worker after the other, each with what is left of `countMax`: no more than that is done in total.
 */
import type { TandemConfig } from '../config/tandem-config.ts';
import type { ReplayResult, SkipResult } from '../consumers/consumers.ts';
import type { ConsumerCommand } from '../core/contracts/worker.ts';
import { asTandemError, TandemError } from '../core/errors.ts';
import { Turns } from '../core/turns.ts';
import type { Keeper, SlotAnswers } from '../supervisor/keeper.ts';
import type { ConsumerPauses } from './consumer-pauses.ts';

type Pause = Extract<ConsumerCommand, { readonly kind: 'pause' | 'resume' }>;
type Skip = Extract<ConsumerCommand, { readonly kind: 'skip' }>;
type Replay = Extract<ConsumerCommand, { readonly kind: 'replay' }>;

/** The part of the keeper that is needed here. */
export type CommandedNode = Pick<Keeper, 'config' | 'commandAll' | 'command' | 'status'>;

export class ConsumerCommands {
  readonly #node: CommandedNode;
  readonly #pauses: ConsumerPauses;
  readonly #turns = new Turns();

  constructor(node: CommandedNode, pauses: ConsumerPauses) {
    this.#node = node;
    this.#pauses = pauses;
    pauses.onChange((consumer) => this.#obey(consumer));
  }

  /** Of those that are configured. */
  get pausedNames(): readonly string[] {
    const configured = this.#configuredNames;
    return this.#pauses.names.filter((name) => configured.has(name)).sort();
  }

  /** Errors: TANDEM_CONSUMER_UNKNOWN, TANDEM_WORKER_LOST (no answer), what the store and the consumers refuse with. */
  async run(command: ConsumerCommand): Promise<unknown> {
    const { consumer } = command;
    if (!this.#configuredNames.has(consumer))
      throw new TandemError('TANDEM_CONSUMER_UNKNOWN', { detail: JSON.stringify(consumer) });
    switch (command.kind) {
      case 'pause':
      case 'resume':
        return { consumer, ...(await this.#turns.run(() => this.#pause(command))) };
      case 'skip':
        return { consumer, ...(await this.#skip(command)) };
      case 'replay':
        return { consumer, ...(await this.#replay(command)) };
    }
  }

  get #configuredNames(): ReadonlySet<string> {
    return new Set((this.#node.config as TandemConfig).consumers.map(({ name }) => name));
  }

  /**
   * It was changed by another node. What is written down at its turn counts: an operator of this one may have changed it since. Who does not obey is
   * told when it begins anew.
   */
  #obey(consumer: string): void {
    void this.#turns.run(() => {
      const kind = this.#pauses.names.includes(consumer) ? 'pause' : 'resume';
      return this.#node.commandAll({ kind, consumer });
    });
  }

  /** A failure to obey leaves what is written down as it is: it holds for the next processes. */
  async #pause(request: Pause): Promise<{ readonly workers: SlotAnswers['answers'] }> {
    await this.#pauses.set(request.consumer, request.kind === 'pause');
    const { answers, failures } = await this.#node.commandAll(request);
    // During a reload a worker of the earlier config may not have the consumer.
    const failure = failures.find(({ error }) => error.code !== 'TANDEM_CONSUMER_UNKNOWN');
    if (failure !== undefined) throw failure.error;
    return { workers: answers };
  }

  async #skip(request: Skip): Promise<SkipResult> {
    const { answers, failures } = await this.#node.commandAll(request);
    const [done] = answers;
    if (done !== undefined) return done.result as SkipResult;
    const refusal = failures.find(({ error }) => !IS_NOT_MINE.has(error.code));
    if (refusal !== undefined) throw refusal.error;
    const detail = `no worker works on partition ${request.partition} for "${request.consumer}"`;
    throw new TandemError('TANDEM_PARTITION_UNKNOWN', { detail });
  }

  async #replay({ kind, consumer, countMax }: Replay): Promise<ReplayResult & { readonly workers: readonly number[] }> {
    const serving = this.#node.status.slots.filter(({ state }) => state === 'serving').map(({ slot }) => slot);
    if (serving.length === 0) throw new TandemError('TANDEM_WORKER_LOST', { detail: 'no worker serves' });
    const total = { handled: 0, deadLettered: 0, problems: [] as string[], workers: [] as number[] };
    for (const slot of serving) {
      const left = countMax - total.handled - total.deadLettered;
      if (left <= 0) break;
      let result: ReplayResult;
      try {
        result = (await this.#node.command(slot, { kind, consumer, countMax: left })) as ReplayResult;
      } catch (thrown) {
        throw unfinished(thrown, slot, total);
      }
      total.handled += result.handled;
      total.deadLettered += result.deadLettered;
      total.problems.push(...result.problems);
      total.workers.push(slot);
    }
    return total;
  }
}

const IS_NOT_MINE: ReadonlySet<string> = new Set(['TANDEM_PARTITION_UNKNOWN', 'TANDEM_CONSUMER_UNKNOWN']);

/** How many that worker has done is not known, so no other one is asked: the total stays below the bound. */
function unfinished(thrown: unknown, slot: number, done: { handled: number; deadLettered: number }): TandemError {
  const error = asTandemError(thrown);
  const before = done.handled + done.deadLettered;
  if (before === 0) return error;
  const detail = `worker ${slot}, after ${before} letters were replayed by others: ${error.message}`;
  return new TandemError(error.code, { detail, cause: error });
}
